"""A fetch worker with everything outside in memory and time in the hands of the test."""

import asyncio
from collections.abc import AsyncIterator, Collection, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from random import Random

import numpy as np

from avro_schemas import BackfillRequest, BackfillStatus, RequestKind
from bars.frame import BarFrame
from bars.series import Series
from coordinator.client import LocalCoordinator, machine_config
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


@dataclass(slots=True, kw_only=True)
class Bench:
    """One worker and what it works with."""

    clock: ManualClock
    road: MemoryRoad
    first: ScriptedFetcher
    second: ScriptedFetcher
    leases: LocalCoordinator
    worker: FetchWorker
    task: "asyncio.Task[None]"

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
        name: str,
        sources: Mapping[str, Source],
        partitions: Collection[int] = (0,),
        settings: Settings | None = None,
    ) -> tuple[FetchWorker, MemoryInbox]:
        """Return one more worker, and its end of the request topic."""
        inbox = MemoryInbox(self.road, self.clock, partitions)
        collaborators = Collaborators(
            clock=self.clock,
            leases=self.leases,
            sources=sources,
            inbox=inbox,
            outbox=self.road,
            evidence=MemoryEvidence(self.road, self.clock),
            ledger=self.road,
            metrics=Metrics(),
        )
        chosen = settings or self.settings
        return FetchWorker(chosen, collaborators, epoch=self.epoch, name=name), inbox


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
    first, second = (ScriptedFetcher({NODE: bars(bars_held)}) for _ in range(2))
    sources = {
        "first": Source("first", empty_confirmed, first),
        "second": Source("second", empty_confirmed, second),
    }
    worker, _ = fleet.hire("worker", sources)
    task = asyncio.create_task(worker.run())
    bench = Bench(
        clock=fleet.clock,
        road=fleet.road,
        first=first,
        second=second,
        leases=fleet.leases,
        worker=worker,
        task=task,
    )
    try:
        yield bench
    finally:
        worker.stop()
        await fleet.clock.run(0)
        await asyncio.wait_for(task, 10)
