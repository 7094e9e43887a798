"""What a strategy's parts look like to each other: sources, fetchers, feeds, recorders.

Names and shapes are QMTL's, so that existing code fits. All are async; times are epoch seconds;
`start, end` is half-open in `fetch`, and ranges of coverage name their first and last bar. A
frame has `ts` int64 ascending and unique, then open, high, low, close, volume float64.
"""

from collections.abc import AsyncIterator, Callable
from enum import IntEnum, StrEnum
from typing import Protocol, runtime_checkable

import pandas as pd


class DataAvailabilityStrategy(StrEnum):
    """What to do about bars that are not there."""

    FAIL_FAST = "fail_fast"
    """Everything from what is stored, or an error at once."""

    AUTO_BACKFILL = "auto_backfill"
    """Fetch what is missing, store it, then read; complete or an error."""

    PARTIAL_FILL = "partial_fill"
    """Answer at once with what there is and fill in the background."""

    SEAMLESS = "seamless"
    """Everything that can be had in time, and say what is still missing."""


class DataSourcePriority(IntEnum):
    """Which source is asked first: the lowest."""

    CACHE = 1
    STORAGE = 2
    BACKFILL = 3
    LIVE = 4


@runtime_checkable
class DataFetcher(Protocol):
    """Gets bars from where they come from."""

    async def fetch(self, start: int, end: int, *, node_id: str, interval: int) -> pd.DataFrame:
        """Return the bars whose open time is in `[start, end)`; only the closed ones."""
        ...


@runtime_checkable
class DataSource(Protocol):
    """Holds bars and knows which."""

    priority: DataSourcePriority

    async def is_available(self, start: int, end: int, *, node_id: str, interval: int) -> bool:
        """Return whether every bar of `[start, end)` is held."""
        ...

    async def fetch(self, start: int, end: int, *, node_id: str, interval: int) -> pd.DataFrame:
        """Return the bars held whose open time is in `[start, end)`."""
        ...

    async def coverage(self, *, node_id: str, interval: int) -> list[tuple[int, int]]:
        """Return inclusive ranges (first bar, last bar), ascending and disjoint."""
        ...


@runtime_checkable
class AutoBackfiller(Protocol):
    """Gets missing bars and puts them where they are read from."""

    async def can_backfill(self, start: int, end: int, *, node_id: str, interval: int) -> bool:
        """Return whether the range could be fetched now."""
        ...

    async def backfill(
        self,
        start: int,
        end: int,
        *,
        node_id: str,
        interval: int,
        target_storage: DataSource | None = None,
    ) -> pd.DataFrame:
        """Fetch the range, store it in `target_storage` if given, and return it."""
        ...

    def backfill_async(
        self,
        start: int,
        end: int,
        *,
        node_id: str,
        interval: int,
        target_storage: DataSource | None = None,
        progress_callback: Callable[[float], None] | None = None,
    ) -> AsyncIterator[pd.DataFrame]:
        """Yield the range in pieces as they come; progress never falls and ends at 1.0."""
        ...


@runtime_checkable
class LiveDataFeed(Protocol):
    """Yields bars as the market prints them."""

    async def is_live_available(self, *, node_id: str, interval: int) -> bool:
        """Return whether the series can be subscribed to."""
        ...

    def subscribe(self, *, node_id: str, interval: int) -> AsyncIterator[tuple[int, pd.DataFrame]]:
        """Yield (ts, frame of that bar) for each bar once it has closed."""
        ...


@runtime_checkable
class HistoryProvider(Protocol):
    """What a stream warms up from."""

    async def fetch(self, start: int, end: int, *, node_id: str, interval: int) -> pd.DataFrame:
        """Return the bars whose open time is in `[start, end)`."""
        ...

    async def coverage(self, *, node_id: str, interval: int) -> list[tuple[int, int]]:
        """Return inclusive ranges (first bar, last bar), ascending and disjoint."""
        ...

    async def ensure_range(self, start: int, end: int, *, node_id: str, interval: int) -> None:
        """Return once the bars from `start` to `end`, both inclusive, are held."""
        ...

    async def fill_missing(self, start: int, end: int, *, node_id: str, interval: int) -> None:
        """Fetch what is missing from `start` to `end`, both inclusive."""
        ...

    def bind_stream(self, stream: object) -> None:
        """Take the node's name and interval from a stream."""
        ...


@runtime_checkable
class EventRecorder(Protocol):
    """Keeps what a stream produced."""

    def bind_stream(self, stream: object) -> None:
        """Take the node's name and interval from a stream."""
        ...

    async def persist(self, node_id: str, interval: int, timestamp: int, payload: object) -> None:
        """Store one payload of the bar that opened at `timestamp`."""
        ...
