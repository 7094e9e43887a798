"""What the nodes' own logs say: each entry, and what the machine answers to it."""

import json
import os
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from coordinator._service import genesis
from coordinator._service.raft import folder, records, snapshot
from coordinator._service.raft.files import DiskFiles
from coordinator._service.raft.records import Contents
from coordinator._service.raft.snapshot import Snapshot
from coordinator.machine.replica import Replica
from coordinator.recovery.offline import COMMAND
from tests.simulation.history import Application, History, Said

FIRST: Final = 2
"""Before it stands what every log begins with."""

KEYED: Final = 3
"""Parts of the id of a request: role, the client's key, digest of the command."""


@dataclass(slots=True)
class Logs:
    """The logs of all nodes, read from their folders, again and again while they grow."""

    folders: dict[str, Path]
    history: History
    began: float
    """When the first node was started, monotonic."""

    request_ids: set[str] = field(default_factory=set)
    """Of all commands."""

    _replica: Replica | None = None
    _replayed: dict[int, tuple[int, str, int]] = field(default_factory=dict)
    """Entry's checksum, chain of replies and clock, by place."""

    _next: int = FIRST
    _read: dict[str, int] = field(default_factory=dict)

    def read(self, now: float, up_to: int | None = None) -> None:
        """Take in what has come since the last time.

        Args:
            now: Monotonic.
            up_to: Place up to which every node is known to have applied its log; None: what each
                knows to be committed.
        """
        found = {node: self._news(node, path, up_to) for node, path in self.folders.items()}
        merged: dict[int, bytes] = {}
        for entries in found.values():
            # Where logs differ, the first one's is replayed and the others are told by the checks.
            merged = {**entries, **merged}
        while self._next in merged:
            self._replay(merged[self._next])
            self._next += 1
        later = min((at for at in merged if at > self._next), default=None)
        if later is not None:
            raise AssertionError(
                f"nobody read entries {self._next} to {later - 1} while they stood"
            )
        for node, entries in found.items():
            self._take(node, entries, now)

    def digest(self) -> str:
        """Return the digest of the state after all entries."""
        assert self._replica is not None
        return self._replica.digest()

    def _news(self, node: str, path: Path, up_to: int | None) -> dict[int, bytes]:
        before, now = journals(path)
        state = DiskFiles(path).read(folder.SNAPSHOT)
        kept = None if state is None else snapshot.decode(state)
        begin = self._read.get(node, FIRST - 1) + 1
        found: dict[int, bytes] = {}
        # Of an older file, what `up_to` says may be another log's: this node may have left it.
        for data, known in ((before, None), (now, up_to)):
            contents = records.read_journal(data, folder.JOURNAL)
            last = _committed(contents, kept) if known is None else known
            found |= {at: entry for entry, at, _ in contents.entries if begin <= at <= last}
        return found

    def _take(self, node: str, entries: Mapping[int, bytes], now: float) -> None:
        for index, data in sorted(entries.items()):
            if index >= self._next:
                return
            self._read[node] = index
            if index not in self._replayed:
                continue
            # The same entries give the same replies; the nodes' own digests are compared too.
            _, chain, clock_ms = self._replayed[index]
            seen = Application(
                node=node,
                index=index,
                entry=zlib.crc32(data),
                chain=chain,
                now=now - self.began,
                clock_ms=clock_ms,
            )
            self.history.applications.append(seen)

    def _replay(self, entry: bytes) -> None:
        if entry[:1] != COMMAND:
            return
        if self._replica is None:
            first = next(iter(self.folders.values()))
            self._replica = Replica(genesis.read(first / genesis.FILE))
        index, data = self._next, entry[1:]
        reply = self._replica.apply(data)
        request_id = json.loads(data)["request_id"]
        if request_id:
            parts = request_id.split(":")
            request_id = parts[1] if len(parts) == KEYED else request_id
            self.request_ids.add(request_id)
        stale = json.loads(reply)["reply"]["code"] == "stale_leader"
        said = Said(index=index, request_id=request_id, reply=reply, stale=stale)
        self.history.said[index] = said
        clock_ms = self._replica.state.clock_ms
        self._replayed[index] = zlib.crc32(entry), self._replica._chain, clock_ms


def journals(path: Path) -> tuple[bytes, bytes]:
    """Return what a node's journal holds, and before it what the last one held.

    A snapshot takes the place of entries: the file is replaced, and with it would go what has come
    since it was last looked at. A second name keeps it until the next look.
    """
    held, now = path.with_name(f"{path.name}.held"), path.with_name(f"{path.name}.now")
    os.link(path / folder.JOURNAL, now)
    before = held.read_bytes() if held.exists() and not held.samefile(now) else b""
    now.replace(held)
    now.unlink(missing_ok=True)  # two names of one file: a rename does nothing then
    return before, held.read_bytes()


def _committed(contents: Contents, kept: Snapshot | None) -> int:
    """Return up to which of a file's entries are known to be committed."""
    if kept is not None and (kept.index, kept.term) in {e[1:] for e in contents.entries}:
        return max(contents.commit, kept.index)
    return contents.commit
