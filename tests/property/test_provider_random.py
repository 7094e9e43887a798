"""Strategies against sources that cover, fail, dawdle and overlap at random: answers are the truth.

Each seed is one world and a few calls; the seed stands in every message and replays it.
"""

import asyncio
import os
import random
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
import pytest

from bars.errors import SeamlessError
from bars.frame import BarFrame
from bars.series import Series
from bars.window import Window
from provider import (
    BackfillConfig,
    DataSourcePriority,
    MemoryCache,
    MemoryStorage,
    NewRecord,
    NodeSettings,
    SLAPolicy,
)
from runtime.testing import ManualClock
from sources import SourceError, SourceUnavailableError
from tests.provider_help import LANE, Made, bars_at

MINUTE = 60
SLOTS = 120
T0 = 1_600_000_020
NODE = Series("x", MINUTE)
SEEDS = int(os.environ.get("SEAMLESS_PROVIDER_SEEDS", "60"))


def slots(first: int, end: int) -> Window:
    return Window(T0 + first * MINUTE, T0 + end * MINUTE)


@dataclass
class World:
    """The truth, and who knows what of it."""

    random: random.Random
    clock: ManualClock = field(init=False)
    truth: BarFrame = field(init=False)
    calls: int = 0

    def __post_init__(self) -> None:
        now = T0 + (SLOTS - self.random.choice([0, 0, 7])) * MINUTE
        self.clock = ManualClock(now * 1_000_000)
        traded = [k for k in range(SLOTS) if self.random.random() < 0.95]
        self.truth = bars_at(T0 + MINUTE * np.array(traded, np.int64))

    def window(self) -> Window:
        first = self.random.randrange(SLOTS)
        return slots(first, min(SLOTS, first + self.random.choice([1, 5, 20, 60])))

    async def pause(self) -> None:
        if self.random.random() < 0.4:
            await self.clock.sleep(self.random.choice([0.01, 0.1, 1.0]))

    def stumble(self, share: float) -> None:
        if self.random.random() < share:
            kinds: list[Exception] = [
                SourceError("random", "no"),
                SourceUnavailableError("random", "not now"),
                OSError("gone"),
                ValueError("odd"),
            ]
            raise self.random.choice(kinds)

    async def storage(self) -> MemoryStorage:
        """Return facts that win as the truth, whatever they were before."""
        made = Storage(self)
        for known in range(1, self.random.randrange(1, 8)):
            window = self.window()
            older = bars_at(self.truth.inside(window).ts, seed=3)
            if self.random.random() < 0.4:
                await made.add([NewRecord(NODE, LANE, window, known, older)])
            if self.random.random() < 0.4:
                await made.add([NewRecord(NODE, "roll", window, 500 + known, older)])
            right = self.truth.inside(window)
            await made.add([NewRecord(NODE, LANE, window, 100 + known, right)])
        made.shaky = self.random.choice([0.0, 0.0, 0.2])
        return made


class Storage(MemoryStorage):
    """A storage that dawdles and stumbles once it is told to."""

    shaky = 0.0

    def __init__(self, world: World) -> None:
        super().__init__({LANE: 1, "roll": 0}, world.clock)
        self._world = world

    async def ledger(self, *args: Any, **more: Any) -> Any:
        await self._world.pause()
        self._world.stumble(self.shaky)
        return await super().ledger(*args, **more)

    async def winners(self, *args: Any, **more: Any) -> Any:
        await self._world.pause()
        self._world.stumble(self.shaky)
        return await super().winners(*args, **more)


class Plain:
    """A source without versions that has parts of the truth, and answers more than it was asked."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.priority = world.random.choice(list(DataSourcePriority))
        self._windows = [world.window() for _ in range(world.random.randrange(4))]
        self._shaky = world.random.choice([0.0, 0.3])

    async def is_available(self, *_: Any, **__: Any) -> bool:
        return False

    async def coverage(self, **_: Any) -> list[tuple[int, int]]:
        await self._world.pause()
        self._world.stumble(self._shaky)
        return [(w.start, w.end - MINUTE) for w in self._windows]

    async def fetch(self, start: int, end: int, **_: Any) -> pd.DataFrame:
        await self._world.pause()
        self._world.stumble(self._shaky)
        more = self._world.random.choice([0, 0, 3 * MINUTE])
        frame = self._world.truth.inside(Window(start - more, end + more)).to_pandas()
        return frame.sample(frac=1, random_state=1) if more else frame


class Source:
    """A fetcher that dawdles and stumbles."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._shaky = world.random.choice([0.0, 0.3, 1.0])

    async def fetch(self, start: int, end: int, **_: Any) -> pd.DataFrame:
        self._world.calls += 1
        await self._world.pause()
        self._world.stumble(self._shaky)
        return self._world.truth.inside(Window(start, end)).to_pandas()


async def made(world: World) -> Made:
    options: dict[str, Any] = {
        "nodes": {NODE: NodeSettings(series=NODE, sources=("s",), calendar="24/7")},
        "clock": world.clock,
        "empty_confirmed": True,
        "backfill_config": BackfillConfig(
            window_bars=world.random.choice([7, 900]), max_attempts=2, retry_backoff_ms=10
        ),
        "sources": [Plain(world) for _ in range(world.random.randrange(3))],
        "cache_source": world.random.choice([None, MemoryCache(clock=world.clock)]),
    }
    upstream: Any = world.random.choice([Source(world), Source(world), None])
    return Made(await world.storage(), upstream, **options)


def level(world: World) -> SLAPolicy | None:
    return world.random.choice(
        [
            None,
            SLAPolicy(max_wait_storage_ms=50, max_wait_backfill_ms=200),
            SLAPolicy(total_deadline_ms=500, max_sync_gap_bars=10),
            SLAPolicy(total_deadline_ms=100, min_coverage=0.5, on_violation="partial_fill"),
        ]
    )


def check(world: World, window: Window, frame: pd.DataFrame, seed: int) -> None:
    """See that the answer is the truth, and that nothing is hidden."""
    told = frame.attrs["seamless"]
    ts = frame["ts"].to_numpy()
    assert (np.diff(ts) > 0).all(), f"seed {seed}: ascending and unique"
    own = world.truth.inside(window)
    rows = np.isin(own.ts, ts)
    found = BarFrame(*(frame[name].to_numpy().copy() for name in frame.columns))
    assert found.equals(own.take(rows)), f"seed {seed}: values are the truth's"
    assert told["cut"] == []
    reasons = {
        slot: absence["reason"]
        for absence in told["missing"]
        for slot in range(absence["start"], absence["end"] + 1, MINUTE)
    }
    every = set(range(window.start, window.end, MINUTE))
    assert every == set(ts.tolist()) | reasons.keys(), f"seed {seed}: every slot is accounted for"
    assert not set(ts.tolist()) & reasons.keys()
    now = world.clock.wall_us() // 1_000_000
    for slot in own.ts[~rows].tolist():
        allowed = {"unknown", "failed"} if slot + MINUTE <= now else {"not_closed", "unknown"}
        assert reasons[slot] in allowed, f"seed {seed}: {slot} is called {reasons[slot]}"


async def one_call(world: World, provider: Made, seed: int, *, alone: bool) -> None:
    window, strategy = (
        world.window(),
        world.random.choice(["fail_fast", "auto_backfill", "partial_fill", "seamless"]),
    )
    sla, before = level(world), world.calls
    about: dict[str, Any] = {"node_id": NODE.node, "interval": MINUTE}
    busy = bool(provider.jobs())
    try:
        frame = await provider.fetch(window.start, window.end, **about, strategy=strategy, sla=sla)
    except SeamlessError:
        partly = strategy in {"partial_fill", "seamless"}
        assert not (partly and sla is None), f"seed {seed}: {strategy} answers whatever happens"
        frame = None
    if strategy == "fail_fast" and alone and not busy:
        assert world.calls == before, f"seed {seed}: FAIL_FAST never asks"
    if frame is None:
        return
    check(world, window, frame, seed)
    violated = frame.attrs["seamless"]["downgraded"]
    if strategy in {"fail_fast", "auto_backfill"} and not violated:
        closed = window.intersect(Window(0, world.clock.wall_us() // 1_000_000 - MINUTE + 1))
        wanted = 0 if closed is None else len(world.truth.inside(closed))
        assert len(frame) >= wanted, f"seed {seed}: {strategy} answers all or raises"


@pytest.mark.parametrize("block", range(4))
async def test_every_answer_is_the_truth_and_hides_nothing(block: int) -> None:
    for seed in range(block, SEEDS, 4):
        world = World(random.Random(seed))
        provider = await made(world)
        for _ in range(6):
            count = world.random.choice([1, 1, 3])
            calls = [
                asyncio.ensure_future(one_call(world, provider, seed, alone=count == 1))
                for _ in range(count)
            ]
            for _ in range(400):
                if all(call.done() for call in calls):
                    break
                await world.clock.run(0.05)
            assert all(call.done() for call in calls), f"seed {seed}: a call never ended"
            for call in calls:
                call.result()
        await provider.close()
        assert provider.jobs() == [], f"seed {seed}"
