"""A fetch worker with everything outside in memory and time in the hands of the test."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Collection
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from random import Random
from typing import cast

import numpy as np

from avro_schemas import BackfillRequest, BackfillStatus, RequestKind, RequestState
from bars.frame import BarFrame
from bars.series import Series
from coordinator.client import (
    CoordinatorUnavailableError,
    LeaseClient,
    LocalCoordinator,
    machine_config,
)
from runtime.metrics import Metrics
from runtime.settings import BackfillSettings, NodeSettings, Settings, SourceSettings
from runtime.testing import ManualClock
from sources import Source
from sources.testing import ScriptedFetcher
from worker.service import Collaborators, FetchWorker
from worker.testing import MemoryRoad
from worker.testing_ends import MemoryEvidence, MemoryInbox

MINUTE = 60
NODE = "ohlcv:test:A:1m"
SERIES = Series(NODE, MINUTE)
LIFE = [RequestState.ACCEPTED, RequestState.RUNNING, RequestState.DONE]


def bars(count: int, close: float = 1.0) -> BarFrame:
    """Return minute bars from 0 on."""
    ts = np.arange(count, dtype=np.int64) * MINUTE
    price = np.full(count, close)
    return BarFrame(ts, price, price, price, price, np.ones(count))


def settings_of(**backfill: object) -> Settings:
    """Return a configuration with two sources, `first` and `second`, and one series."""
    chosen = BackfillSettings(window_bars=10, jitter_ratio=0.0, lease_ttl_ms=60_000)
    return Settings(
        backfill=replace(chosen, **backfill),  # type: ignore[arg-type]
        sources={
            name: SourceSettings(name=name, kind="python", fetcher="x:y")
            for name in ("first", "second")
        },
        nodes={
            SERIES: NodeSettings(series=SERIES, sources=("first", "second"), calendar="24/7"),
        },
    )


def ask(request_id: str, start: int, end: int, **values: object) -> BackfillRequest:
    """Return a request for minutes `[start, end)` of the series."""
    made = BackfillRequest(
        request_id=request_id,
        kind=RequestKind.SUBMIT,
        node_id=NODE,
        interval=MINUTE,
        start=start * MINUTE,
        end=end * MINUTE,
    )
    return replace(made, **values)  # type: ignore[arg-type]


def cancel(request_id: str) -> BackfillRequest:
    """Return a request that takes another one back."""
    return BackfillRequest(request_id=request_id, kind=RequestKind.CANCEL)


class Line:
    """A worker's line to the lease service, which can be cut, or lose answers."""

    def __init__(self, leases: LocalCoordinator) -> None:
        self.cut = False
        self.loses: set[str] = set()
        """Calls that are obeyed next, and whose answer does not arrive."""

        self.after: dict[str, Callable[[], Awaitable[object]]] = {}
        """What others do as soon as a call of that name was obeyed."""

        self._leases = leases

    def __getattr__(self, name: str) -> Callable[..., Awaitable[object]]:
        async def call(*args: object, **kwargs: object) -> object:
            if self.cut:
                raise CoordinatorUnavailableError("the line is cut")
            answer = await getattr(self._leases, name)(*args, **kwargs)
            if name in self.after:
                await self.after[name]()
            if name in self.loses:
                self.loses.discard(name)
                raise CoordinatorUnavailableError("the answer was lost")
            return answer

        return call


@dataclass(slots=True, kw_only=True)
class Hired:
    """One worker of a fleet."""

    worker: FetchWorker
    inbox: MemoryInbox
    line: Line
    first: ScriptedFetcher
    second: ScriptedFetcher
    metrics: Metrics


@dataclass(slots=True, kw_only=True)
class Fleet:
    """Workers on one road that share one lease service."""

    settings: Settings
    clock: ManualClock
    road: MemoryRoad
    leases: LocalCoordinator
    epoch: int

    def hire(
        self,
        name: str = "worker",
        partitions: Collection[int] = (0,),
        *,
        empty_confirmed: bool = True,
        bars_held: int = 1_000,
        settings: Settings | None = None,
    ) -> Hired:
        """Return one more worker; nothing runs yet."""
        first, second = (ScriptedFetcher({NODE: bars(bars_held)}) for _ in range(2))
        inbox, line = MemoryInbox(self.road, self.clock, partitions), Line(self.leases)
        chosen, metrics = settings or self.settings, Metrics()
        fetchers = {"first": first, "second": second}
        collaborators = Collaborators(
            clock=self.clock,
            leases=cast("LeaseClient", line),
            sources={
                source: Source(source, empty_confirmed, fetchers[source])
                for source in chosen.sources
            },
            inbox=inbox,
            outbox=self.road,
            evidence=MemoryEvidence(self.road, self.clock),
            ledger=self.road,
            metrics=metrics,
        )
        worker = FetchWorker(chosen, collaborators, epoch=self.epoch, name=name)
        return Hired(
            worker=worker, inbox=inbox, line=line, first=first, second=second, metrics=metrics
        )

    @asynccontextmanager
    async def running(self, *hired: Hired) -> AsyncIterator[None]:
        """Have workers run."""
        tasks = [asyncio.create_task(each.worker.run()) for each in hired]
        try:
            yield
        finally:
            for each in hired:
                each.line.cut = False
                each.worker.stop()
            await self.clock.run(0)
            await asyncio.wait_for(asyncio.gather(*tasks), 10)

    async def run(self, seconds: float = 0.0) -> None:
        """Let time pass, and everybody do what is due."""
        await self.clock.run(seconds)

    async def ends(self, request_id: str, within_s: float = 30.0) -> BackfillStatus:
        """Return the final status of a request, if it comes in time."""
        for _ in range(int(within_s * 4) + 1):
            told = [s for s in self.road.statuses if s.request_id == request_id]
            if told and told[-1].state.final:
                return told[-1]
            await self.run(0.25)
        raise AssertionError(f"{request_id} did not end: {told[-1] if told else 'never told of'}")


class Bench:
    """One worker and what it works with."""

    def __init__(self, fleet: Fleet, hired: Hired) -> None:
        self.clock = fleet.clock
        self.road = fleet.road
        self.leases = fleet.leases
        self.worker = hired.worker
        self.first = hired.first
        self.second = hired.second
        self.metrics = hired.metrics
        self.run = fleet.run
        self.ends = fleet.ends


def fleet_of(
    settings: Settings | None = None,
    road: MemoryRoad | None = None,
    clock: ManualClock | None = None,
    epoch: int = 1,
) -> Fleet:
    """Return a fleet without workers; its road may be that of one before."""
    settings, clock = settings or settings_of(), clock or ManualClock()
    leases = LocalCoordinator(clock, epoch, Random(0), machine_config(settings.backfill))
    return Fleet(
        settings=settings, clock=clock, road=road or MemoryRoad(), leases=leases, epoch=epoch
    )


@asynccontextmanager
async def working(
    settings: Settings | None = None,
    road: MemoryRoad | None = None,
    *,
    epoch: int = 1,
    empty_confirmed: bool = True,
    clock: ManualClock | None = None,
    bars_held: int = 1_000,
) -> AsyncIterator[Bench]:
    """Run a worker; its road may be that of one before."""
    fleet = fleet_of(settings, road, clock, epoch)
    hired = fleet.hire(empty_confirmed=empty_confirmed, bars_held=bars_held)
    async with fleet.running(hired):
        yield Bench(fleet, hired)


def fetched_once(fleet: Fleet, bars: int) -> None:
    """Check that every bar was asked for, and published, exactly once."""
    times = [ts for _, chunk in fleet.road.chunks for ts in chunk.ts.tolist()]
    assert sorted(times) == [MINUTE * i for i in range(bars)]


def failed(status: BackfillStatus) -> list[tuple[int, int, str]]:
    """Return from when to when, in minutes, and why a request failed."""
    return [(f.start // MINUTE, f.end // MINUTE, f.error_class) for f in status.failures]
