"""Backfillers: they get missing bars and put them where they are read from.

`DataFetcherAutoBackfiller` makes one of a plain fetcher; `QualityAwareBackfiller` lets nothing
through that conformance blocks. Anything with the three methods of `AutoBackfiller` is one.
"""

import random
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from typing import Any, Protocol, runtime_checkable

import pandas as pd

from avro_schemas import WindowFailure
from bars.conformance import ConformancePipeline, ConformancePipelineError, Context
from bars.errors import InvalidValueError
from bars.protocols import AutoBackfiller, DataFetcher, DataSource
from bars.series import Series
from bars.window import Grid, Window
from provider._ask import check_series, check_window
from provider._retry import Asking
from provider._slots import Slots
from provider.errors import BackfillFailedError
from runtime import BackfillConfig, Clock, SystemClock
from runtime.log import logger, request_id
from sources import SourceError, bars_of

Progress = Callable[[float], None]

log = logger(__name__)


@runtime_checkable
class FillsMissing(Protocol):
    """A storage that can get by itself what it lacks."""

    async def fill_missing(self, start: int, end: int, *, node_id: str, interval: int) -> Any:
        """Fetch what is missing from `start` to `end`, both inclusive."""
        ...


@runtime_checkable
class TakesBars(Protocol):
    """A storage that bars can be put into."""

    async def write(
        self, start: int, end: int, frame: pd.DataFrame, *, node_id: str, interval: int
    ) -> None:
        """Store bars that cover `[start, end)`."""
        ...


class DataFetcherAutoBackfiller:
    """An `AutoBackfiller` over any `DataFetcher`: windows, retries, storage first."""

    def __init__(
        self,
        fetcher: DataFetcher,
        *,
        config: BackfillConfig | None = None,
        clock: Clock | None = None,
        source_name: str = "fetcher",
        draw: Callable[[], float] = random.random,
    ) -> None:
        """Make a backfiller.

        Args:
            fetcher: Asked for the bars.
            config: Size of a window, retries, how many at a time.
            clock: Where time comes from.
            source_name: What the fetcher is called in errors.
            draw: Where the jitter of delays comes from.

        Raises:
            InvalidValueError: The fetcher is none.
        """
        given: object = fetcher
        if not isinstance(given, DataFetcher):
            allowed = "an object with `async def fetch(start, end, *, node_id, interval)`"
            raise InvalidValueError("fetcher", fetcher, allowed)
        config = config or BackfillConfig()
        self.fetcher = fetcher
        """Who is asked."""

        self._source = source_name
        self._config = config
        slots = Slots(config.max_concurrent_requests)
        self._asking = Asking(config=config, clock=clock or SystemClock(), slots=slots, draw=draw)

    async def can_backfill(self, start: int, end: int, *, node_id: str, interval: int) -> bool:
        """Return whether the range is one that may be asked for; a fetcher knows no more."""
        check_series(node_id, interval)
        check_window(start, end)
        return True

    async def backfill(
        self,
        start: int,
        end: int,
        *,
        node_id: str,
        interval: int,
        target_storage: DataSource | None = None,
    ) -> pd.DataFrame:
        """Fetch the range, store it in `target_storage` if given, and return it.

        A storage that can `fill_missing` is asked to, and read: fetching here as well would fetch
        twice. Where that fails the fetcher is asked, and its answer is stored all the same.

        Raises:
            Exception: What the fetcher raised last.
        """
        series, window = check_series(node_id, interval), check_window(start, end)
        storage: object = target_storage
        if target_storage is not None and isinstance(storage, FillsMissing):
            try:
                await storage.fill_missing(
                    window.start, window.end - interval, node_id=node_id, interval=interval
                )
                return await target_storage.fetch(
                    window.start, window.end, node_id=node_id, interval=interval
                )
            except Exception as e:  # noqa: BLE001  the fetcher is the fallback, whatever it was
                log.warning("storage_did_not_fill", node_id=node_id, error=str(e))
        frame = await self._fetch(series, window)
        if isinstance(storage, TakesBars):
            await storage.write(window.start, window.end, frame, node_id=node_id, interval=interval)
        return frame

    async def backfill_async(
        self,
        start: int,
        end: int,
        *,
        node_id: str,
        interval: int,
        target_storage: DataSource | None = None,
        progress_callback: Progress | None = None,
    ) -> AsyncIterator[pd.DataFrame]:
        """Yield the range window by window; progress never falls and ends at 1.0.

        A window that fails does not stop the others; at the end it is told, not skipped.

        Raises:
            BackfillFailedError: Some windows failed; those that did not were yielded.
        """
        series, window = check_series(node_id, interval), check_window(start, end)
        pieces = list(Grid(interval).split(window, self._config.window_bars))
        failures: list[WindowFailure] = []
        for done, piece in enumerate(pieces, 1):
            try:
                frame = await self.backfill(
                    piece.start,
                    piece.end,
                    node_id=node_id,
                    interval=interval,
                    target_storage=target_storage,
                )
            except Exception as e:  # noqa: BLE001  told below with its window
                failures.append(_failure(piece, e))
            else:
                yield frame
            if progress_callback is not None:
                progress_callback(done / len(pieces))
        if failures:
            reason = f"{len(failures)} of {len(pieces)} windows failed"
            raise BackfillFailedError(request_id() or "", series, failures, reason)

    async def _fetch(self, series: Series, window: Window) -> pd.DataFrame:
        async def question() -> pd.DataFrame:
            frame = await self.fetcher.fetch(
                window.start, window.end, node_id=series.node, interval=series.interval
            )
            return bars_of(frame, self._source).to_pandas()

        return await self._asking.ask(question)


class QualityAwareBackfiller:
    """Lets nothing through that conformance blocks; otherwise does what `inner` does."""

    def __init__(
        self,
        inner: AutoBackfiller,
        pipeline: ConformancePipeline | None = None,
        *,
        origin: int = 0,
    ) -> None:
        """Make a backfiller.

        Args:
            inner: Gets the bars. It is never given a storage: what is refused must not be stored.
            pipeline: Judges them; WARN passes, BLOCK does not, whatever its `partial_ok`.
            origin: One of the open times that the bars may have.
        """
        self._inner = inner
        self._origin = origin
        self._pipeline = replace(pipeline or ConformancePipeline(), partial_ok=False)

    async def can_backfill(self, start: int, end: int, *, node_id: str, interval: int) -> bool:
        """Return whether the range could be fetched now."""
        return await self._inner.can_backfill(start, end, node_id=node_id, interval=interval)

    async def backfill(
        self,
        start: int,
        end: int,
        *,
        node_id: str,
        interval: int,
        target_storage: DataSource | None = None,
    ) -> pd.DataFrame:
        """Fetch the range, judge it, store it in `target_storage` if given, and return it.

        Raises:
            ConformancePipelineError: The bars are wrong; nothing was stored.
        """
        series, window = check_series(node_id, interval), check_window(start, end)
        frame = await self._inner.backfill(start, end, node_id=node_id, interval=interval)
        self._judge(series, window, frame)
        await _put(target_storage, series, window, frame)
        return frame

    async def backfill_async(
        self,
        start: int,
        end: int,
        *,
        node_id: str,
        interval: int,
        target_storage: DataSource | None = None,
        progress_callback: Progress | None = None,
    ) -> AsyncIterator[pd.DataFrame]:
        """Yield the range in pieces, each judged before it is stored and yielded.

        Raises:
            ConformancePipelineError: A piece is wrong; it was not stored.
        """
        series, window = check_series(node_id, interval), check_window(start, end)
        pieces = self._inner.backfill_async(
            start, end, node_id=node_id, interval=interval, progress_callback=progress_callback
        )
        async for frame in pieces:
            self._judge(series, window, frame)
            if len(frame):
                span = Window(int(frame["ts"].iloc[0]), int(frame["ts"].iloc[-1]) + interval)
                await _put(target_storage, series, span, frame)
            yield frame

    def _judge(self, series: Series, window: Window, frame: pd.DataFrame) -> None:
        bars = bars_of(frame, "backfiller")
        grid = Grid(series.interval, self._origin)
        result = self._pipeline.run(bars, Context(series=series, grid=grid, window=window))
        if not result.passed:
            raise ConformancePipelineError(result)


async def _put(storage: object, series: Series, window: Window, frame: pd.DataFrame) -> None:
    if storage is None:
        return
    if not isinstance(storage, TakesBars):
        raise SourceError(
            type(storage).__name__, "bars cannot be put into it: it has no `async def write`"
        )
    await storage.write(
        window.start, window.end, frame, node_id=series.node, interval=series.interval
    )


def _failure(window: Window, error: Exception) -> WindowFailure:
    return WindowFailure(
        start=window.start,
        end=window.end,
        error_class="source",
        message=f"{type(error).__name__}: {error}",
    )
