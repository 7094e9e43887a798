"""Sources together: each asked for what the one above lacks, a failing one passed over and told."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

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
from provider._join import Piece, join, reconcile
from runtime import BackfillConfig
from tests.provider_help import DAY, END, NODE, SERIES, START, STOCK, Upstream, clock_at, same
from tests.provider_suite import LANE, Made, sessions
from tests.storage_suite import days

ASK: dict[str, Any] = {"node_id": NODE, "interval": DAY}
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
    storage = MemoryStorage(RANKS, clock_at())
    for known, window in enumerate(windows, 1):
        bars = (truth or sessions()).inside(window)
        await storage.add([NewRecord(SERIES, LANE, window, known, bars)])
    return storage


def read_from(frame: pd.DataFrame) -> list[tuple[str, int, int]]:
    told = frame.attrs["seamless"]["read_from"]
    return [(t["source"], (t["start"] - START) // DAY, (t["end"] - START) // DAY) for t in told]


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


class Flaky(MemoryStorage):
    """A storage that can be switched off."""

    down = False

    async def ledger(self, *args: Any, **more: Any) -> Any:
        if self.down:
            raise StoreUnavailableError("here", "switched off")
        return await super().ledger(*args, **more)


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


class FillingPlain(Plain):
    """A plain storage that gets by itself what it lacks."""

    def __init__(self, truth: BarFrame, error: Exception | None = None) -> None:
        super().__init__(truth, [])
        self.error = error
        self.filled: list[tuple[int, int]] = []

    async def fill_missing(self, start: int, end: int, **_: Any) -> None:
        self.filled.append((start, end))
        if self.error is not None:
            raise self.error
        self.windows.append(Window(start, end + DAY))

    async def write(self, start: int, end: int, frame: pd.DataFrame, **_: Any) -> None:
        assert len(frame)
        self.windows.append(Window(start, end))


async def test_a_storage_that_can_fill_is_asked_first_and_read() -> None:
    storage, upstream = FillingPlain(sessions()), Upstream(sessions())
    for bringer in (upstream, None):
        options: Any = {"backfiller": bringer} if bringer else {}
        provider = SeamlessDataProvider(
            storage_source=storage, nodes={SERIES: STOCK}, clock=clock_at(), **options
        )
        assert same(await provider.fetch(START, END, **ASK), sessions())
        storage.windows.clear()
        storage.filled.clear()
    assert upstream.calls == []


async def test_where_it_cannot_the_fetcher_is_asked_and_the_result_is_stored() -> None:
    storage, upstream = FillingPlain(sessions(), OSError("no")), Upstream(sessions())
    provider = SeamlessDataProvider(
        storage_source=storage, backfiller=upstream, nodes={SERIES: STOCK}, clock=clock_at()
    )
    assert same(await provider.fetch(START, END, **ASK), sessions())
    assert storage.windows == [Window(START + DAY, END - DAY)]
    assert len(upstream.calls) == len(storage.filled) == 1


async def test_what_is_fetched_for_a_storage_that_takes_nothing_is_answered_all_the_same() -> None:
    nothing = Plain(sessions(), [])
    provider = SeamlessDataProvider(
        storage_source=nothing,
        backfiller=Upstream(sessions()),
        nodes={SERIES: STOCK},
        clock=clock_at(),
    )
    frame = await provider.fetch(START, END, **ASK)
    assert same(frame, sessions())
    assert read_from(frame) == [("backfill", 1, 58)]


async def test_seamless_answers_what_could_not_be_stored() -> None:
    class Full(MemoryStorage):
        async def add(self, *_: Any) -> None:
            raise StoreUnavailableError("here", "disk full")

    upstream = Upstream(sessions())
    provider = Made(Full(RANKS, clock_at()), upstream, strategy="seamless")
    frame = await provider.fetch(START, END, **ASK)
    assert same(frame, sessions())
    assert "disk full" in frame.attrs["seamless"]["backfill"]["unstored"]
    with pytest.raises(StoreUnavailableError):
        await provider.fetch(START, END, **ASK, strategy="auto_backfill")


async def test_a_backfiller_that_cannot_now_is_not_asked() -> None:
    class Never(Upstream):
        async def can_backfill(self, *_: Any, **__: Any) -> bool:
            return False

        async def backfill(self, *_: Any, **__: Any) -> Any:
            raise AssertionError("asked")

        def backfill_async(self, *_: Any, **__: Any) -> Any:
            raise AssertionError("asked")

    provider = SeamlessDataProvider(
        storage_source=Plain(sessions(), []),
        backfiller=Never(sessions()),
        nodes={SERIES: STOCK},
        clock=clock_at(),
        strategy="seamless",
        backfill_config=BackfillConfig(max_attempts=1),
    )
    frame = await provider.fetch(START, END, **ASK)
    assert "cannot backfill" in frame.attrs["seamless"]["failed"][0]["message"]


async def test_without_background_nothing_goes_on_behind_a_call() -> None:
    upstream = Upstream(sessions())
    quiet = Made(
        await stored(days(13, 27)),
        upstream,
        strategy="partial_fill",
        enable_background_backfill=False,
    )
    frame = await quiet.fetch(START, END, **ASK)
    assert (quiet.jobs(), upstream.calls) == ([], [])
    assert frame.attrs["seamless"]["backfill"]["job"] is None
    sync = Made(
        await stored(days(13, 27)),
        upstream,
        strategy="partial_fill",
        backfill_config=BackfillConfig(mode="sync"),
    )
    assert same(await sync.fetch(START, END, **ASK), sessions())


async def test_a_plain_source_of_bars_may_name_its_columns_otherwise() -> None:
    storage = Plain(sessions(), [days(0, 60)])
    storage.shape = lambda frame: frame.rename(columns={"ts": "Timestamp", "open": "Open"}).assign(
        vwap=1.0
    )[::-1]
    provider = SeamlessDataProvider(storage_source=storage, nodes={SERIES: STOCK}, clock=clock_at())
    assert same(await provider.fetch(START, END, **ASK), sessions())


def test_frames_are_reconciled_without_making_anything_up() -> None:
    frame = sessions().to_pandas()
    at = pd.to_datetime(frame["ts"], unit="s")
    for given_ in (
        frame.assign(ts=at),
        frame.assign(ts=at.dt.tz_localize("UTC").dt.tz_convert("America/New_York")),
        frame.drop(columns="ts").set_index(pd.DatetimeIndex(at)),
        frame.astype({"volume": "int64"}),
        frame.astype({"close": "Float64"}),
        pd.concat([frame.assign(close=0.0), frame], ignore_index=True),
    ):
        bars, dropped = reconcile(given_, "s")
        assert bars.equals(sessions())
        assert dropped == ()
    assert reconcile(frame.assign(extra=1), "s")[1] == ("extra",)
    assert not len(reconcile(frame.head(0), "s")[0])
    gone = frame.assign(**dict.fromkeys(frame.columns[1:], np.nan))
    assert not len(reconcile(gone, "s")[0])
    for wrong, match in (
        (frame.drop(columns="close"), "no column close"),
        (frame.assign(close="much"), "close must be numbers"),
        (frame.assign(ts=at + pd.Timedelta("1ms")), "whole seconds"),
        (frame.assign(ts=at.where(at.index > 0)), "without a time"),
    ):
        with pytest.raises(SourceError, match=match):
            reconcile(wrong, "s")


pieces = st.lists(st.tuples(st.integers(0, 20), st.integers(1, 9), st.booleans()), max_size=8)


@given(pieces)
def test_joined_bars_are_ascending_unique_and_those_with_versions_win(
    drawn: list[tuple[int, int, bool]],
) -> None:
    made, naive = [], dict[int, tuple[bool, int]]()
    for rank, (first, length, versioned) in enumerate(drawn):
        ts = np.arange(first, first + length, dtype=np.int64)
        bars = BarFrame(ts, *(np.full(length, float(rank)) for _ in range(5)))
        made.append(Piece(Window(first, first + length), bars, f"s{rank}", versioned))
        for t in ts.tolist():
            best = naive.get(t)
            if best is None or (versioned and not best[0]):
                naive[t] = (versioned, rank)
    found = join(made)
    assert found.ts.tolist() == sorted(naive)
    assert found.close.tolist() == [float(naive[t][1]) for t in sorted(naive)]


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
