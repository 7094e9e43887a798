"""One command at a time: a lock that the system releases when its holder dies."""

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ops.stack.errors import StackBusyError

_POLL_S = 0.05


@contextmanager
def locked(path: Path, timeout_s: float) -> Iterator[None]:
    """Hold the lock that a file stands for; the file holds the pid of who has it.

    Raises:
        StackBusyError: Somebody else had it for all of that time.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        _take(handle, path, timeout_s)
        os.ftruncate(handle, 0)
        os.pwrite(handle, str(os.getpid()).encode(), 0)
        yield
    finally:
        os.close(handle)


def _take(handle: int, path: Path, timeout_s: float) -> None:
    until = time.monotonic() + timeout_s
    while True:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= until:
                holder = os.pread(handle, 20, 0).decode()
                pid = int(holder) if holder.isdigit() else 0
                raise StackBusyError(path.parent, pid, timeout_s) from None
            time.sleep(_POLL_S)
        else:
            return
