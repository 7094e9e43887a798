"""What a worker reads the road in memory with: requests as a member of the group, evidence."""

import asyncio
from collections import deque
from collections.abc import Collection, Mapping

from avro_schemas import BackfillRequest, BackfillStatus
from runtime.clock import Clock
from topics import NotAvroError, NotOwnerError, RawMessage
from worker.ports import Moved, Proof
from worker.testing import MemoryRoad
from worker.waiting import until_set


class MemoryInbox:
    """The request topic as one member of the group reads it; a test plays the group."""

    def __init__(self, road: MemoryRoad, clock: Clock, partitions: Collection[int] = (0,)) -> None:
        """Be given some partitions at once."""
        self._arrived = asyncio.Event()
        self._road = road
        self._clock = clock
        self._read: dict[int, int] = {}
        self._gained: set[int] = set()
        self._lost: set[int] = set()
        road.on_request.append(self._arrived.set)
        road.on_reread.append(self._read_again)
        for partition in partitions:
            self.give(partition)

    def give(self, partition: int) -> None:
        """Have the group give it a partition."""
        self._read[partition] = self._road.committed.get(partition, 0)
        self._gained.add(partition)
        self._arrived.set()

    def take(self, partition: int) -> None:
        """Have the group take a partition from it."""
        del self._read[partition]
        self._gained.discard(partition)
        self._lost.add(partition)
        self._arrived.set()

    def _read_again(self) -> None:
        """Begin again at what is committed."""
        self._read = {p: self._road.committed.get(p, 0) for p in self._read}
        self._arrived.set()

    async def poll(self, timeout_s: float) -> list[RawMessage]:
        """Return the next requests."""
        if not self._lost and not self._gained and not self._next():
            self._arrived.clear()
            await until_set(self._arrived, self._clock, timeout_s)
        self._road.raise_next("poll")
        found = self._next()
        for message in found:
            self._read[message.partition] = message.offset + 1
        return found

    def moved(self) -> Moved:
        """Return what the test has given and taken."""
        moved = Moved(frozenset(self._gained), frozenset(self._lost))
        self._gained.clear()
        self._lost.clear()
        return moved

    async def answered(self, partitions: Collection[int]) -> list[BackfillStatus]:
        """Return the final statuses of requests in some partitions."""
        self._road.raise_next("answered")
        ids = {each for partition in partitions for each in self._road.request_ids(partition)}
        return [s for s in self._road.statuses if s.request_id in ids and s.state.final]

    async def decode(self, message: RawMessage) -> BackfillRequest:
        """Return the request of a record."""
        self._road.raise_next("decode")
        request = self._road.request_at(message)
        if request is None:
            raise NotAvroError("not Avro at all")
        return request

    async def commit(self, offsets: Mapping[int, int]) -> None:
        """Commit, if all of it is ours."""
        self._road.raise_next("commit")
        if not offsets.keys() <= self._read.keys():
            raise NotOwnerError("worker", "a test took the partition")
        self._road.committed.update(offsets)

    async def pause(self) -> None:
        """Deliver nothing."""
        self._road.paused.add(self)

    async def resume(self) -> None:
        """Deliver again."""
        self._road.paused.discard(self)

    def _next(self) -> list[RawMessage]:
        if self in self._road.paused:
            return []
        return [
            message
            for partition, offset in self._read.items()
            for message in self._road.requests_from(partition, offset)
        ]


class MemoryEvidence:
    """The verdicts and receipts from now on, for one worker."""

    def __init__(self, road: MemoryRoad, clock: Clock) -> None:
        self._road = road
        self._clock = clock
        self._proofs: deque[Proof] = deque()
        self._proved = asyncio.Event()
        road.on_proof.append(self._take)

    def _take(self, proof: Proof) -> None:
        self._proofs.append(proof)
        self._proved.set()

    async def poll(self, timeout_s: float) -> list[Proof]:
        """Return verdicts and receipts."""
        if not self._proofs:
            self._proved.clear()
            await until_set(self._proved, self._clock, timeout_s)
        self._road.raise_next("poll_proofs")
        found = list(self._proofs)
        self._proofs.clear()
        return found
