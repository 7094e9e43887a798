"""A lock on a file that ends with the process, however that ends."""

import fcntl
import os
import socket
from pathlib import Path
from types import TracebackType
from typing import Self

from bars.errors import SeamlessError


class LockHeldError(SeamlessError):
    """Another process has the lock.

    Attributes:
        holder: What it has said of itself.
        path: The file.
    """

    def __init__(self, holder: str, path: Path) -> None:
        super().__init__(f"{holder} holds {path}")
        self.holder = holder
        self.path = path


class FileLock:
    """A lock that one process of this machine has at a time, or several that share it."""

    def __init__(self, path: Path, *, shared: bool = False) -> None:
        """Name the file; `shared`: others may have it at the same time if they share it too."""
        self._path = path
        self._kind = fcntl.LOCK_SH if shared else fcntl.LOCK_EX
        self._file: int | None = None

    def __enter__(self) -> Self:
        """Take it.

        Raises:
            LockHeldError: Another process has it.
        """
        self._path.parent.mkdir(parents=True, exist_ok=True)
        file = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(file, self._kind | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.read(file, 200).decode("utf-8", "replace").strip() or "an unknown process"
            os.close(file)
            raise LockHeldError(holder, self._path) from None
        os.truncate(file, 0)
        os.write(file, f"process {os.getpid()} on {socket.gethostname()}\n".encode())
        self._file = file
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        # The file stays: whoever removed it could take the lock of the next one's away.
        if self._file is not None:
            os.close(self._file)
            self._file = None
