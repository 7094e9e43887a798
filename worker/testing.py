"""The road around workers, in memory: topics, judge, store. Ships for tests of programs too.

What a worker reads it with is in `worker.testing_ends`.
"""

import asyncio
from collections import defaultdict, deque
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

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
from topics import RawMessage
from worker.ports import Place, Proof


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
    """Everything outside of workers in one object: topics, judge, store, ledger.

    Each worker has a `MemoryInbox` and a `MemoryEvidence` of its own on it.

    Every chunk is judged at once as `judge` says, and what passes is in the ledger at once, with
    a receipt, unless `store_away` is set.
    """

    def __init__(self) -> None:
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
        self.ledger_queries = 0
        self.mark = 0
        """What passed of the chunks below this offset is told as visible."""

        self._failures: defaultdict[str, deque[Exception]] = defaultdict(deque)
        self._requests: defaultdict[int, list[BackfillRequest | None]] = defaultdict(list)
        self._passed: deque[tuple[Place, BarChunk]] = deque()
        self.on_request: list[Callable[[], None]] = []
        """Called when there are requests to read."""

        self.on_reread: list[Callable[[], None]] = []
        """Called when everybody begins again at what is committed."""

        self.on_proof: list[Callable[[Proof], None]] = []
        """Called with each verdict and receipt."""

        self.paused: set[object] = set()
        """Inboxes that deliver nothing."""

        self._told = asyncio.Event()

    # What a test does

    def ask(self, request: BackfillRequest | None, partition: int = 0) -> None:
        """Publish a request; None: a record that is none."""
        self._requests[partition].append(request)
        for wake in self.on_request:
            wake()

    def fail(self, what: str, *errors: Exception) -> None:
        """Let the next calls of a port (`tell`, `publish`, `windows`, ...) raise these."""
        self._failures[what].extend(errors)

    def reread(self) -> None:
        """Deliver again what is not committed, as when a member comes or goes."""
        for read_again in self.on_reread:
            read_again()

    def verdict(self, place: Place, chunk: BarChunk, verdict: Verdict, **told: Any) -> None:
        """Tell a verdict on a chunk."""
        report = ConformanceReport.on(chunk, place.partition, place.offset, verdict)
        self._prove(replace(report, **told))

    def bring_store_back(self) -> None:
        """Store everything that has passed meanwhile."""
        self.store_away = False
        while self._passed:
            self._store(*self._passed.popleft())

    def lose_store(self) -> None:
        """Bring the store back without what has passed meanwhile."""
        self._passed.clear()
        self.store_away = False

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

    # What its inboxes and evidence are made of

    def requests_from(self, partition: int, offset: int) -> list[RawMessage]:
        """Return the requests of a partition from an offset on."""
        end = len(self._requests[partition])
        return [_message(partition, each) for each in range(offset, end)]

    def request_at(self, message: RawMessage) -> BackfillRequest | None:
        """Return the request of a record; None: it is none."""
        return self._requests[message.partition][message.offset]

    def request_ids(self, partition: int) -> set[str]:
        """Return the requests of a partition."""
        return {request.request_id for request in self._requests[partition] if request}

    def raise_next(self, what: str) -> None:
        """Raise what a test has scripted for a port."""
        if self._failures[what]:
            raise self._failures[what].popleft()

    # Outbox

    async def tell(self, status: BackfillStatus) -> None:
        """Take a status."""
        self.raise_next("tell")
        self.statuses.append(status)
        self._told.set()

    async def publish(self, chunk: BarChunk) -> Place:
        """Take a chunk, and judge it."""
        self.raise_next("publish")
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
        self.raise_next("bury")
        self.buried.append(Buried(message, error_class))

    # Ledger

    async def windows(
        self, series: Series, lanes: tuple[str, ...] | None, window: Window
    ) -> tuple[Window, ...]:
        """Return what is covered."""
        self.ledger_queries += 1
        self.raise_next("windows")
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
        self.raise_next("windows_since")
        held = [
            s.window
            for s in self.stored
            if s.series == series and s.lane == lane and s.token > token
        ]
        return intersect((window,), held)

    async def judged(self, series: Series) -> int:
        """Return where the mark is."""
        del series
        self.raise_next("judged")
        return self.mark

    def _prove(self, proof: Proof) -> None:
        for take in self.on_proof:
            take(proof)

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
                request_ids=chunk.request_ids,
            )
        )


def _message(partition: int, offset: int) -> RawMessage:
    return RawMessage(
        topic="requests", partition=partition, offset=offset, key=b"", value=b"", timestamp_ms=0
    )
