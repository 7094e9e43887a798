"""A node on a real disk that kills its own process in the middle of its work; run as a script.

For every step that the work takes on the disk, and before, in the middle of and after it, a child
works until it dies of SIGKILL there. Then the folder is opened again: everything that the child was
told is applied must be there, in its order, and the node must be able to go on. Prints one line of
JSON. A process of its own, because children are forked: no thread may run beside.
"""

import json
import os
import signal
import sys
import tempfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from coordinator._service.raft.files import Appending, DiskFiles
from coordinator._service.raft.proposal import Applied
from coordinator.machine import OpenSession
from tests.simulation.world import World
from tests.unit.raft_help import Bench, bench_world

COMMANDS = 16
COMPACT = 6
"""So that the work has snapshots and rewritten journals in it."""

_Step = Callable[[str], None]


class _Deadly:
    """Files of a real folder; calls back before, in and after each step."""

    def __init__(self, files: DiskFiles, step: _Step) -> None:
        self._files = files
        self._step = step

    def read(self, name: str) -> bytes | None:
        return self._files.read(name)

    def append(self, name: str) -> Appending:
        return _DeadlyFile(self._files.append(name), name, self._step)

    def create(self, name: str) -> Appending:
        return _DeadlyFile(self._files.create(name), name, self._step)

    def rename(self, name: str, to: str) -> None:
        self._step(f"rename {to} before")
        self._files.rename(name, to)
        self._step(f"rename {to} after")

    def sync_folder(self) -> None:
        self._step("sync folder before")
        self._files.sync_folder()
        self._step("sync folder after")


class _DeadlyFile:
    def __init__(self, file: Appending, name: str, step: _Step) -> None:
        self._file = file
        self._name = name
        self._step = step

    def write(self, data: bytes) -> None:
        self._step(f"write {self._name} before")
        half = len(data) // 2
        self._file.write(data[:half])
        self._step(f"write {self._name} half")
        self._file.write(data[half:])
        self._step(f"write {self._name} after")

    def sync(self) -> None:
        self._step(f"sync {self._name} before")
        self._file.sync()
        self._step(f"sync {self._name} after")

    def close(self) -> None:
        self._file.close()


class _Node(Bench):
    """A node alone, on a real folder."""

    def __init__(self, world: World, folder: Path, step: _Step) -> None:
        files = _Deadly(DiskFiles(folder), step)
        super().__init__(world, nodes=1, disk=files, compact_entries=COMPACT)


def _work(folder: Path, step: _Step, told: Callable[[int], None]) -> None:
    with bench_world() as world:
        node = _Node(world, folder, step)
        node.lead()
        for number in range(COMMANDS):
            node.propose(f"c{number}", OpenSession(session_id=f"s{number:02}", ttl_ms=3_600_000))
            node.turn(0.01)
            node.turn(0.01)
            assert isinstance(node.outcomes[f"c{number}"], Applied)
            told(number)


def _die_at(place: int, folder: Path) -> int:
    """Return the last command that a child was told is applied before it died; -1: none."""
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        steps = 0

        def step(what: str) -> None:
            nonlocal steps
            del what
            steps += 1
            if steps == place:
                os.kill(os.getpid(), signal.SIGKILL)

        def tell(number: int) -> None:
            os.write(write, f"{number}\n".encode())

        try:
            _work(folder, step, tell)
        finally:
            os._exit(1)
    os.close(write)
    _, status = os.waitpid(child, 0)
    with os.fdopen(read) as pipe:
        told = pipe.read().split()
    assert os.WIFSIGNALED(status), f"the child did not die at step {place}"
    return int(told[-1]) if told else -1


def _found_after(folder: Path) -> tuple[list[str], bool]:
    """Return the sessions that a new node finds, and whether it goes on."""
    with bench_world() as world:
        node = _Node(world, folder, lambda _: None)
        node.lead()
        sessions = list(node.engine.replica.state.sessions)
        node.propose("after", OpenSession(session_id="after", ttl_ms=60_000))
        node.turn(0.01)
        node.turn(0.01)
        node.engine.stop("done")
        return sessions, isinstance(node.outcomes["after"], Applied)


def main() -> None:
    """Try every step."""
    kinds: Counter[str] = Counter()
    broken = []
    with tempfile.TemporaryDirectory() as space:
        _work(Path(space, "whole"), lambda what: kinds.update([what]), lambda _: None)
        for place in range(1, kinds.total() + 1):
            folder = Path(space, str(place))
            last = _die_at(place, folder)
            sessions, goes_on = _found_after(folder)
            right = sessions == [f"s{number:02}" for number in range(len(sessions))]
            if len(sessions) <= last or not right or not goes_on:
                broken.append({"step": place, "told": last, "found": sessions, "on": goes_on})
    json.dump({"steps": kinds.total(), "kinds": sorted(kinds), "broken": broken}, sys.stdout)


if __name__ == "__main__":
    main()
