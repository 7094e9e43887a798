"""The files that the servers are made of: fetched once, checked before every use.

Maven's own checksums come from where the file comes from and are optional, and a download that
was cut off stays in the cache as if it were whole; so a file is used only when its digest is the
pinned one, otherwise it is deleted and fetched again, once.

Files lie in Maven's local repository (`M2_REPO`, default `~/.m2/repository`), unpacked archives
in jgo's cache (`JGO_CACHE_DIR`, default `~/.cache/jgo`); mirrors come from `~/.config/jgo.conf`.
"""

import hashlib
import shutil
import tarfile
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from jgo.config import GlobalSettings
from jgo.maven import MavenContext, PythonResolver
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

from ops.stack.errors import ArtifactError
from ops.stack.lock import locked
from ops.stack.pinned import Bundle, Pinned, bundles

_ATTEMPTS = 2
_DOWNLOADS = 4
_HTTP_TIMEOUT_S = 30
_LOCK_TIMEOUT_S = 900.0
"""Another command may be fetching 270 MB over a slow line."""


class Artifacts:
    """The caches of this machine, seen through the pinned table."""

    def __init__(self, console: Console, table: Mapping[str, Bundle] | None = None) -> None:
        """Use the caches that the environment names; progress goes to the console."""
        self._table = bundles() if table is None else table
        self._console = console
        self._settings: Any = GlobalSettings.load()
        self._cache: Path = self._settings.cache_dir / "seamless"
        self._interrupted = threading.Event()

    def fetch(self, servers: Sequence[str]) -> dict[str, tuple[Path, ...]]:
        """Return checked files of each server: its jars, or the folder its archive became.

        Raises:
            ArtifactError: A file could not be had, or not the right one.
            StackBusyError: Another command was fetching for all of fifteen minutes.
        """
        with (
            locked(self._cache / "lock", _LOCK_TIMEOUT_S),
            self._progress() as progress,
            ThreadPoolExecutor(_DOWNLOADS) as pool,
        ):
            try:
                return {
                    server: self._fetch_one(server, partial(self._reporter, progress), pool)
                    for server in servers
                }
            except KeyboardInterrupt:
                self._interrupted.set()  # else it would be heeded when the file is complete
                raise

    def _fetch_one(
        self, server: str, report: "_Report", pool: ThreadPoolExecutor
    ) -> tuple[Path, ...]:
        bundle = self._table[server]
        checked = partial(self._checked, report=report)
        if bundle.tree_sha256 is None:
            return tuple(pool.map(checked, bundle.files))
        tree = self._cache / f"{server}-{bundle.version}"
        if digest_of_tree(tree) != bundle.tree_sha256:
            self._unpack(bundle, checked(bundle.files[0]), tree)
        return (tree,)

    @contextmanager
    def _reporter(
        self, progress: Progress, name: str, size: int
    ) -> Iterator[Callable[[int], None]]:
        """Show one line for a download, and take it away when it is over."""
        task = progress.add_task(name, total=size)

        def advance(count: int) -> None:
            if self._interrupted.is_set():
                raise InterruptedError(f"fetching {name} was interrupted")
            progress.update(task, advance=count)

        try:
            yield advance
        finally:
            progress.remove_task(task)

    def _progress(self) -> Progress:
        return Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            DownloadColumn(),
            TransferSpeedColumn(),
            console=self._console,
        )

    def _checked(self, file: Pinned, report: "_Report") -> Path:
        """Return the path of a file whose digest is the pinned one."""
        reason = ""
        for _ in range(_ATTEMPTS):
            artifact = self._artifact(file, report)
            path: Path = artifact.cached_path
            try:
                artifact.resolve()
                found = digest(path)
            except (OSError, RuntimeError) as error:
                reason = f"could not be fetched: {error}"
            else:
                if found == file.sha256:
                    return path
                reason = f"its SHA-256 must be {file.sha256}, was {found}"
            # Also after an error: half a file would be taken for a whole one.
            path.unlink(missing_ok=True)
        raise ArtifactError(file.coordinate, reason)

    def _artifact(self, file: Pinned, report: "_Report") -> Any:
        context = MavenContext(
            resolver=PythonResolver(progress_callback=report),
            repo_cache=self._settings.repo_cache,
            timeout=_HTTP_TIMEOUT_S,
        )
        # A mirror that somebody configured comes before the central repository, or in its place.
        mirrors = self._settings.repositories
        others = {n: url for n, url in context.remote_repos.items() if n not in mirrors}
        context.remote_repos = {**mirrors, **others}
        component = context.project(file.group, file.name).at_version(file.version)
        return component.artifact(classifier=file.classifier, packaging=file.packaging)

    def _unpack(self, bundle: Bundle, archive: Path, tree: Path) -> None:
        """Unpack beside the final folder and move it there when it is right."""
        for left_behind in self._cache.glob(f"{tree.name}.part-*"):
            shutil.rmtree(left_behind)
        part = Path(tempfile.mkdtemp(prefix=f"{tree.name}.part-", dir=self._cache))
        unpack(archive, part)
        found = digest_of_tree(part)
        if found != bundle.tree_sha256:
            shutil.rmtree(part)
            raise ArtifactError(
                bundle.files[0].coordinate,
                f"what it unpacks to must have the digest {bundle.tree_sha256}, had {found}",
            )
        if tree.exists():
            shutil.rmtree(tree)
        part.rename(tree)


def digest(path: Path) -> str:
    """Return the SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def digest_of_tree(folder: Path) -> str:
    """Return one SHA-256 over the names and contents of all files below a folder."""
    found = sorted(path for path in folder.rglob("*") if not path.is_dir())
    with ThreadPoolExecutor(_DOWNLOADS) as pool:
        contents = zip(found, pool.map(digest, found), strict=True)
        text = "".join(f"{has}  {path.relative_to(folder).as_posix()}\n" for path, has in contents)
    return hashlib.sha256(text.encode()).hexdigest()


def unpack(archive: Path, folder: Path) -> None:
    """Unpack a tar archive."""
    with tarfile.open(archive) as tar:
        if hasattr(tarfile, "data_filter"):  # the first releases of Python 3.11 have none
            tar.extraction_filter = tarfile.data_filter
        tar.extractall(folder)  # noqa: S202 - the archive's digest is the pinned one


_Report = Callable[[str, int], AbstractContextManager[Callable[[int], None]]]
"""What jgo calls with a file's name and size, for a function to call with bytes that came."""
