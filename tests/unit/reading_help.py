"""Sources to read from, with versions, without, switched off; and what was read from which."""

from collections.abc import Callable, Sequence
from typing import Any

import pandas as pd

from bars.frame import BarFrame
from bars.window import Window
from provider import DataSourcePriority, MemoryStorage, NewRecord, StoreUnavailableError
from tests.provider_help import DAY, LANE, SERIES, START, clock_at, sessions

RANKS = {LANE: 1, "roll": 0}


class Plain:
    """A `DataSource` of QMTL: no versions, no ledger."""

    def __init__(
        self,
        truth: BarFrame,
        windows: Sequence[Window],
        priority: DataSourcePriority = DataSourcePriority.STORAGE,
    ) -> None:
        self.priority = priority
        self.truth = truth
        self.windows = list(windows)
        self.fetches: list[tuple[int, int]] = []
        self.failing: Exception | None = None
        self.blind: Exception | None = None
        self.shape: Callable[[pd.DataFrame], pd.DataFrame] = lambda frame: frame

    async def is_available(self, start: int, end: int, **_: Any) -> bool:
        return any(w.start <= start and end <= w.end for w in self.windows)

    async def coverage(self, **_: Any) -> list[tuple[int, int]]:
        if self.blind is not None:
            raise self.blind
        return [(w.start, w.end - DAY) for w in self.windows]

    async def fetch(self, start: int, end: int, **_: Any) -> pd.DataFrame:
        self.fetches.append((start, end))
        if self.failing is not None:
            raise self.failing
        return self.shape(self.truth.inside(Window(start, end)).to_pandas())


async def stored(*windows: Window, truth: BarFrame | None = None) -> MemoryStorage:
    """Return a storage that has the bars of some windows."""
    storage = MemoryStorage(RANKS, clock_at())
    for known, window in enumerate(windows, 1):
        bars = (truth or sessions()).inside(window)
        await storage.add([NewRecord(SERIES, LANE, window, known, bars)])
    return storage


def read_from(frame: pd.DataFrame) -> list[tuple[str, int, int]]:
    """Return which source each range of days of an answer is from."""
    told = frame.attrs["seamless"]["read_from"]
    return [(t["source"], (t["start"] - START) // DAY, (t["end"] - START) // DAY) for t in told]


class Flaky(MemoryStorage):
    """A storage that can be switched off."""

    down = False

    async def ledger(self, *args: Any, **more: Any) -> Any:
        if self.down:
            raise StoreUnavailableError("here", "switched off")
        return await super().ledger(*args, **more)
