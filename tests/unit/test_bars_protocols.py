"""The protocols: what QMTL code implements is recognised, and the names keep their values."""

from collections.abc import AsyncIterator

import pandas as pd
import pytest

from bars import BarFrame
from bars.protocols import (
    AutoBackfiller,
    DataAvailabilityStrategy,
    DataFetcher,
    DataSource,
    DataSourcePriority,
    EventRecorder,
    HistoryProvider,
    LiveDataFeed,
)


class Everything:
    """One object that can do all that a strategy's parts can."""

    priority = DataSourcePriority.STORAGE

    async def fetch(self, start: int, end: int, *, node_id: str, interval: int) -> pd.DataFrame:
        del start, end, node_id, interval
        return BarFrame.empty().to_pandas()

    async def is_available(self, start: int, end: int, *, node_id: str, interval: int) -> bool:
        del start, end, node_id, interval
        return True

    async def coverage(self, *, node_id: str, interval: int) -> list[tuple[int, int]]:
        del node_id, interval
        return []

    async def ensure_range(self, start: int, end: int, *, node_id: str, interval: int) -> None:
        """Do nothing."""

    async def fill_missing(self, start: int, end: int, *, node_id: str, interval: int) -> None:
        """Do nothing."""

    def bind_stream(self, stream: object) -> None:
        """Do nothing."""


class Feed:
    """A feed that yields one empty frame."""

    async def is_live_available(self, *, node_id: str, interval: int) -> bool:
        return bool(node_id) and interval > 0

    async def subscribe(
        self, *, node_id: str, interval: int
    ) -> AsyncIterator[tuple[int, pd.DataFrame]]:
        del node_id
        yield interval, BarFrame.empty().to_pandas()


def test_an_object_is_what_its_methods_make_it() -> None:
    everything = Everything()
    fetcher: DataFetcher = everything
    source: DataSource = everything
    history: HistoryProvider = everything
    assert isinstance(fetcher, DataFetcher)
    assert isinstance(source, DataSource)
    assert isinstance(history, HistoryProvider)
    assert not isinstance(everything, AutoBackfiller)
    assert not isinstance(everything, EventRecorder)


async def test_an_async_generator_is_a_live_feed() -> None:
    feed: LiveDataFeed = Feed()
    assert isinstance(feed, LiveDataFeed)
    assert [ts async for ts, _ in feed.subscribe(node_id="n", interval=60)] == [60]


@pytest.mark.parametrize("name", ["FAIL_FAST", "AUTO_BACKFILL", "PARTIAL_FILL", "SEAMLESS"])
def test_strategies_are_their_names_in_small_letters(name: str) -> None:
    assert DataAvailabilityStrategy[name] == name.lower()


def test_sources_are_asked_cache_first_and_live_last() -> None:
    assert [p.name for p in sorted(DataSourcePriority)] == ["CACHE", "STORAGE", "BACKFILL", "LIVE"]
    assert [int(p) for p in DataSourcePriority] == [1, 2, 3, 4]
