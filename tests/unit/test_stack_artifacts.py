"""Files of servers: whatever a cache or the way did to them, only the pinned are used."""

import hashlib
import io
import tarfile
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from rich.console import Console

from ops.stack.artifacts import Artifacts, digest_of_tree
from ops.stack.errors import ArtifactError
from ops.stack.pinned import Bundle, Pinned, bundles

JAR = b"PK" + bytes(range(256)) * 40


def archive(**files: bytes) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        for name, content in files.items():
            info = tarfile.TarInfo(f"lib/{name}")
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


ARCHIVE = archive(one=b"1", two=b"22")


@dataclass
class Mirror:
    """A repository: what it answers next, path by path, and how often it was asked."""

    url: str = ""
    answers: dict[str, list[bytes]] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)


@pytest.fixture
def mirror(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Mirror]:
    """A repository that jgo takes for the central one, and caches that nobody else has."""
    made = Mirror()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            name = self.path.rpartition("/")[2]
            made.asked.append(name)
            answers = made.answers.get(name, [])
            self.send_response(200 if answers else 404)
            whole = max(answers, key=len) if answers else b""
            self.send_header("Content-Length", str(len(whole)))
            self.end_headers()
            self.wfile.write(answers.pop(0) if len(answers) > 1 else whole)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base's name
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    made.url = f"http://127.0.0.1:{server.server_port}"
    conf = tmp_path / "jgo.conf"
    conf.write_text(f"[repositories]\ncentral = {made.url}\n")
    monkeypatch.setenv("JGO_CONFIG_FILE", str(conf))
    monkeypatch.setenv("M2_REPO", str(tmp_path / "m2"))
    monkeypatch.setenv("JGO_CACHE_DIR", str(tmp_path / "cache"))
    yield made
    server.shutdown()
    server.server_close()
    thread.join()


def jar(content: bytes = JAR) -> Pinned:
    sha256 = hashlib.sha256(content).hexdigest()
    return Pinned(group="org.x", name="a", version="1", sha256=sha256, size=len(content))


def fetch(bundle: Bundle) -> tuple[Path, ...]:
    console = Console(file=io.StringIO())
    return Artifacts(console, {"server": bundle}).fetch(["server"])["server"]


def plain() -> Bundle:
    return Bundle(title="A", version="1", files=(jar(),))


def packed(tree_sha256: str | None = None) -> Bundle:
    file = replace(jar(ARCHIVE), classifier="all", packaging="tar.gz")
    lines = (
        f"{hashlib.sha256(c).hexdigest()}  lib/{n}\n" for n, c in (("one", b"1"), ("two", b"22"))
    )
    tree_sha256 = tree_sha256 or hashlib.sha256("".join(lines).encode()).hexdigest()
    return Bundle(title="A", version="1", files=(file,), tree_sha256=tree_sha256)


def test_a_file_is_fetched_once_and_checked_each_time(mirror: Mirror) -> None:
    mirror.answers["a-1.jar"] = [JAR]
    (path,) = fetch(plain())
    assert path.read_bytes() == JAR
    assert fetch(plain()) == (path,)
    assert mirror.asked.count("a-1.jar") == 1


@pytest.mark.parametrize("damaged", [JAR[:100], b"", b"X" + JAR[1:]])
def test_a_damaged_file_in_the_cache_is_fetched_again(mirror: Mirror, damaged: bytes) -> None:
    """Half a download stays in the cache as if it were whole."""
    mirror.answers["a-1.jar"] = [JAR]
    (path,) = fetch(plain())
    path.write_bytes(damaged)
    assert fetch(plain())[0].read_bytes() == JAR
    assert mirror.asked.count("a-1.jar") == 2


def test_a_download_that_is_cut_off_is_tried_once_more(mirror: Mirror) -> None:
    mirror.answers["a-1.jar"] = [JAR[:1_000], JAR]
    assert fetch(plain())[0].read_bytes() == JAR


def test_a_repository_that_serves_another_file_is_refused_and_nothing_is_kept(
    mirror: Mirror, tmp_path: Path
) -> None:
    mirror.answers["a-1.jar"] = [b"malware"]
    with pytest.raises(ArtifactError, match=r"org\.x:a:jar:1: its SHA-256 must be .*, was"):
        fetch(plain())
    assert mirror.asked.count("a-1.jar") == 2
    assert not list((tmp_path / "m2").rglob("a-1.jar"))


def test_a_file_that_nobody_has_is_named(mirror: Mirror) -> None:
    with pytest.raises(ArtifactError, match=r"org\.x:a:jar:1: could not be fetched: .*not found"):
        fetch(plain())
    assert mirror.asked


def test_an_archive_is_unpacked_once_and_then_not_needed(mirror: Mirror, tmp_path: Path) -> None:
    mirror.answers["a-1-all.tar.gz"] = [ARCHIVE]
    (tree,) = fetch(packed())
    assert (tree / "lib" / "two").read_bytes() == b"22"
    next((tmp_path / "m2").rglob("*.tar.gz")).unlink()
    assert fetch(packed()) == (tree,)
    assert mirror.asked.count("a-1-all.tar.gz") == 1


@pytest.mark.parametrize("change", ["changed", "missing", "added", "renamed"])
def test_an_unpacked_tree_that_was_changed_is_unpacked_anew(mirror: Mirror, change: str) -> None:
    mirror.answers["a-1-all.tar.gz"] = [ARCHIVE]
    (tree,) = fetch(packed())
    file = tree / "lib" / "two"
    match change:
        case "changed":
            file.write_bytes(b"23")
        case "missing":
            file.unlink()
        case "added":
            (tree / "lib" / "three").touch()
        case "renamed":
            file.rename(tree / "lib" / "too")
    assert fetch(packed()) == (tree,)
    assert sorted(p.name for p in tree.rglob("*") if p.is_file()) == ["one", "two"]
    assert file.read_bytes() == b"22"


def test_what_an_unpacking_that_was_killed_left_is_cleared_away(mirror: Mirror) -> None:
    mirror.answers["a-1-all.tar.gz"] = [ARCHIVE]
    (tree,) = fetch(packed())
    tree.rename(tree.with_name(f"{tree.name}.part-x"))
    assert fetch(packed()) == (tree,)
    assert [p.name for p in tree.parent.iterdir() if p.is_dir()] == [tree.name]


def test_an_archive_that_unpacks_to_something_else_is_refused(mirror: Mirror) -> None:
    mirror.answers["a-1-all.tar.gz"] = [ARCHIVE]
    with pytest.raises(ArtifactError, match="what it unpacks to must have the digest"):
        fetch(packed(tree_sha256="0" * 64))


def test_the_digest_of_a_tree_is_over_names_and_contents(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"1")
    one = digest_of_tree(tmp_path)
    (tmp_path / "a").rename(tmp_path / "b")
    assert digest_of_tree(tmp_path) != one


def test_every_file_of_every_server_is_pinned() -> None:
    table = bundles()
    assert {name: bundle.version for name, bundle in table.items()} == {
        "kafka": "4.4.0",
        "registry": "3.3.3",
        "questdb": "9.3.4",
    }
    for file in (file for bundle in table.values() for file in bundle.files):
        assert len(bytes.fromhex(file.sha256)) == 32
        assert file.size > 0
