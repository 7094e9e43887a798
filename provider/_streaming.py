"""Drives a stream without Kafka: stored history, then a live feed, nothing lost between."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, get_args

import pandas as pd

from bars.conformance import ConformancePipeline, Context
from bars.errors import InvalidValueError
from bars.frame import BarFrame
from bars.protocols import LiveDataFeed
from bars.window import Window
from provider._ask import Ask
from provider._join import reconcile
from provider._parts import Manners
from provider._sight import horizon
from provider.live import FINAL_KEY, PollingConfig, PollingFeed
from provider.stream import Splice, StreamEvent, StreamMode
from runtime import Backoff, Clock
from runtime.log import logger

HISTORY_BARS = 20_000
"""Slots of one read of history: the first bars are out before the last are read."""

QUEUE_MAX = 10_000
"""Bars of the feed that wait while history is read; then the feed waits."""

_RETRY = Backoff(1.0, 60.0)

log = logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamTerms:
    """What streaming takes."""

    ask: Ask
    feed: LiveDataFeed
    read: Callable[[Window], Awaitable[pd.DataFrame]]
    """Gets closed bars of a window, as many as can be had."""

    pipeline: ConformancePipeline
    clock: Clock
    settle_s: int
    grace_s: float
    """How long a bar waits for those before it."""

    partials: bool


class _Reads:
    """A `DataFetcher` over a read of stored bars."""

    def __init__(self, read: Callable[[Window], Awaitable[pd.DataFrame]]) -> None:
        self._read = read

    async def fetch(self, start: int, end: int, *, node_id: str, interval: int) -> pd.DataFrame:
        """Return the bars of `[start, end)`; the series is the read's."""
        del node_id, interval
        return await self._read(Window(start, end))


def polled(
    read: Callable[[Window], Awaitable[pd.DataFrame]], ask: Ask, manners: Manners
) -> LiveDataFeed:
    """Return a feed that reads the sources whenever a bar has closed."""
    config = PollingConfig(settle_s=manners.config.settle_s, origin=ask.node.origin)
    return PollingFeed(_Reads(read), config, clock=manners.clock)


def check_mode(mode: object, grace_s: object) -> None:
    """Go on if both may be asked for.

    Raises:
        InvalidValueError: One is something else.
    """
    if mode not in get_args(StreamMode):
        raise InvalidValueError("mode", mode, " or ".join(map(repr, get_args(StreamMode))))
    if isinstance(grace_s, bool) or not isinstance(grace_s, int | float) or not grace_s > 0:
        raise InvalidValueError("handoff_grace_s", grace_s, "above 0")


class _End:
    """The feed has ended."""


async def stream(terms: StreamTerms, since: int) -> AsyncIterator[StreamEvent]:
    """Yield what happens in a series from `since` on, in order."""
    splice = Splice(terms.ask, since)
    async with _pumped(terms) as queue:  # first: what closes while history is read must not be lost
        async for event in _history(terms, splice):
            yield event
        while True:
            found = await _next(terms, splice, queue)
            if isinstance(found, _End):
                return
            if found is None:
                async for event in _history(terms, splice, told=False):
                    yield event
                continue
            bars, final = found
            if not final:
                if terms.partials and splice.between(int(bars.ts[0])) is None:
                    for event in splice.partial(bars):
                        yield event
                continue
            async for event in _closed(terms, splice, bars):
                yield event


async def _history(
    terms: StreamTerms, splice: Splice, *, told: bool = True
) -> AsyncIterator[StreamEvent]:
    """Yield what is stored from the frontier to now; what is not there is a gap, if it is told."""
    grid = terms.ask.grid
    while True:
        end = horizon(grid, terms.clock.wall_us() // 1_000_000, terms.settle_s)
        if splice.frontier >= end:
            return
        window = Window(splice.frontier, min(end, splice.frontier + HISTORY_BARS * grid.interval))
        for event in _in_order(splice, await _read(terms, window)):
            yield event
        rest = splice.between(window.end)
        if rest is None:
            splice.pass_over(window.end)
        elif told:
            yield splice.give_up(rest)
            splice.pass_over(window.end)
        else:
            return


async def _closed(terms: StreamTerms, splice: Splice, bars: BarFrame) -> AsyncIterator[StreamEvent]:
    """Yield a bar of the feed, and before it what is missing between, or that it is."""
    ts = int(bars.ts[0])
    if splice.between(ts) is not None:
        for event in _in_order(splice, await _read(terms, Window(splice.frontier, ts)), ends=False):
            yield event
    if splice.between(ts) is not None:
        await terms.clock.sleep(terms.grace_s)
        for event in _in_order(splice, await _read(terms, Window(splice.frontier, ts))):
            yield event
        rest = splice.between(ts)
        if rest is not None:
            yield splice.give_up(rest)
    for event in splice.take(bars):
        yield event


def _in_order(splice: Splice, bars: BarFrame, *, ends: bool = True) -> Iterator[StreamEvent]:
    """Yield the events of stored bars, with the gaps between them.

    Args:
        splice: What has been told.
        bars: Ascending.
        ends: Whether gaps may be told; else what lies behind the first is left for later.
    """
    for row, ts in enumerate(bars.ts.tolist()):
        gap = splice.between(ts)
        if gap is not None and not ends:
            break
        if gap is not None:
            yield splice.give_up(gap)
        yield from splice.take(bars.take(slice(row, row + 1)))


async def _read(terms: StreamTerms, window: Window) -> BarFrame:
    frame = await terms.read(window)
    return reconcile(frame, "history")[0]


async def _next(
    terms: StreamTerms, splice: Splice, queue: "asyncio.Queue[Any]"
) -> tuple[BarFrame, bool] | _End | None:
    """Return the feed's next bar; None when it is silent though a bar has closed."""
    if not queue.empty():
        return _judged(terms, await queue.get())
    due_s = splice.frontier + terms.ask.grid.interval + terms.settle_s + terms.grace_s
    wait_s = max(terms.grace_s, due_s - terms.clock.wall_us() / 1_000_000)
    getting = asyncio.ensure_future(queue.get())
    alarm = asyncio.ensure_future(terms.clock.sleep(wait_s))
    try:
        await asyncio.wait((getting, alarm), return_when=asyncio.FIRST_COMPLETED)
        return _judged(terms, getting.result()) if getting.done() else None
    finally:
        getting.cancel()
        alarm.cancel()


def _judged(terms: StreamTerms, found: Any) -> tuple[BarFrame, bool] | _End | None:
    """Return a bar of the feed if it may be told. Wrong ones are left to be fetched."""
    if isinstance(found, _End):
        return found
    ts, frame = found
    window = Window(ts, ts + terms.ask.grid.interval)
    bars = reconcile(frame, "live")[0].inside(window)
    if not len(bars):
        return None
    context = Context(
        series=terms.ask.series,
        grid=terms.ask.grid,
        window=window,
        listed=terms.ask.listed,
        calendar=terms.ask.calendar,
    )
    result = terms.pipeline.run(bars, context)
    if not result.passed:
        told = "; ".join(f"{f.check}: {f.message}" for f in result.blocking)
        log.warning("live_bar_refused", node_id=terms.ask.series.node, ts=ts, reason=told)
        return None
    return bars, bool(frame.attrs.get(FINAL_KEY, True))


@asynccontextmanager
async def _pumped(terms: StreamTerms) -> AsyncIterator["asyncio.Queue[Any]"]:
    """Yield a queue that the feed is read into."""
    queue: asyncio.Queue[Any] = asyncio.Queue(QUEUE_MAX)
    task = asyncio.ensure_future(_pump(terms, queue))
    try:
        yield queue
    finally:
        task.cancel()
        await asyncio.wait((task,))


async def _pump(terms: StreamTerms, queue: "asyncio.Queue[Any]") -> None:
    about: Any = {"node_id": terms.ask.series.node, "interval": terms.ask.series.interval}
    for pause_s in _RETRY:
        try:
            async for item in terms.feed.subscribe(**about):
                await queue.put(item)
            break
        except Exception as e:  # noqa: BLE001  a feed is anybody's code; it is taken up again
            log.warning("live_feed_failed", node_id=terms.ask.series.node, error=str(e))
            await terms.clock.sleep(pause_s)
    await queue.put(_End())
