"""A node whose disk, clocks and ways obey the test: `python -m tests.faults.coordinator.victim`.

The file that `SEAMLESS_TEST_FAULT` names says what goes wrong, and is read again whenever it has
changed. `SEAMLESS_TEST_LINKS` says where the other nodes are reached. All else is the real node.
"""

import errno
import importlib
import json
import os
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from pysyncobj.node import TCPNode

from coordinator.__main__ import main
from coordinator._service.raft.files import Appending, DiskFiles

FAULT = "SEAMLESS_TEST_FAULT"
LINKS = "SEAMLESS_TEST_LINKS"


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """What goes wrong in a node."""

    write_error: int = 0
    """Number of the error of every write, 0: none."""

    sync_error: int = 0
    """Of everything that is to be made safe."""

    sync_s: float = 0.0
    """How much longer that takes."""

    wall_s: float = 0.0
    """How wrong the wall clock is."""

    rate: float = 1.0
    """Seconds of the monotonic clock in a true second; cannot change while the node runs."""


class Told:
    """What a file says."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._seen: tuple[int, int] | None = None
        self._fault = Fault()

    def __call__(self) -> Fault:
        """Return what it says now."""
        stat = self._file.stat()
        seen = (stat.st_ino, stat.st_mtime_ns)
        if seen != self._seen:
            self._fault, self._seen = Fault(**json.loads(self._file.read_text("utf-8"))), seen
        return self._fault


class FaultyFiles(DiskFiles):
    """A folder on a disk that fails, or is slow."""

    def __init__(self, told: Callable[[], Fault], folder: Path) -> None:
        super().__init__(folder)
        self._told = told

    def append(self, name: str) -> Appending:
        """Open a file at its end."""
        return _FaultyFile(super().append(name), self._told)

    def create(self, name: str) -> Appending:
        """Open a file with nothing in it."""
        return _FaultyFile(super().create(name), self._told)

    def sync_folder(self) -> None:
        """Make the names safe."""
        _fail(self._told().sync_error)
        super().sync_folder()


class _FaultyFile:
    def __init__(self, file: Appending, told: Callable[[], Fault]) -> None:
        self._file = file
        self._told = told

    def write(self, data: bytes) -> None:
        fault = self._told()
        if fault.write_error:
            self._file.write(data[: len(data) // 2])  # what there was still room for
        _fail(fault.write_error)
        self._file.write(data)

    def sync(self) -> None:
        fault = self._told()
        time.sleep(fault.sync_s)
        _fail(fault.sync_error)
        self._file.sync()

    def close(self) -> None:
        self._file.close()


def _fail(number: int) -> None:
    if number:
        raise OSError(number, os.strerror(number), errno.errorcode[number])


def move_clocks(told: Callable[[], Fault]) -> None:
    """Make the clocks of this process wrong."""
    wall, wall_ns, monotonic, rate = time.time, time.time_ns, time.monotonic, told().rate
    began = monotonic()
    moved: Mapping[str, Callable[[], float]] = {
        "time": lambda: wall() + told().wall_s,
        "time_ns": lambda: wall_ns() + int(told().wall_s * 1_000_000_000),
        "monotonic": lambda: began + (monotonic() - began) * rate,
    }
    for name, clock in moved.items():
        setattr(time, name, clock)


class LinkedNode(TCPNode):  # type: ignore[misc]  # the library has no types
    """A node that is reached by another way than its name says."""

    links: Mapping[str, int]

    @property
    def port(self) -> int:
        """Where to connect to."""
        port: int = self.links.get(self.address, super().port)
        return port


def install(environ: Mapping[str, str]) -> None:
    """Put all of it in the place of the real things."""
    told = Told(Path(environ[FAULT]))
    move_clocks(told)
    LinkedNode.links = json.loads(environ.get(LINKS, "{}"))
    real = importlib.import_module("coordinator._service.raft.real")
    for name, ours in {
        "DiskFiles": lambda folder: FaultyFiles(told, folder),
        "TCPNode": LinkedNode,
    }.items():
        if not hasattr(real, name):
            raise LookupError(f"{real.__name__} has no {name}: this node would have no faults")
        setattr(real, name, ours)


if __name__ == "__main__":
    install(os.environ)
    sys.exit(main(sys.argv[1:], os.environ))
