"""What the tests of the provider share: a market day by day, a source, a clock, a provider."""

import asyncio
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from bars.frame import BarFrame, Times
from bars.series import Series
from provider import DataSource, SeamlessDataProvider, Storage
from provider._parts import direct_parts
from runtime import BackfillSettings, NodeSettings
from runtime.testing import ManualClock

DAY = 86_400
NODE = "ohlcv:nasdaq:AAPL:1d"
SERIES = Series(NODE, DAY)
ASK: dict[str, Any] = {"node_id": NODE, "interval": DAY}
LANE = "bf:daily"
START = 1_577_836_800
"""2020-01-01, a holiday of XNYS; its first session of the year is 2020-01-02."""
END = START + 60 * DAY
NOW = START + 400 * DAY

STOCK = NodeSettings(series=SERIES, sources=("daily",), calendar="XNYS")
QUICK = BackfillSettings(max_attempts=3, retry_backoff_ms=100, jitter_ratio=0.0)


def clock_at(now: int = NOW) -> ManualClock:
    """Return a clock that shows epoch seconds."""
    return ManualClock(now * 1_000_000)


def bars_at(ts: Times, seed: int = 7) -> BarFrame:
    """Return right bars at some times; the same seed and time give the same values."""
    base = 100.0 + ((ts // 60 + seed) % 97).astype(np.float64)
    return BarFrame(
        ts.astype(np.int64).copy(),
        base,
        base + 2.5,
        base - 1.25,
        base + 0.125 * seed,
        (ts % 1_000 + seed).astype(np.float64),
    )


def weekdays(start: int = START, end: int = END) -> Times:
    """Return 00:00 UTC of each Monday to Friday; 1970-01-01 was a Thursday."""
    days: Times = np.arange(start, end, DAY, dtype=np.int64)
    return days[((days // DAY + 3) % 7) < 5]


@dataclass
class Upstream:
    """A source that knows the truth, counts what it is asked, and fails on command."""

    truth: BarFrame
    failing: list[Exception] = field(default_factory=list)
    calls: list[tuple[int, int]] = field(default_factory=list)
    gate: asyncio.Event = field(default_factory=asyncio.Event)
    """Answers leave only while it is set, as it is at first."""

    def __post_init__(self) -> None:
        self.gate.set()
        self._asked = asyncio.Event()

    async def until_asked(self) -> None:
        """Return once somebody has asked."""
        await self._asked.wait()

    async def fetch(self, start: int, end: int, *, node_id: str, interval: int) -> pd.DataFrame:
        """Return the bars of `[start, end)`."""
        assert node_id
        assert interval
        self.calls.append((start, end))
        self._asked.set()
        await self.gate.wait()
        if self.failing:
            raise self.failing.pop(0)
        inside = (self.truth.ts >= start) & (self.truth.ts < end)
        return self.truth.take(inside).to_pandas()

    @property
    def asked(self) -> Times:
        """Every bar of the truth once for each time that it was asked for."""
        ts = self.truth.ts
        return np.sort(
            np.concatenate([ts[(ts >= s) & (ts < e)] for s, e in self.calls] or [ts[:0]])
        )


class Market:
    """A source that has a bar in every slot, whoever asks."""

    async def fetch(self, start: int, end: int, *, node_id: str, interval: int) -> pd.DataFrame:
        """Return the bars of `[start, end)`."""
        assert node_id
        return bars_at(np.arange(start, end, interval, dtype=np.int64)).to_pandas()


def same(frame: pd.DataFrame, bars: BarFrame) -> bool:
    """Return whether a frame holds exactly these bars, bit for bit, in the promised shape."""
    found = BarFrame(*(frame[name].to_numpy().copy() for name in frame.columns))
    return list(frame.columns) == list(bars.to_pandas().columns) and found.equals(bars)


def sessions() -> BarFrame:
    """Return the truth: every session of XNYS in the window."""
    holidays = [START, START + 19 * DAY, START + 47 * DAY]  # new year, King, Washington
    return bars_at(np.setdiff1d(weekdays(), np.array(holidays, np.int64)))


class Made(SeamlessDataProvider):
    """A provider over any storage, which asks a plain fetcher."""

    def __init__(
        self, storage: Storage | DataSource, fetcher: Upstream | None, **options: Any
    ) -> None:
        options = {
            "nodes": {SERIES: STOCK},
            "clock": clock_at(),
            "backfill_config": QUICK,
            "source_name": "daily",
        } | options
        self._assemble(direct_parts(storage, fetcher, options))  # type: ignore[arg-type]


async def pass_time(clock: ManualClock, work: asyncio.Future[Any]) -> None:
    """Advance by small steps until the work is done; the deadline's own sleeper never ends."""
    for _ in range(2_000):
        if work.done():
            return
        await asyncio.sleep(0.005)
        if clock.sleeping > 1:
            clock.advance(0.05)
    raise AssertionError("the work is not done after 2,000 steps")
