"""QMTL's parts: a stream's input, a bare loader, a recorder, each in its place."""

import dataclasses
from typing import Any

import numpy as np
import pandas as pd
import pytest

from bars.series import Series
from provider import (
    ConfigError,
    EnhancedQuestDBProvider,
    EventRecorder,
    HistoryProvider,
    HistoryProviderDataSource,
    InvalidValueError,
    MemoryStorage,
    QuestDBLoader,
    QuestDBRecorder,
    SeamlessDataProvider,
    StreamInput,
)
from provider.history_coverage import WarmupWindow, compute_missing_ranges
from provider.live import PollingFeed
from provider.recorder import to_json
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

DSN = "questdb://127.0.0.1:9?pg_port=9"


def made(upstream: Upstream | None = None, now: int = END + 5) -> Made:
    clock = clock_at(now)
    return Made(MemoryStorage({LANE: 1}, clock), upstream, clock=clock)


def test_a_warm_up_ends_with_the_bar_that_is_open_and_has_as_many_as_asked() -> None:
    stream = StreamInput(**ASK, period=10, history_provider=made(), clock=clock_at(END + 5))
    assert stream.warmup_window() == WarmupWindow(END - 9 * DAY, END, DAY)
    assert stream.warmup_window(END - 1) == WarmupWindow(END - 10 * DAY, END - DAY, DAY)
    one = dataclasses.replace(stream, period=1)
    assert one.warmup_window() == WarmupWindow(END, END, DAY)


async def test_the_history_is_fetched_as_far_as_it_has_closed() -> None:
    upstream = Upstream(sessions())
    provider = made(upstream)
    stream = StreamInput(**ASK, period=20, history_provider=provider, clock=clock_at(END + 5))
    frame = await stream.load()
    window = stream.warmup_window()
    wanted = sessions().take(sessions().ts >= window.start)
    assert same(frame, wanted)
    assert provider.bound == SERIES


def test_an_input_cannot_be_changed_and_refuses_what_is_no_history() -> None:
    stream = StreamInput(**ASK, period=5, history_provider=made())
    with pytest.raises(dataclasses.FrozenInstanceError):
        stream.period = 6  # type: ignore[misc]
    thing: Any = object()
    with pytest.raises(InvalidValueError, match="history_provider"):
        StreamInput(**ASK, period=5, history_provider=thing)
    for period in (0, 1.5, True, 10**9):
        wrong: Any = period
        with pytest.raises(InvalidValueError, match="period"):
            StreamInput(**ASK, period=wrong, history_provider=made())


def test_everything_of_qmtl_fits_in_its_place() -> None:
    loader, recorder = QuestDBLoader(DSN), QuestDBRecorder(DSN)
    assert isinstance(loader, HistoryProvider)
    assert isinstance(EnhancedQuestDBProvider(DSN), HistoryProvider)
    assert isinstance(recorder, EventRecorder)
    stream = StreamInput(**ASK, period=5, history_provider=loader, event_recorder=recorder)
    assert loader.bound == recorder.bound == Series(stream.node_id, stream.interval)
    with pytest.raises(InvalidValueError, match="node_id"):
        loader.bind_stream(object())


async def test_a_loader_reads_what_is_there_and_fetches_only_when_told() -> None:
    """The manners of `QuestDBLoader`, on a storage without a server."""
    upstream = Upstream(sessions())
    loader = Made(
        MemoryStorage({LANE: 1}),
        upstream,
        strategy="partial_fill",
        enable_background_backfill=False,
    )
    assert QuestDBLoader(DSN)._manners.strategy is loader._manners.strategy
    assert QuestDBLoader(DSN)._engine.background is loader._engine.background is False
    empty = await loader.fetch(START, END, **ASK)
    assert not len(empty)
    assert upstream.calls == []
    window = WarmupWindow(START, END - DAY, DAY)
    assert len(compute_missing_ranges([], window)) == 1
    await loader.fill_missing(window.start, window.end, **ASK)
    assert same(await loader.fetch(START, END, **ASK), sessions())


async def test_a_bare_history_provider_may_be_the_storage_and_fills_itself() -> None:
    upstream, never = Upstream(sessions()), Upstream(sessions())
    loader = made(upstream)
    storage = HistoryProviderDataSource(loader)
    async with SeamlessDataProvider(
        storage_source=storage, backfiller=never, nodes={SERIES: STOCK}, clock=clock_at()
    ) as provider:
        assert same(await provider.fetch(START, END, **ASK), sessions())
    assert never.calls == []
    assert await storage.is_available(START + DAY, END - DAY, **ASK)
    assert not await storage.is_available(START, END + DAY, **ASK)
    assert same(await loader.fetch(START, END, **ASK, strategy="fail_fast"), sessions())


def test_a_live_fetcher_is_polled() -> None:
    provider = EnhancedQuestDBProvider(DSN, live_fetcher=Upstream(sessions()))
    assert isinstance(provider._parts.feed, PollingFeed)
    thing: Any = object()
    with pytest.raises(ConfigError) as refused:
        EnhancedQuestDBProvider(DSN, live_fetcher=thing)
    assert refused.value.key == "live_fetcher"
    assert STOCK.series == SERIES


def test_payloads_are_what_json_can_say() -> None:
    frame = pd.DataFrame({"a": [1, 2]})
    payload = {"x": np.float64(1.5), "n": np.int64(3), "l": np.arange(2), "f": frame}
    assert to_json(payload) == '{"x": 1.5, "n": 3, "l": [0, 1], "f": [{"a": 1}, {"a": 2}]}'
    assert to_json(frame.iloc[0]) == '{"a": 1}'
    for wrong in (float("nan"), {1, 2}, object(), {"x": float("inf")}):
        with pytest.raises(InvalidValueError, match="payload"):
            to_json(wrong)
