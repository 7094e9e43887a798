"""Brings missing bars without Kafka: fetched, judged, written and entered here, in this process."""

import asyncio
import random
import weakref
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol, TypeAlias, TypeVar

import pandas as pd

from avro_schemas import WindowFailure
from bars.conformance import ConformancePipeline, ConformanceResult, Context, withdraw
from bars.errors import SeamlessError
from bars.frame import BarFrame, inside_any
from bars.series import Series, backfill_lane
from bars.versions import Versions
from bars.window import Window
from provider._ask import Ask
from provider.storage import NewRecord, Storage
from runtime import BackfillSettings, Backoff, Clock
from sources import bars_of

T = TypeVar("T")

_BATCH_WINDOWS = 64
"""Windows that are fetched before they are stored in one go."""

_RETRY_CAP_S = 60.0
_MISTAKES = (TypeError, AttributeError, NameError, NotImplementedError)
"""Errors of a program: asking again changes nothing."""

Fetch: TypeAlias = Callable[[Series, Window], Awaitable[pd.DataFrame]]
"""Asks a source for the bars of a window."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Filled:
    """What came of bringing missing bars. What was stored is seen in the ledger."""

    failures: tuple[WindowFailure, ...] = ()
    """Windows that finally failed."""

    reason: str = ""
    """What is said of the whole, for people; empty: nothing went wrong."""

    listed: Window | None = None
    """The source has nothing outside this part of what was asked; None: not told."""


class Filler(Protocol):
    """Somebody who brings missing bars."""

    async def fill(self, ask: Ask, gaps: tuple[Window, ...]) -> Filled:
        """Return once every gap is in the ledger or has finally failed.

        Args:
            ask: The call it is for.
            gaps: Windows that begin and end with session bars, ascending and disjoint.
        """
        ...

    async def close(self) -> None:
        """Let go of everything; harmless when repeated."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class FillConfig:
    """How a source is asked and what its answers become."""

    source: str = "fetcher"
    """Name of the source; its lane is `bf:<source>`."""

    empty_confirmed: bool = False
    """Whether an answer without bars proves that there are none."""

    backfill: BackfillSettings = field(default_factory=BackfillSettings)
    """Size of a window, how many at a time, retries."""

    pipeline: ConformancePipeline = field(default_factory=ConformancePipeline)
    """Judges each answer; only BLOCK keeps one out of the store."""

    draw: Callable[[], float] = random.random
    """Where the jitter of delays comes from: [0, 1)."""


class LoopLocal:
    """Limits and locks, made apart for each event loop: asyncio's belong to the loop they wait in.

    A provider is used from at most two, its owner's and that of its sync twin.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._slots: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Semaphore] = (
            weakref.WeakKeyDictionary()
        )
        self._locks: weakref.WeakKeyDictionary[
            asyncio.AbstractEventLoop, weakref.WeakValueDictionary[Series, asyncio.Lock]
        ] = weakref.WeakKeyDictionary()

    def slots(self) -> asyncio.Semaphore:
        """Return the running loop's limit of things done at a time."""
        loop = asyncio.get_running_loop()
        return self._slots.setdefault(loop, asyncio.Semaphore(self._limit))

    def lock(self, series: Series) -> asyncio.Lock:
        """Return the running loop's lock of a series."""
        loop = asyncio.get_running_loop()
        locks = self._locks.setdefault(loop, weakref.WeakValueDictionary())
        return locks.setdefault(series, asyncio.Lock())


class DirectFiller:
    """Asks a source itself and writes what it answers into a store of its own."""

    def __init__(self, storage: Storage, fetch: Fetch, clock: Clock, config: FillConfig) -> None:
        self._storage = storage
        self._fetch = fetch
        self._clock = clock
        self._config = config
        self._lane = backfill_lane(config.source)
        self._local = LoopLocal(config.backfill.max_concurrent_requests)

    async def fill(self, ask: Ask, gaps: tuple[Window, ...]) -> Filled:
        """Return once every gap is in the ledger or has finally failed."""
        async with self._local.lock(ask.series):
            # Another call may have brought them while this one waited for its turn.
            lanes = await self._storage.covered(ask.series, Window(gaps[0].start, gaps[-1].end))
            held = tuple(w for windows in lanes.values() for w in windows)
            windows = tuple(_pieces(ask, gaps, held, self._config.backfill.window_bars))
            await self._storage.prepare(ask.series)
            failures: list[WindowFailure] = []
            for i in range(0, len(windows), _BATCH_WINDOWS):
                failures += await self._bring(ask, windows[i : i + _BATCH_WINDOWS])
        reason = f"source {self._config.source} could not bring them" if failures else ""
        return Filled(failures=tuple(failures), reason=reason)

    async def close(self) -> None:
        """Nothing is held between calls."""

    async def _bring(self, ask: Ask, windows: Sequence[Window]) -> list[WindowFailure]:
        """Fetch, judge and store some windows; return those that failed."""
        answers = await _gather({w: self._ask_source(ask.series, w) for w in windows})
        hull = Window(windows[0].start, windows[-1].end)
        stored = await self._storage.newest(ask.series, hull)
        known = await self._next_known(ask.series, stored)
        failures, records = [], []
        for window, answer in answers.items():
            judged = (
                answer
                if isinstance(answer, WindowFailure)
                else self._judge(ask, window, answer, stored)
            )
            if isinstance(judged, WindowFailure):
                failures.append(judged)
            else:
                records.append(NewRecord(ask.series, self._lane, window, known, judged))
        await self._storage.add(records)
        return failures

    async def _next_known(self, series: Series, stored: Versions) -> int:
        """Return a `known` above every one of the series: clocks step back, versions never do."""
        own = stored.known[stored.lane == self._lane]
        last = max(await self._storage.highest_known(series), int(own.max()) if own.size else 0)
        return max(self._clock.wall_us(), last + 1)

    def _judge(
        self, ask: Ask, window: Window, bars: BarFrame, stored: Versions
    ) -> BarFrame | WindowFailure:
        """Return the rows to store, or why there are none."""
        if not len(bars) and not self._config.empty_confirmed:
            return _failure(
                window,
                "empty",
                f"source {self._config.source} answered no bars, which is no proof that there "
                "are none (empty_confirmed)",
            )
        result = self._config.pipeline.run(
            bars,
            Context(
                series=ask.series,
                grid=ask.grid,
                window=window,
                listed=ask.listed,
                calendar=ask.calendar,
                lane=self._lane,
                ranks=self._storage.ranks,
                stored=stored.take(inside_any(stored.bars.ts, (window,))),
            ),
        )
        if not result.passed:
            return _failure(window, "blocked", _told(result))
        return withdraw(bars, result.withdrawn)

    async def _ask_source(self, series: Series, window: Window) -> BarFrame | WindowFailure:
        backfill = self._config.backfill
        first_s = backfill.retry_backoff_ms / 1_000
        delays = Backoff(first_s, max(first_s, _RETRY_CAP_S), jitter_ratio=backfill.jitter_ratio)
        attempt = 1
        while True:
            try:
                async with self._local.slots():
                    frame = await self._fetch(series, window)
                return bars_of(frame, self._config.source)
            except Exception as e:  # noqa: BLE001  a fetcher is anybody's code; told as a failure
                if attempt == backfill.max_attempts or not _worth_asking_again(e):
                    return _failure(window, "source", f"{type(e).__name__}: {e}")
                wait_s = getattr(e, "retry_after_s", None) or 0.0
            draw = self._config.draw() if backfill.jitter_ratio else 0.0
            await self._clock.sleep(max(wait_s, delays.delay_s(attempt, draw)))
            attempt += 1


def _pieces(
    ask: Ask, gaps: Sequence[Window], held: Sequence[Window], window_bars: int
) -> Iterator[Window]:
    """Yield what to ask for: of one window's size at most, none without a session bar."""
    for gap in gaps:
        for piece in ask.grid.split(gap, window_bars):
            session = ask.calendar.session_bars(ask.grid, piece)
            wanted = session[~inside_any(session, held)]
            if wanted.size:
                yield Window(int(wanted[0]), int(wanted[-1]) + ask.grid.interval)


async def _gather(work: Mapping[Window, Awaitable[T]]) -> dict[Window, T]:
    """Return what each returns; when one raises, or the caller is cancelled, all end."""

    async def run(one: Awaitable[T]) -> T:
        return await one

    async with asyncio.TaskGroup() as group:
        tasks = {window: group.create_task(run(one)) for window, one in work.items()}
    return {window: task.result() for window, task in tasks.items()}


def _worth_asking_again(error: Exception) -> bool:
    if isinstance(error, SeamlessError):
        return error.retriable
    return not isinstance(error, _MISTAKES)


def _failure(window: Window, error_class: str, message: str) -> WindowFailure:
    return WindowFailure(
        start=window.start, end=window.end, error_class=error_class, message=message
    )


def _told(result: ConformanceResult) -> str:
    return "; ".join(f"{f.check}: {f.message}" for f in result.blocking)
