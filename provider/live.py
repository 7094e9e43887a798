"""Feeds of bars as the market prints them: stored bars once more, and a fetcher that is polled."""

from collections.abc import AsyncIterator
from dataclasses import dataclass

import pandas as pd

from bars.errors import InvalidValueError
from bars.frame import BarFrame
from bars.protocols import DataFetcher, DataSource
from bars.series import Series
from bars.window import Grid, Window
from provider._ask import check_series, check_window
from runtime import Backoff, Clock, SystemClock
from runtime.log import logger
from sources import bars_of

US = 1_000_000

FINAL_KEY = "final"
"""In a frame's attrs: whether the bar has closed."""

log = logger(__name__)


class LiveReplay:
    """A `LiveDataFeed` of bars that are stored: for tests of strategies and for demonstrations."""

    def __init__(
        self,
        source: DataSource,
        start: int,
        end: int,
        *,
        speed: float | None = None,
        clock: Clock | None = None,
    ) -> None:
        """Make a feed.

        Args:
            source: Where the bars are.
            start: First open time that is replayed.
            end: First open time that is not.
            speed: How many seconds of the market pass in one; None: all at once.
            clock: Where time comes from.

        Raises:
            InvalidValueError: The window is empty, or the speed not above 0.
        """
        self._window = check_window(start, end)
        if speed is not None and not speed > 0:
            raise InvalidValueError("speed", speed, "above 0")
        self._source = source
        self._speed = speed
        self._clock = clock or SystemClock()

    async def is_live_available(self, *, node_id: str, interval: int) -> bool:
        """Return whether some bar of the window is stored."""
        held = await self._source.coverage(node_id=node_id, interval=interval)
        return any(first < self._window.end and last >= self._window.start for first, last in held)

    async def subscribe(
        self, *, node_id: str, interval: int
    ) -> AsyncIterator[tuple[int, pd.DataFrame]]:
        """Yield (ts, frame of that bar), each when it would have closed."""
        frame = await self._source.fetch(
            self._window.start, self._window.end, node_id=node_id, interval=interval
        )
        began_s = self._clock.monotonic()
        for row, ts in enumerate(frame["ts"].tolist()):
            if self._speed is not None:
                due_s = began_s + (ts + interval - self._window.start) / self._speed
                await self._clock.sleep(due_s - self._clock.monotonic())
            yield ts, _final(frame.iloc[row : row + 1].reset_index(drop=True), final=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class PollingConfig:
    """How a fetcher is polled."""

    settle_s: int = 0
    """A bar is asked for only when it has been closed that long."""

    include_partial: bool = False
    """Whether the bar that is still open is yielded too, `frame.attrs["final"]` being false."""

    partial_s: int = 5
    """How often the open bar is asked for."""

    catch_up_bars: int = 500
    """Bars that one question asks for at most, after a time without answers."""

    origin: int = 0
    """One of the open times that the bars may have."""

    def __post_init__(self) -> None:
        for name, least in (("settle_s", 0), ("partial_s", 1), ("catch_up_bars", 1)):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or value < least:
                raise InvalidValueError(name, value, f"a whole number of at least {least}")


def next_boundary_us(grid: Grid, now_us: int, settle_s: int = 0) -> int:
    """Return the first moment after `now_us` at which a bar has been closed for `settle_s`.

    In whole microseconds: sums of floats would come to wake before the bar is over.
    """
    step, shift = grid.interval * US, (grid.origin + settle_s) * US
    return now_us - (now_us - shift) % step + step


class PollingFeed:
    """A `LiveDataFeed` over any `DataFetcher`: it asks when a bar has closed, and not before.

    It begins with the bar that closed last. Each bar is yielded once, in order; what a failing
    fetch did not bring is asked for again, with growing pauses, until it comes.
    """

    def __init__(
        self,
        fetcher: DataFetcher,
        config: PollingConfig | None = None,
        *,
        clock: Clock | None = None,
        source_name: str = "live",
    ) -> None:
        self._fetcher = fetcher
        self._config = config or PollingConfig()
        self._clock = clock or SystemClock()
        self._source = source_name

    async def is_live_available(self, *, node_id: str, interval: int) -> bool:
        """Return whether the series is one that may be asked for; a fetcher knows no more."""
        check_series(node_id, interval)
        return True

    async def subscribe(
        self, *, node_id: str, interval: int
    ) -> AsyncIterator[tuple[int, pd.DataFrame]]:
        """Yield (ts, frame of that bar) for each bar once it has closed."""
        grid = Grid(check_series(node_id, interval).interval, self._config.origin)
        since = self._closed_end(grid) - interval
        async for ts, frame in self.follow(since, node_id=node_id, interval=interval):
            yield ts, frame

    async def follow(
        self, since: int, *, node_id: str, interval: int
    ) -> AsyncIterator[tuple[int, pd.DataFrame]]:
        """Yield (ts, frame of that bar) for each bar from `since` on, however many have closed.

        What has closed already is asked for in questions of `catch_up_bars`, the oldest first.
        """
        series = check_series(node_id, interval)
        grid = Grid(interval, self._config.origin)
        following = since
        while following + self._span(grid) < self._closed_end(grid):
            page_end = following + self._span(grid)
            async for ts, frame in self._closed_bars(series, grid, following, page_end):
                yield ts, frame
            following = page_end
        while True:
            async for ts, frame in self._closed_bars(series, grid, following):
                yield ts, frame
                following = ts + interval
            boundary_us = next_boundary_us(grid, self._clock.wall_us(), self._config.settle_s)
            if not self._config.include_partial:
                await self._until(boundary_us)
                continue
            async for ts, frame in self._open_bars(series, grid, boundary_us):
                yield ts, frame

    def _span(self, grid: Grid) -> int:
        return self._config.catch_up_bars * grid.interval

    def _closed_end(self, grid: Grid) -> int:
        """Return the first open time whose bar has not been closed for `settle_s`."""
        return grid.floor(self._clock.wall_us() // US - self._config.settle_s)

    async def _closed_bars(
        self, series: Series, grid: Grid, start: int, until: int | None = None
    ) -> AsyncIterator[tuple[int, pd.DataFrame]]:
        """Yield what has closed from `start` on, before `until` if that is said.

        Asked again until there is an answer.
        """
        pauses = Backoff(1.0, max(1.0, grid.interval / 4))
        for retry, pause_s in enumerate(pauses, 1):
            end = self._closed_end(grid) if until is None else until
            if start >= end:
                return
            window = Window(max(start, end - self._span(grid)), end)
            try:
                bars = await self._bars(series, window)
            except Exception as e:  # noqa: BLE001  a feed outlives whatever a fetcher does
                log.warning("live_fetch_failed", node_id=series.node, retry=retry, error=str(e))
                await self._clock.sleep(pause_s)
                continue
            for row, ts in enumerate(bars.ts.tolist()):
                yield ts, _final(bars.take(slice(row, row + 1)).to_pandas(), final=True)
            return

    async def _open_bars(
        self, series: Series, grid: Grid, boundary_us: int
    ) -> AsyncIterator[tuple[int, pd.DataFrame]]:
        """Yield the bar that is open as it grows, until it is over."""
        while (now_us := self._clock.wall_us()) < boundary_us:
            ts = grid.floor(now_us // US)
            try:
                bars = await self._bars(series, Window(ts, ts + grid.interval))
            except Exception as e:  # noqa: BLE001  as above; the next question is soon
                log.warning("live_fetch_failed", node_id=series.node, retry=0, error=str(e))
            else:
                if len(bars) and self._clock.wall_us() < boundary_us:
                    yield ts, _final(bars.to_pandas(), final=False)
            await self._until(min(boundary_us, now_us + self._config.partial_s * US))

    async def _bars(self, series: Series, window: Window) -> BarFrame:
        """Return the bars of the window, ascending and each once, whatever came besides."""
        frame = await self._fetcher.fetch(
            window.start, window.end, node_id=series.node, interval=series.interval
        )
        bars = bars_of(frame, self._source).inside(window)
        bars = bars.take(bars.ts.argsort(kind="stable"))
        last = bars.ts[1:] != bars.ts[:-1]
        return bars.take([*last.nonzero()[0].tolist(), len(bars) - 1] if len(bars) else [])

    async def _until(self, moment_us: int) -> None:
        """Return when the wall clock shows that moment; it may have been set meanwhile."""
        while (left_us := moment_us - self._clock.wall_us()) > 0:
            await self._clock.sleep(left_us / US)


def _final(frame: pd.DataFrame, *, final: bool) -> pd.DataFrame:
    frame.attrs[FINAL_KEY] = final
    return frame
