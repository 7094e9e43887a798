"""The few things that a node asks of a disk, so that a test can hold the disk in its hands.

What these promise is what a crash leaves: bytes are safe when `sync` has returned, a name is safe
when `sync_folder` has. Whatever raises `OSError` here is a disk that is not to be trusted again.
"""

import os
from pathlib import Path
from typing import Protocol


class Appending(Protocol):
    """A file that only grows."""

    def write(self, data: bytes) -> None:
        """Put all of it behind what is there; safe only after `sync`."""
        ...

    def sync(self) -> None:
        """Return when everything written is safe."""
        ...

    def close(self) -> None:
        """Let go of the file; says nothing about safety."""
        ...


class Files(Protocol):
    """A folder of files; paths are names inside it."""

    def read(self, name: str) -> bytes | None:
        """Return all of a file; None: there is none."""
        ...

    def append(self, name: str) -> Appending:
        """Open a file at its end, made empty if it was not there."""
        ...

    def create(self, name: str) -> Appending:
        """Open a file with nothing in it, whatever was there."""
        ...

    def rename(self, name: str, to: str) -> None:
        """Give a file another name, in place of the file that had it."""
        ...

    def sync_folder(self) -> None:
        """Return when the names are safe."""
        ...


def replace(files: Files, name: str, data: bytes) -> None:
    """Put a file in the place of another: after a crash there is the old one or all of the new.

    Raises:
        OSError: The disk failed; the old file stands, or the new one.
    """
    fresh = f"{name}.new"
    writing = files.create(fresh)
    try:
        writing.write(data)
        writing.sync()
    finally:
        writing.close()
    files.rename(fresh, name)
    files.sync_folder()


class DiskFiles:
    """The folder of a real node."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._folder = folder

    def read(self, name: str) -> bytes | None:
        """Return all of a file; None: there is none."""
        try:
            return (self._folder / name).read_bytes()
        except FileNotFoundError:
            return None

    def append(self, name: str) -> Appending:
        """Open a file at its end, made empty if it was not there."""
        return _DiskFile(self._folder / name, os.O_APPEND)

    def create(self, name: str) -> Appending:
        """Open a file with nothing in it, whatever was there."""
        return _DiskFile(self._folder / name, os.O_TRUNC)

    def rename(self, name: str, to: str) -> None:
        """Give a file another name, in place of the file that had it."""
        (self._folder / name).rename(self._folder / to)

    def sync_folder(self) -> None:
        """Return when the names are safe."""
        folder = os.open(self._folder, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


class _DiskFile:
    def __init__(self, path: Path, how: int) -> None:
        # Readable by nobody else: entries hold what workers report.
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | how, 0o600)

    def write(self, data: bytes) -> None:
        rest = memoryview(data)
        while rest:
            rest = rest[os.write(self._file, rest) :]

    def sync(self) -> None:
        os.fdatasync(self._file)

    def close(self) -> None:
        if self._file >= 0:
            os.close(self._file)
            self._file = -1
