"""PySyncObj as it is, with a counter and an honest disk: what the lease service is compared with.

`python -m benchmarks.bare_raft SELF [OTHER ...]`, the addresses of the nodes. Only the disk is not
the library's: what is appended is synced before any message leaves, and before the node that leads
counts itself. A line with a number of clients and seconds on standard input makes the node that
leads measure; each node answers every such line with one of JSON.
"""

import json
import logging
import os
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import pysyncobj.syncobj
from pysyncobj import SyncObj, SyncObjConf, replicated
from pysyncobj.journal import MemoryJournal
from pysyncobj.transport import TCPTransport

CALL_S = 10.0


class SyncedJournal(MemoryJournal):  # type: ignore[misc]  # the library has no types
    """The library's journal in memory, and a file that is appended to beside it."""

    def __init__(self, path: str) -> None:
        super().__init__()
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        self._dirty = False

    def add(self, command: bytes, idx: int, term: int) -> None:
        """Append an entry."""
        super().add(command, idx, term)
        os.write(self._file, b"%d %d %d " % (idx, term, len(command)) + command)
        self._dirty = True

    def setRaftCommitIndex(self, raftCommitIndex: int) -> None:  # noqa: N802, N803 - the library's
        """Nothing is committed that is not on this disk."""
        self.sync()
        super().setRaftCommitIndex(raftCommitIndex)

    def sync(self) -> None:
        """Return when what was appended is on the disk."""
        if self._dirty:
            os.fdatasync(self._file)
            self._dirty = False


class SyncedTransport(TCPTransport):  # type: ignore[misc]
    """Sends nothing that the disk does not know."""

    def __init__(self, syncObj: Any, selfNode: Any, otherNodes: Any) -> None:  # noqa: N803
        super().__init__(syncObj, selfNode, otherNodes)
        self._journal = syncObj._SyncObj__raftLog  # noqa: SLF001 - before anybody is connected

    def send(self, node: Any, message: Any) -> bool:
        """Send a message."""
        self._journal.sync()
        return bool(super().send(node, message))


class Counter(SyncObj):  # type: ignore[misc]
    """A number that all nodes agree on."""

    def __init__(self, own: str, others: list[str], journal: str) -> None:
        self.value = 0
        # What the lease service sets too: without it each command waits for a heartbeat.
        conf = SyncObjConf(
            appendEntriesUseBatch=False,
            appendEntriesPeriod=0.05,
            raftMinTimeout=0.25,
            raftMaxTimeout=0.6,
            bindAddress=own,
            journalFile=journal,
        )
        super().__init__(own, others, conf, transportClass=SyncedTransport)

    @replicated  # type: ignore[untyped-decorator]
    def add(self) -> int:
        """Add one."""
        self.value += 1
        return self.value


def measure(counter: Counter, clients: int, seconds: float) -> list[float]:
    """Return how long each pair of commands took, seconds."""
    took: list[list[float]] = [[] for _ in range(clients)]
    until = time.monotonic() + seconds

    def client(own: list[float]) -> None:
        while (began := time.monotonic()) < until:
            counter.add(sync=True, timeout=CALL_S)
            counter.add(sync=True, timeout=CALL_S)
            own.append(time.monotonic() - began)

    threads = [threading.Thread(target=client, args=(own,)) for own in took]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return [pair for own in took for pair in own]


def main(own: str, others: list[str]) -> None:
    """Serve until standard input ends."""
    with tempfile.TemporaryDirectory(prefix="seamless-bare-") as folder:
        pysyncobj.syncobj.createJournal = SyncedJournal
        # It warns of every entry that it sends twice, which without batches is many.
        logging.getLogger("pysyncobj").setLevel(logging.CRITICAL + 1)
        counter = Counter(own, others, str(Path(folder, "journal")))
        for line in sys.stdin:
            while not counter.isReady():
                time.sleep(0.01)
            clients, seconds = line.split()
            leads = counter._isLeader()  # noqa: SLF001 - there is no other way to ask
            took = measure(counter, int(clients), float(seconds)) if leads else []
            print(json.dumps(took), flush=True)
        counter.destroy()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
