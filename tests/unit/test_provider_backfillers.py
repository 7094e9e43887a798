"""Backfillers on their own: windows, retries, storage first, nothing wrong stored."""

import asyncio
from typing import Any

import numpy as np
import pandas as pd
import pytest

from bars.frame import BarFrame
from provider import (
    AutoBackfiller,
    BackfillConfig,
    BackfillFailedError,
    ConformancePipelineError,
    DataFetcherAutoBackfiller,
    InvalidValueError,
    MemoryStorage,
    QualityAwareBackfiller,
    SourceError,
)
from provider._retry import retry_delay_s, worth_asking_again
from provider._slots import Slots
from runtime import DeadlineExceededError
from tests.provider_help import DAY, END, NODE, START, Upstream, bars_at, clock_at, same, sessions

ASK: dict[str, Any] = {"node_id": NODE, "interval": DAY}
QUICK = BackfillConfig(max_attempts=3, retry_backoff_ms=0, window_bars=10)


class Filling(MemoryStorage):
    """A storage that gets by itself what it lacks."""

    def __init__(self, upstream: Upstream, error: Exception | None = None) -> None:
        super().__init__(clock=clock_at())
        self._upstream = upstream
        self._error = error

    async def fill_missing(self, start: int, end: int, *, node_id: str, interval: int) -> None:
        if self._error is not None:
            raise self._error
        frame = await self._upstream.fetch(start, end + DAY, node_id=node_id, interval=interval)
        await self.write(start, end + DAY, frame, node_id=node_id, interval=interval)


def backfiller(upstream: Upstream, **config: Any) -> DataFetcherAutoBackfiller:
    made = BackfillConfig(**{"max_attempts": 3, "retry_backoff_ms": 0} | config)
    return DataFetcherAutoBackfiller(upstream, config=made, clock=clock_at(), draw=lambda: 0.5)


async def test_what_is_fetched_is_stored_and_returned() -> None:
    storage = MemoryStorage(clock=clock_at())
    filler = backfiller(Upstream(sessions()))
    assert isinstance(filler, AutoBackfiller)
    assert await filler.can_backfill(START, END, **ASK)
    frame = await filler.backfill(START, END, **ASK, target_storage=storage)
    assert same(frame, sessions())
    assert await storage.coverage(**ASK) == [(START, END - DAY)]


async def test_a_storage_that_can_fill_is_asked_and_nothing_is_fetched_twice() -> None:
    upstream, own = Upstream(sessions()), Upstream(sessions())
    frame = await backfiller(upstream).backfill(START, END, **ASK, target_storage=Filling(own))
    assert same(frame, sessions())
    assert (len(own.calls), upstream.calls) == (1, [])


async def test_where_the_storage_fails_the_fetcher_answers_and_it_is_stored_all_the_same() -> None:
    upstream = Upstream(sessions())
    storage = Filling(Upstream(sessions()), OSError("no way out"))
    frame = await backfiller(upstream).backfill(START, END, **ASK, target_storage=storage)
    assert same(frame, sessions())
    assert len(upstream.calls) == 1
    assert same(await storage.fetch(START, END, **ASK), sessions())


async def test_windows_come_one_by_one_and_progress_ends_at_one() -> None:
    told: list[float] = []
    pieces = [
        frame
        async for frame in DataFetcherAutoBackfiller(
            Upstream(sessions()), config=QUICK, clock=clock_at()
        ).backfill_async(START, END, **ASK, progress_callback=told.append)
    ]
    assert same(pd.concat(pieces, ignore_index=True), sessions())
    assert told == sorted(told)
    assert told[-1] == 1.0
    assert len(told) == len(pieces) > 3


async def test_a_window_that_fails_is_told_and_does_not_stop_the_others() -> None:
    lost: list[Exception] = [SourceError("daily", "no such day")]
    storage, told = MemoryStorage(clock=clock_at()), list[float]()
    filler = DataFetcherAutoBackfiller(
        Upstream(sessions(), failing=lost), config=QUICK, clock=clock_at()
    )
    pieces = []

    async def collect() -> None:
        async for frame in filler.backfill_async(
            START, END, **ASK, target_storage=storage, progress_callback=told.append
        ):
            pieces.append(frame)  # noqa: PERF401  what came before the error is wanted

    with pytest.raises(BackfillFailedError, match="1 of 7 windows failed") as failed:
        await collect()
    assert len(pieces) == 6
    assert told[-1] == 1.0
    (window,) = failed.value.windows
    assert window.start == START
    held = await storage.coverage(**ASK)
    assert held == [(window.end, END - DAY)]


async def test_a_deadline_is_never_retried_and_neither_is_a_mistake() -> None:
    for error in (DeadlineExceededError("x", 1, 2), TypeError("x"), SourceError("s", "x")):
        assert not worth_asking_again(error)
        upstream = Upstream(sessions(), failing=[error, error])
        with pytest.raises(type(error)):
            await backfiller(upstream).backfill(START, END, **ASK)
        assert len(upstream.calls) == 1
    gone = Upstream(sessions(), failing=[OSError("x")] * 9)
    with pytest.raises(OSError, match="x"):
        await backfiller(gone).backfill(START, END, **ASK)
    assert len(gone.calls) == 3


def test_delays_double_and_the_jitter_is_a_share_of_each() -> None:
    config = BackfillConfig(retry_backoff_ms=500, jitter_ratio=0.25)
    assert [retry_delay_s(config, k, lambda: 0.0) for k in (1, 2, 3, 4)] == [0.5, 1.0, 2.0, 4.0]
    assert retry_delay_s(config, 3, lambda: 1.0) == 2.5
    assert BackfillConfig(jitter_ratio=7).jitter_ratio == 1
    assert BackfillConfig(jitter_ratio=-1).jitter_ratio == 0


@pytest.mark.parametrize(
    "config",
    [
        BackfillConfig(retry_backoff_ms=0, jitter_ratio=0.5),
        BackfillConfig(retry_backoff_ms=5, jitter_ratio=0.0),
    ],
)
def test_nothing_is_drawn_where_the_draw_would_not_matter(config: BackfillConfig) -> None:
    def draw() -> float:
        raise AssertionError("drawn")

    assert retry_delay_s(config, 1, draw) == config.retry_backoff_ms / 1_000


async def test_slots_are_shared_by_threads_and_given_back_by_the_cancelled() -> None:
    slots, most, running = Slots(2), [0], [0]

    async def work() -> None:
        async with slots:
            running[0] += 1
            most[0] = max(most[0], running[0])
            await asyncio.sleep(0.001)
            running[0] -= 1

    async def many() -> None:
        tasks = [asyncio.create_task(work()) for _ in range(20)]
        await asyncio.sleep(0)
        for task in tasks[5:9]:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    await asyncio.gather(many(), *(asyncio.to_thread(asyncio.run, many()) for _ in range(3)))
    assert most[0] == 2
    async with slots, slots:
        pass


def wrong() -> BarFrame:
    truth = sessions()
    high = truth.high.copy()
    high[0] = truth.low[0] - 1
    return BarFrame(truth.ts, truth.open, high, truth.low, truth.close, truth.volume)


async def test_what_conformance_blocks_is_neither_stored_nor_returned() -> None:
    storage = MemoryStorage(clock=clock_at())
    filler = QualityAwareBackfiller(backfiller(Upstream(wrong()), window_bars=10))
    with pytest.raises(ConformancePipelineError, match=r"values\.") as refused:
        await filler.backfill(START, END, **ASK, target_storage=storage)
    assert refused.value.report.blocking
    pieces = filler.backfill_async(START, END, **ASK, target_storage=storage)
    with pytest.raises(ConformancePipelineError):
        await anext(aiter(pieces))
    assert not await storage.coverage(**ASK)


async def test_good_bars_pass_the_judge_and_are_stored() -> None:
    storage, told = MemoryStorage(clock=clock_at()), list[float]()
    filler = QualityAwareBackfiller(backfiller(Upstream(sessions()), window_bars=10))
    assert isinstance(filler, AutoBackfiller)
    assert await filler.can_backfill(START, END, **ASK)
    assert same(await filler.backfill(START, END, **ASK, target_storage=storage), sessions())
    pieces = [
        frame
        async for frame in filler.backfill_async(START, END, **ASK, progress_callback=told.append)
    ]
    assert same(pd.concat(pieces, ignore_index=True), sessions())
    assert told[-1] == 1.0


async def test_a_storage_that_takes_no_bars_is_told_of() -> None:
    class Closed:
        priority = None

    filler = QualityAwareBackfiller(backfiller(Upstream(sessions())))
    nowhere: Any = Closed()
    with pytest.raises(SourceError, match="no `async def write`"):
        await filler.backfill(START, END, **ASK, target_storage=nowhere)


def test_what_is_no_fetcher_is_refused() -> None:
    nothing: Any = object()
    with pytest.raises(InvalidValueError, match="async def fetch"):
        DataFetcherAutoBackfiller(nothing)


async def test_a_wrong_range_is_refused_before_anything_is_asked() -> None:
    upstream = Upstream(bars_at(np.array([START])))
    with pytest.raises(InvalidValueError):
        await backfiller(upstream).backfill(END, START, **ASK)
    assert upstream.calls == []
