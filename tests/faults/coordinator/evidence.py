"""What the nodes' own logs say: each entry, and what the machine answers to it."""

import json
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from coordinator._service import genesis
from coordinator._service.raft import folder
from coordinator._service.raft.files import DiskFiles
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
        for node, entries in found.items():
            self._take(node, entries, now)

    def digest(self) -> str:
        """Return the digest of the state after all entries."""
        assert self._replica is not None
        return self._replica.digest()

    def _news(self, node: str, path: Path, up_to: int | None) -> dict[int, bytes]:
        view = folder.read(DiskFiles(path))
        assert view is not None
        last = view.contents.commit if up_to is None else up_to
        begin = self._read.get(node, FIRST - 1) + 1
        return {at: data for data, at, _ in view.contents.entries if begin <= at <= last}

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
