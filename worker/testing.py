"""The road around the worker, in memory: topics, judge, store. Ships for tests of programs too."""

import asyncio
from collections import defaultdict, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from avro_schemas import (
    BackfillRequest,
    BackfillStatus,
    BarChunk,
    ConformanceReport,
    Receipt,
    RequestState,
    Verdict,
)
from bars.series import Series
from bars.window import Window, intersect
from runtime.clock import Clock
from topics import NotAvroError, RawMessage
from worker.ports import Place, Proof
from worker.waiting import until_set


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredWindow:
    """What the ledger in memory holds."""

    series: Series
    lane: str
    window: Window
    token: int


@dataclass(frozen=True, slots=True)
class Buried:
    """A dead letter."""

    message: RawMessage
    error_class: str


class MemoryRoad:
    """Everything outside the worker in one object: its inbox, outbox, evidence and ledger.

    Every chunk is judged at once as `judge` says, and what passes is in the ledger at once, with
    a receipt, unless `store_away` is set.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.judge: Callable[[BarChunk], Verdict | None] = lambda _chunk: Verdict.PASSED
        """Decides on each chunk; None: no verdict yet."""

        self.store_away = False
        """Whether what passes waits for `bring_store_back`."""

        self.receipts_lost = False
        """Whether receipts are not told: only the ledger shows what is stored."""

        self.statuses: list[BackfillStatus] = []
        self.chunks: list[tuple[Place, BarChunk]] = []
        self.buried: list[Buried] = []
        self.stored: list[StoredWindow] = []
        self.committed: dict[int, int] = {}
        self.paused = False
        self.ledger_queries = 0
        self._failures: defaultdict[str, deque[Exception]] = defaultdict(deque)
        self._requests: list[BackfillRequest | None] = []
        self._read = 0
        self._proofs: deque[Proof] = deque()
        self._passed: deque[tuple[Place, BarChunk]] = deque()
        self._arrived = asyncio.Event()
        self._proved = asyncio.Event()
        self._told = asyncio.Event()

    # What a test does

    def ask(self, request: BackfillRequest | None) -> None:
        """Publish a request; None: a record that is none."""
        self._requests.append(request)
        self._arrived.set()

    def fail(self, what: str, *errors: Exception) -> None:
        """Let the next calls of a port (`tell`, `publish`, `windows`, ...) raise these."""
        self._failures[what].extend(errors)

    def reread(self) -> None:
        """Deliver again what is not committed, as after a rebalance."""
        self._read = self.committed.get(0, 0)
        self._arrived.set()

    def restart(self) -> None:
        """Forget what was delivered to a worker that has ended."""
        self._proofs.clear()
        self.reread()

    def verdict(self, place: Place, chunk: BarChunk, verdict: Verdict, **told: str) -> None:
        """Tell a verdict on a chunk."""
        self._prove(
            ConformanceReport(
                verdict=verdict,
                chunk_partition=place.partition,
                chunk_offset=place.offset,
                chunk_offset_end=place.offset + 1,
                node_id=chunk.node_id,
                interval=chunk.interval,
                lane=chunk.lane,
                start=chunk.start,
                end=chunk.end,
                request_id=chunk.request_id,
                lease_token=chunk.lease_token,
                bars=len(chunk.ts),
                error_class=told.get("error_class", ""),
                message=told.get("message", ""),
            )
        )

    def bring_store_back(self) -> None:
        """Store everything that has passed meanwhile."""
        self.store_away = False
        while self._passed:
            self._store(*self._passed.popleft())

    def states(self, request_id: str) -> list[RequestState]:
        """Return every state that was told of a request, repeats left out."""
        told = [s.state for s in self.statuses if s.request_id == request_id]
        return [state for i, state in enumerate(told) if i == 0 or told[i - 1] is not state]

    def last(self, request_id: str) -> BackfillStatus:
        """Return the last status of a request."""
        return [s for s in self.statuses if s.request_id == request_id][-1]

    async def until_told(self, request_id: str, state: RequestState) -> BackfillStatus:
        """Return the first status of a request in a state, once there is one."""
        while True:
            for status in self.statuses:
                if status.request_id == request_id and status.state is state:
                    return status
            self._told.clear()
            await self._told.wait()

    # Inbox

    async def poll_requests(self, timeout_s: float) -> list[RawMessage]:
        """Return the next requests."""
        if self._read >= len(self._requests) or self.paused:
            self._arrived.clear()
            await until_set(self._arrived, self._clock, timeout_s)
        self._raise("poll")
        if self.paused:
            return []
        first, self._read = self._read, len(self._requests)
        return [_message(offset) for offset in range(first, self._read)]

    async def decode(self, message: RawMessage) -> BackfillRequest:
        """Return the request of a record."""
        self._raise("decode")
        request = self._requests[message.offset]
        if request is None:
            raise NotAvroError("not Avro at all")
        return request

    async def commit(self, offsets: Mapping[int, int]) -> None:
        """Commit."""
        self._raise("commit")
        self.committed.update(offsets)

    async def pause(self) -> None:
        """Deliver nothing."""
        self.paused = True

    async def resume(self) -> None:
        """Deliver again."""
        self.paused = False

    # Outbox

    async def tell(self, status: BackfillStatus) -> None:
        """Take a status."""
        self._raise("tell")
        self.statuses.append(status)
        self._told.set()

    async def publish(self, chunk: BarChunk) -> Place:
        """Take a chunk, and judge it."""
        self._raise("publish")
        place = Place(0, len(self.chunks))
        self.chunks.append((place, chunk))
        verdict = self.judge(chunk)
        if verdict is not None:
            self.verdict(place, chunk, verdict)
        if verdict is Verdict.PASSED:
            self._passed.append((place, chunk))
            if not self.store_away:
                self.bring_store_back()
        return place

    async def bury(
        self, message: RawMessage, error_class: str, reason: str, first_seen_us: int
    ) -> None:
        """Take a dead letter."""
        del reason, first_seen_us
        self._raise("bury")
        self.buried.append(Buried(message, error_class))

    # Evidence

    async def poll_proofs(self, timeout_s: float) -> list[Proof]:
        """Return verdicts and receipts."""
        if not self._proofs:
            self._proved.clear()
            await until_set(self._proved, self._clock, timeout_s)
        self._raise("poll_proofs")
        found = list(self._proofs)
        self._proofs.clear()
        return found

    # Ledger

    async def windows(
        self, series: Series, lanes: tuple[str, ...] | None, window: Window
    ) -> tuple[Window, ...]:
        """Return what is covered."""
        self.ledger_queries += 1
        self._raise("windows")
        held = [
            s.window
            for s in self.stored
            if s.series == series and (lanes is None or s.lane in lanes)
        ]
        return intersect((window,), held)

    async def windows_since(
        self, series: Series, lane: str, window: Window, token: int
    ) -> tuple[Window, ...]:
        """Return what is covered by later leases."""
        self.ledger_queries += 1
        self._raise("windows_since")
        held = [
            s.window
            for s in self.stored
            if s.series == series and s.lane == lane and s.token > token
        ]
        return intersect((window,), held)

    def _raise(self, what: str) -> None:
        if self._failures[what]:
            raise self._failures[what].popleft()

    def _prove(self, proof: Proof) -> None:
        self._proofs.append(proof)
        self._proved.set()

    def _store(self, place: Place, chunk: BarChunk) -> None:
        series = Series(chunk.node_id, chunk.interval)
        window = Window(chunk.start, chunk.end)
        self.stored.append(
            StoredWindow(series=series, lane=chunk.lane, window=window, token=chunk.lease_token)
        )
        if self.receipts_lost:
            return
        self._prove(
            Receipt(
                node_id=chunk.node_id,
                interval=chunk.interval,
                lane=chunk.lane,
                start=chunk.start,
                end=chunk.end,
                covers=((chunk.start, chunk.end),),
                known=1,
                bars=len(chunk.ts),
                content_hash=chunk.content_hash,
                history_partition=0,
                history_offset=place.offset,
                chunk_partition=place.partition,
                chunk_offset=place.offset,
                lease_token=chunk.lease_token,
                request_id=chunk.request_id,
            )
        )


class MemoryInbox:
    """The road's side that is read for requests."""

    def __init__(self, road: MemoryRoad) -> None:
        self.poll = road.poll_requests
        self.decode = road.decode
        self.commit = road.commit
        self.pause = road.pause
        self.resume = road.resume


class MemoryEvidence:
    """The road's side that is read for verdicts and receipts."""

    def __init__(self, road: MemoryRoad) -> None:
        self.poll = road.poll_proofs


def _message(offset: int) -> RawMessage:
    return RawMessage(
        topic="requests", partition=0, offset=offset, key=b"", value=b"", timestamp_ms=0
    )
