"""Sources together: each asked for what the one above lacks, a failing one passed over and told."""

import asyncio
from typing import Any

import pandas as pd
import pytest

from bars.frame import BarFrame
from bars.window import Window
from provider import (
    ConfigError,
    DataSourcePriority,
    DataUnavailableError,
    MemoryCache,
    MemoryStorage,
    NewRecord,
    SeamlessDataProvider,
    SourceError,
    StoreUnavailableError,
)
from tests.provider_help import (
    ASK,
    DAY,
    END,
    LANE,
    SERIES,
    START,
    STOCK,
    Made,
    Upstream,
    clock_at,
    same,
    sessions,
)
from tests.storage_suite import days
from tests.unit.reading_help import RANKS, Flaky, Plain, read_from, stored


async def test_each_source_is_asked_only_for_what_the_one_above_lacks() -> None:
    above = Plain(sessions(), [days(0, 20)], DataSourcePriority.CACHE)
    below = Plain(sessions(), [days(0, 60)], DataSourcePriority.BACKFILL)
    storage = await stored(days(10, 40))
    provider = Made(storage, None, cache_source=above, sources=[below], strategy="fail_fast")
    frame = await provider.fetch(START, END, **ASK)
    assert same(frame, sessions())
    assert read_from(frame) == [("Plain", 0, 19), ("storage", 20, 39), ("Plain", 40, 59)]
    assert above.fetches == [(START, START + 20 * DAY)]
    assert below.fetches == [(START + 40 * DAY, END)]


async def test_what_is_below_is_not_even_looked_at_when_all_is_there() -> None:
    never = Plain(sessions(), [], DataSourcePriority.LIVE)
    never.blind = AssertionError("asked")
    provider = Made(await stored(days(0, 60)), None, sources=[never], strategy="fail_fast")
    frame = await provider.fetch(START, END, **ASK)
    assert frame.attrs["seamless"]["passed_over"] == []


@pytest.mark.parametrize("error", [SourceError("vendor", "gone"), ValueError("odd")])
async def test_a_source_that_fails_is_passed_over_and_told(error: Exception) -> None:
    for attribute in ("blind", "failing"):
        bad = Plain(sessions(), [days(0, 60)], DataSourcePriority.CACHE)
        setattr(bad, attribute, error)
        provider = Made(await stored(days(0, 60)), None, cache_source=bad, strategy="fail_fast")
        if attribute == "failing":  # it says that it has all of it, so nobody else was looked at
            spare = await stored(days(0, 60))
            provider = Made(spare, None, cache_source=[bad], strategy="seamless")
        frame = await provider.fetch(START, END, **ASK)
        assert same(frame, sessions())
        (told,) = frame.attrs["seamless"]["passed_over"]
        assert told["source"] == "Plain"
        assert str(error) in told["error"]


async def test_where_nobody_else_has_them_the_failure_is_the_error() -> None:
    bad = Plain(sessions(), [days(0, 60)])
    bad.failing = ValueError("odd")
    provider = SeamlessDataProvider(
        storage_source=bad, nodes={SERIES: STOCK}, clock=clock_at(), strategy="fail_fast"
    )
    with pytest.raises(SourceError, match="ValueError: odd") as failed:
        await provider.fetch(START, END, **ASK)
    assert failed.value.source == "storage"


async def test_a_spare_source_that_fails_does_not_hide_that_bars_are_missing() -> None:
    bad = Plain(sessions(), [days(0, 60)], DataSourcePriority.LIVE)
    bad.blind = ValueError("odd")
    provider = Made(await stored(days(0, 30)), None, sources=[bad], strategy="fail_fast")
    with pytest.raises(DataUnavailableError, match="passed over: Plain: ValueError: odd") as gone:
        await provider.fetch(START, END, **ASK)
    assert gone.value.missing == ((START + 30 * DAY, END - 2 * DAY),)


async def test_what_was_brought_is_not_lost_for_a_store_that_restarts_just_then() -> None:
    clock = clock_at()
    storage = Flaky(RANKS, clock)
    upstream = Upstream(sessions())
    upstream.gate.clear()
    provider = Made(storage, upstream, clock=clock)
    asked = asyncio.ensure_future(provider.fetch(START, END, **ASK))
    await upstream.until_asked()
    storage.down = True
    upstream.gate.set()
    await clock.run(1)
    assert not asked.done()
    storage.down = False
    await clock.run(3)
    assert same(await asked, sessions())


async def test_a_repaired_bar_shows_at_once_though_the_answer_was_cached() -> None:
    storage = await stored(days(0, 60))
    cache = MemoryCache(clock=clock_at())
    provider = Made(storage, None, cache_source=cache, strategy="fail_fast")
    first = await provider.fetch(START, END, **ASK)
    assert {source for source, _, _ in read_from(first)} == {"storage"}
    again = await provider.fetch(START, END, **ASK)
    assert {source for source, _, _ in read_from(again)} == {"MemoryCache"}
    pd.testing.assert_frame_equal(first, again)
    repaired = sessions()
    close = repaired.close.copy()
    close[5] += 0.25
    fixed = BarFrame(
        repaired.ts, repaired.open, repaired.high, repaired.low, close, repaired.volume
    )
    window = Window(int(fixed.ts[5]), int(fixed.ts[5]) + DAY)
    await storage.add([NewRecord(SERIES, LANE, window, 99, fixed.inside(window))])
    third = await provider.fetch(START, END, **ASK)
    assert same(third, fixed)


async def test_other_ranks_do_not_see_each_others_winners() -> None:
    cache = MemoryCache(clock=clock_at())
    one = await stored(days(0, 60))
    live = sessions().take(slice(0, 3))
    await one.add([NewRecord(SERIES, "roll", days(0, 5), 50, live)])
    other = MemoryStorage({"roll": 5, LANE: 1}, clock_at())
    for record in one.records:
        await other.add([record])
    for storage in (one, other, one):
        frame = await Made(storage, None, cache_source=cache, strategy="fail_fast").fetch(
            START, END, **ASK
        )
        assert same(frame, await storage.winners(SERIES, Window(START, END)))


async def test_while_the_ledger_is_away_fresh_bars_of_a_cache_serve_and_say_so() -> None:
    clock = clock_at()
    storage = Flaky(RANKS, clock)
    await storage.add([NewRecord(SERIES, LANE, days(0, 60), 1, sessions())])
    provider = Made(storage, None, cache_source=MemoryCache(clock=clock), cache_ttl=60, clock=clock)
    frame = await provider.fetch(START, END, **ASK)
    assert frame.attrs["seamless"]["unverified"] is False
    storage.down = True
    frame = await provider.fetch(START, END, **ASK)
    assert same(frame, sessions())
    assert frame.attrs["seamless"]["unverified"] is True
    clock.advance(61)
    with pytest.raises(StoreUnavailableError):
        await provider.fetch(START, END, **ASK)


async def test_bars_of_a_source_without_a_ledger_are_cached_by_the_clock() -> None:
    clock = clock_at()
    plain = Plain(sessions(), [days(0, 60)])
    provider = SeamlessDataProvider(
        storage_source=plain, nodes={SERIES: STOCK}, clock=clock, cache_ttl=60
    )
    for _ in range(3):
        assert same(await provider.fetch(START, END, **ASK), sessions())
    assert len(plain.fetches) == 1
    clock.advance(61)
    await provider.fetch(START, END, **ASK)
    assert len(plain.fetches) == 2


async def test_a_cache_that_fails_is_no_cache() -> None:
    class Broken(MemoryCache):
        async def find(self, *_: Any, **__: Any) -> Any:
            raise OSError("disk full")

        async def keep(self, *_: Any, **__: Any) -> None:
            raise OSError("disk full")

    provider = Made(await stored(days(0, 60)), None, cache_source=Broken(), strategy="fail_fast")
    assert same(await provider.fetch(START, END, **ASK), sessions())


async def test_a_plain_source_of_bars_may_name_its_columns_otherwise() -> None:
    storage = Plain(sessions(), [days(0, 60)])
    storage.shape = lambda frame: frame.rename(columns={"ts": "Timestamp", "open": "Open"}).assign(
        vwap=1.0
    )[::-1]
    provider = SeamlessDataProvider(storage_source=storage, nodes={SERIES: STOCK}, clock=clock_at())
    assert same(await provider.fetch(START, END, **ASK), sessions())


def test_what_is_no_source_is_refused() -> None:
    thing: Any = object()
    for option in ({"cache_source": thing}, {"sources": [thing]}, {"live_feed": thing}):
        given_: Any = option
        with pytest.raises(ConfigError) as refused:
            Made(MemoryStorage(), None, **given_)
        assert refused.value.key == next(iter(option))
    for wrong in (-1, True, "1h"):
        with pytest.raises(ConfigError, match="cache_ttl"):
            Made(MemoryStorage(), None, cache_ttl=wrong)
    with pytest.raises(ConfigError, match="sla"):
        Made(MemoryStorage(), None, sla=thing)
    with pytest.raises(ConfigError, match="backfill_config"):
        Made(MemoryStorage(), None, backfill_config=thing)


async def test_what_nobody_has_is_unavailable_by_name() -> None:
    provider = Made(await stored(days(0, 30)), None, strategy="fail_fast")
    with pytest.raises(DataUnavailableError) as gone:
        await provider.fetch(START, END, **ASK)
    assert gone.value.missing == ((START + 30 * DAY, END - 2 * DAY),)
