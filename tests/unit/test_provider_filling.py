"""A storage that lacks bars: it is filled, by itself or by a fetcher, or answered past."""

from typing import Any

import pandas as pd
import pytest

from bars.frame import BarFrame
from bars.window import Window
from provider import MemoryStorage, SeamlessDataProvider, StoreUnavailableError
from runtime import BackfillConfig
from tests.provider_help import (
    ASK,
    DAY,
    END,
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
from tests.unit.reading_help import RANKS, Plain, read_from, stored


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
