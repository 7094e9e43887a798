"""Caches: bounded, least used goes first, and never believed against the ledger."""

from collections.abc import AsyncIterator
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bars.frame import BarFrame
from bars.series import Series
from bars.window import Window
from provider import (
    AdaptiveCacheSource,
    AdaptiveLimits,
    BarCache,
    DataSource,
    MemoryCache,
    MemoryStorage,
    NewRecord,
    ObservedUsage,
    SQLiteCache,
)
from provider._ledger import LedgerView
from provider.cache import ENTRY_BYTES, JOIN_BARS_MAX, ROW_BYTES, CacheEntry, ranks_hash
from runtime.testing import ManualClock
from tests.provider_help import (
    DAY,
    LANE,
    NODE,
    SERIES,
    START,
    Made,
    bars_at,
    clock_at,
    same,
    sessions,
)
from tests.storage_suite import days, flat

TAG = ranks_hash({"bf:daily": 1})


def view(*rows: tuple[int, int, int]) -> LedgerView:
    return LedgerView.of((days(first, end), "bf:daily", known) for first, end, known in rows)


def entry(first: int, end: int, price: float = 1.0, series: Series = SERIES) -> CacheEntry:
    return CacheEntry(series, days(first, end), flat(first, end, price), TAG, view((first, end, 1)))


class CacheSuite:
    """Subclasses give the fixture `cache`, empty and large."""

    @pytest.fixture
    def clock(self) -> ManualClock:
        return clock_at()

    async def test_what_was_kept_is_found_by_window_and_ranks(self, cache: BarCache) -> None:
        await cache.keep(entry(0, 5))
        (found,) = await cache.find(SERIES, days(4, 9), TAG)
        assert found.window == days(0, 5)
        assert found.bars.equals(flat(0, 5, 1.0))
        assert found.ledger is not None
        assert found.ledger.rows() == view((0, 5, 1)).rows()
        assert not await cache.find(SERIES, days(5, 9), TAG)
        assert not await cache.find(SERIES, days(0, 5), ranks_hash({"bf:daily": 2}))
        assert not await cache.find(Series("other", DAY), days(0, 5), TAG)

    async def test_newer_bars_take_the_place_of_older_ones_and_of_nothing_else(
        self, cache: BarCache
    ) -> None:
        await cache.keep(entry(0, 10, 1.0))
        await cache.keep(entry(4, 6, 2.0))
        found = await cache.find(SERIES, days(0, 10), TAG)
        bars = BarFrame.concat(e.bars for e in found)
        assert bars.ts.tolist() == flat(0, 10, 0.0).ts.tolist()
        assert bars.close.tolist() == [1.0] * 4 + [2.0] * 2 + [1.0] * 4

    async def test_what_is_out_of_date_is_dropped(self, cache: BarCache) -> None:
        await cache.keep(entry(0, 5))
        await cache.keep(entry(10, 15))
        (old,) = await cache.find(SERIES, days(0, 5), TAG)
        await cache.drop(old)
        await cache.drop(old)
        assert [e.window for e in await cache.find(SERIES, days(0, 99), TAG)] == [days(10, 15)]

    async def test_a_cache_is_a_data_source(self, cache: BarCache) -> None:
        await cache.keep(entry(0, 5))
        await cache.keep(entry(8, 9))
        assert isinstance(cache, DataSource)
        assert await cache.coverage(node_id=NODE, interval=DAY) == [
            (START, START + 4 * DAY),
            (START + 8 * DAY, START + 8 * DAY),
        ]
        assert await cache.is_available(START, START + 5 * DAY, node_id=NODE, interval=DAY)
        assert not await cache.is_available(START, START + 6 * DAY, node_id=NODE, interval=DAY)
        frame = await cache.fetch(START + DAY, START + 99 * DAY, node_id=NODE, interval=DAY)
        assert frame["ts"].tolist() == [START + k * DAY for k in (1, 2, 3, 4, 8)]

    async def test_bars_without_a_ledger_are_shown_until_their_time_is_over(
        self, cache: BarCache, clock: ManualClock
    ) -> None:
        until = clock.wall_us() + 60_000_000
        await cache.keep(CacheEntry(SERIES, days(0, 1), flat(0, 1, 1.0), TAG, None, until))
        assert await cache.coverage(node_id=NODE, interval=DAY)
        clock.advance(60)
        assert not await cache.coverage(node_id=NODE, interval=DAY)


class TestMemory(CacheSuite):
    @pytest.fixture
    def cache(self, clock: ManualClock) -> BarCache:
        return MemoryCache(clock=clock)


class TestAdaptive(CacheSuite):
    @pytest.fixture
    def cache(self, clock: ManualClock) -> BarCache:
        return AdaptiveCacheSource(limits=AdaptiveLimits(max_ttl_s=60.0), clock=clock)


class TestSQLite(CacheSuite):
    @pytest.fixture
    async def cache(self, clock: ManualClock, tmp_path: Path) -> AsyncIterator[BarCache]:
        made = SQLiteCache(tmp_path / "cache.db", clock=clock)
        yield made
        await made.close()

    async def test_a_file_outlives_its_cache_and_serves_another(
        self, cache: BarCache, tmp_path: Path
    ) -> None:
        await cache.keep(entry(0, 5))
        other = SQLiteCache(tmp_path / "cache.db", clock=clock_at())
        assert len(await other.find(SERIES, days(0, 5), TAG)) == 1
        await other.close()

    async def test_what_was_used_longest_ago_goes_first(
        self, clock: ManualClock, tmp_path: Path
    ) -> None:
        size = 48 * 10 + 400
        small = SQLiteCache(tmp_path / "small.db", 3 * size, clock)
        for k in range(3):
            clock.advance(100)
            await small.keep(entry(20 * k, 20 * k + 10))
        clock.advance(100)
        assert await small.find(SERIES, days(0, 10), TAG)
        await small.keep(entry(100, 110))
        kept = [e.window for e in await small.find(SERIES, days(0, 200), TAG)]
        assert days(0, 10) in kept
        assert days(20, 30) not in kept
        assert await small.size_bytes() <= 3 * size
        await small.close()


def test_an_entry_is_current_only_under_the_same_rows() -> None:
    one = CacheEntry(SERIES, days(0, 10), flat(0, 10, 1.0), TAG, view((0, 5, 1), (5, 10, 2)), 50)
    same = view((0, 5, 1), (5, 10, 2), (20, 30, 9))
    assert one.current(same, days(0, 10), now_us=1_000), "the ledger decides, not the clock"
    repaired = view((0, 5, 1), (5, 10, 2), (7, 8, 3))
    assert not one.current(repaired, days(0, 10), now_us=0)
    assert one.current(repaired, days(0, 7), now_us=0), "elsewhere nothing has changed"
    assert one.current(None, days(0, 10), now_us=49), "the ledger is away: fresh ones serve"
    assert not one.current(None, days(0, 10), now_us=50)


def test_an_entry_without_a_ledger_lives_by_the_clock() -> None:
    plain = CacheEntry(SERIES, days(0, 10), flat(0, 10, 1.0), TAG, None, 50)
    assert plain.current(None, days(0, 10), now_us=49)
    assert not plain.current(None, days(0, 10), now_us=50)
    assert not plain.current(view(), days(0, 10), now_us=0)


async def test_memory_is_bounded_and_the_least_used_goes_first() -> None:
    size = ENTRY_BYTES + 10 * ROW_BYTES + 32
    cache = MemoryCache(3 * size)
    for k in range(3):
        await cache.keep(entry(20 * k, 20 * k + 10))
    await cache.find(SERIES, days(0, 10), TAG)
    await cache.keep(entry(100, 110))
    assert [e.window for e in await cache.find(SERIES, days(0, 200), TAG)] == [
        days(0, 10),
        days(40, 50),
        days(100, 110),
    ]
    assert cache.size_bytes <= 3 * size
    await cache.keep(entry(0, 500))
    assert cache.size_bytes <= 3 * size, "what is larger than all of it is not kept"
    await cache.close()
    assert cache.size_bytes == 0


async def test_neighbours_are_joined_so_that_small_steps_leave_one_entry() -> None:
    cache = MemoryCache()
    for k in range(200):
        await cache.keep(entry(k, k + 1, float(k)))
    (found,) = await cache.find(SERIES, days(0, 200), TAG)
    assert found.bars.close.tolist() == [float(k) for k in range(200)]
    assert found.ledger is not None
    assert len(found.ledger) == 200
    assert JOIN_BARS_MAX > 200


@given(st.lists(st.tuples(st.integers(0, 40), st.integers(1, 10)), max_size=30))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_any_sequence_of_entries_shows_the_last_word_on_each_bar(
    kept: list[tuple[int, int]],
) -> None:
    cache = MemoryCache()
    naive: dict[int, float] = {}
    for price, (first, length) in enumerate(kept):
        await cache.keep(entry(first, first + length, float(price)))
        naive |= {START + day * DAY: float(price) for day in range(first, first + length)}
    found = await cache.find(SERIES, days(0, 60), TAG)
    bars = BarFrame.concat(e.bars for e in found)
    assert dict(zip(bars.ts.tolist(), bars.close.tolist(), strict=True)) == naive
    assert bars.ts.tolist() == sorted(naive)
    ends = [(e.window.start, e.window.end) for e in found]
    assert all(a[1] <= b[0] for a, b in pairwise(ends))
    assert cache.size_bytes == sum(e.size_bytes for e in found)


def test_usage_fades_and_pauses_are_learnt() -> None:
    usage = ObservedUsage(half_life_s=100)
    often, rarely = Series("often", 60), Series("rarely", 60)
    for k in range(10):
        usage.asked(often, 1_000, 10.0 * k)
    usage.asked(rarely, 50, 90.0)
    assert usage.worth(often, 90.0) > usage.worth(rarely, 90.0)
    assert usage.pause_s(often) == pytest.approx(10.0)
    assert usage.pause_s(rarely) == np.inf
    assert usage.wanted_bars(90.0) == 1_050
    assert usage.wanted_bars(90.0 + 100 * 20) == 0
    assert usage.worth(Series("never", 60), 0.0) == 0


async def test_an_adaptive_cache_grows_with_what_is_asked_and_keeps_what_is_asked_often() -> None:
    clock = clock_at()
    limits = AdaptiveLimits(min_bytes=4_000, max_bytes=8_000, min_ttl_s=1.0, max_ttl_s=100.0)
    cache = AdaptiveCacheSource(ObservedUsage(), limits, clock)
    often, rarely = Series("often", DAY), Series("rarely", DAY)
    for _ in range(5):
        clock.advance(10)
        await cache.find(often, days(0, 60), TAG)
    await cache.keep(entry(0, 60, series=often))
    await cache.find(rarely, days(0, 60), TAG)
    await cache.keep(entry(0, 60, series=rarely))
    assert cache.max_bytes == 8_000
    await cache.keep(entry(60, 100, series=often))
    assert await cache.find(often, days(0, 60), TAG)
    assert not await cache.entries(rarely, None)
    assert cache.size_bytes <= 8_000


async def test_an_adaptive_cache_believes_the_clock_for_some_pauses() -> None:
    clock = clock_at()
    cache = AdaptiveCacheSource(clock=clock, limits=AdaptiveLimits(min_ttl_s=1, max_ttl_s=100))
    for _ in range(5):
        clock.advance(2)
        await cache.find(SERIES, days(0, 5), TAG)
    await cache.keep(CacheEntry(SERIES, days(0, 5), flat(0, 5, 1.0), TAG, None, 1))
    clock.advance(7.9)
    assert await cache.entries(SERIES, None)
    clock.advance(0.2)
    assert not await cache.entries(SERIES, None)


def test_limits_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match="min_bytes"):
        AdaptiveLimits(min_bytes=2, max_bytes=1)
    with pytest.raises(ValueError, match="max_bytes"):
        MemoryCache(-1)
    with pytest.raises(ValueError, match="path of a file"):
        SQLiteCache("")


@pytest.mark.parametrize("seed", range(12))
async def test_whatever_is_repaired_and_asked_caches_show_what_the_storage_has(
    tmp_path: Path, seed: int
) -> None:
    """Records of any window, read in any pieces; the seed in the name replays it."""
    random = np.random.default_rng(seed)
    clock = clock_at()
    storage = MemoryStorage({LANE: 1, "roll": 0}, clock)
    caches = [MemoryCache(clock=clock), SQLiteCache(tmp_path / "cache.db", clock=clock)]
    provider = Made(storage, None, cache_source=caches, clock=clock, strategy="partial_fill")

    def drawn() -> Window:
        first = 5 * int(random.integers(0, 8))  # so that windows often touch
        return days(first, first + 5 * int(random.integers(1, 4)))

    for step in range(60):
        if random.random() < 0.3:
            window = drawn()
            bars = bars_at(sessions().inside(window).ts, seed=step % 19)
            lane = str(random.choice([LANE, "roll"]))
            await storage.add([NewRecord(SERIES, lane, window, 1 + step, bars)])
        asked = drawn()
        frame = await provider.fetch(asked.start, asked.end, node_id=NODE, interval=DAY)
        assert same(frame, await storage.winners(SERIES, asked)), (seed, step)
    await provider.close()


async def test_what_was_read_under_different_ledgers_is_not_joined() -> None:
    """Joined, the rows of one would vouch for the older bars of the other."""
    cache = MemoryCache()
    await cache.keep(CacheEntry(SERIES, days(0, 10), flat(0, 10, 1.0), TAG, view((0, 10, 1))))
    wide = view((0, 20, 2))
    await cache.keep(CacheEntry(SERIES, days(10, 20), flat(10, 20, 2.0), TAG, wide))
    now = view((0, 10, 1), (0, 20, 2))
    found = await cache.find(SERIES, days(0, 20), TAG)
    assert [e.window for e in found] == [days(0, 10), days(10, 20)]
    assert not found[0].current(now, days(0, 10), 0)
    assert found[1].current(now, days(10, 20), 0)
