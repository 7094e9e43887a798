"""`SeamlessDataProvider`: what a strategy asks for bars.

It looks at what the ledger covers, lets what is missing be brought, reads the winners, and lets
conformance judge the answer. Who stores and who brings are arguments.
"""

import asyncio
import uuid
from collections.abc import Awaitable, Callable, Mapping
from types import TracebackType
from typing import Self, TypeVar, Unpack

import pandas as pd

from bars.calendars import AlwaysOpen
from bars.conformance import Context
from bars.errors import SeamlessError
from bars.frame import BarFrame, inside_any
from bars.history_coverage import to_ranges
from bars.protocols import DataAvailabilityStrategy
from bars.window import Window, covered, merge
from provider._answer import ATTRS_KEY, metadata
from provider._ask import Ask, check_series, check_window
from provider._fill import Filled
from provider._parts import Parts, direct_parts
from provider._sight import Sight, absences, horizon, inclusive, look, runs
from provider._sync import LoopThread
from provider.errors import BackfillFailedError, ClosedError, DataUnavailableError
from provider.options import ProviderOptions, refuse_unknown
from provider.storage import Storage
from runtime import Backoff, ConfigError, Deadline, DeadlineExceededError, Problem

T = TypeVar("T")

_RETRY = Backoff(0.1, 2.0)


class SeamlessDataProvider:
    """Bars of any series, from what is stored and whoever brings the rest.

    Async first; each call has a twin that ends in `_sync` and also works where a loop already
    runs. Calls share no state and may run at the same time.
    """

    def __init__(self, **options: Unpack[ProviderOptions]) -> None:
        """Make a provider without Kafka.

        Args:
            **options: See `ProviderOptions`; `storage_source` has to be given.

        Raises:
            ConfigError: An option is unknown or not what it may be.
        """
        refuse_unknown(options, ProviderOptions)
        storage = options.get("storage_source")
        if not isinstance(storage, Storage):
            raise ConfigError([Problem("storage_source", storage, "a provider.Storage")])
        self._assemble(direct_parts(storage, options.get("backfiller"), options))

    def _assemble(self, parts: Parts) -> None:
        self._storage = parts.storage
        self._filler = parts.filler
        self._nodes = parts.nodes
        self._calendars = parts.calendars
        self._manners = parts.manners
        self._sync = LoopThread()
        self._closed = False

    async def fetch(self, start: int, end: int, *, node_id: str, interval: int) -> pd.DataFrame:
        """Return the bars whose open time is in `[start, end)`.

        Returns:
            `ts` int64 epoch seconds ascending and unique, then open, high, low, close, volume
            float64; the same columns and types when there are no bars. What is covered, where
            the bars come from, what is missing and why stands in `frame.attrs["seamless"]`.

        Raises:
            InvalidValueError: An argument is not what it may be; nothing was read.
            DataUnavailableError: Bars are missing and nobody brought them in time.
            BackfillFailedError: Somebody tried to bring them and failed.
            ConformancePipelineError: The answer has flags that are not accepted.
            DeadlineExceededError: The store did not answer in time.
        """
        ask = self._ask(start, end, node_id, interval)
        clock = self._manners.clock
        deadline = Deadline.after(clock, self._manners.wait_timeout_s)
        limit = horizon(ask.grid, clock.wall_us() // 1_000_000, self._manners.settle_s)
        look(ask, (), limit)  # refuses a window that is too large before anything is read
        lanes = await deadline.run(self._storage.covered(ask.series, ask.window), "storage")
        sight = look(ask, _union(lanes), limit)
        filled = Filled()
        if sight.missing.size:
            filled = await self._bring(sight, deadline)
            lanes = await self._patiently(
                lambda: self._storage.covered(ask.series, ask.window), deadline
            )
            sight = look(ask, _union(lanes), limit, filled.listed)
            _complete(sight, filled)
        bars = await self._patiently(
            lambda: self._storage.winners(ask.series, ask.window), deadline
        )
        return self._answer(sight, lanes, bars, filled)

    async def coverage(self, *, node_id: str, interval: int) -> list[tuple[int, int]]:
        """Return inclusive ranges (first bar, last bar) of what is covered, ascending.

        Raises:
            InvalidValueError: An argument is not what it may be; nothing was read.
        """
        self._open()
        series = check_series(node_id, interval)
        grid = self._nodes(series).grid
        deadline = Deadline.after(self._manners.clock, self._manners.wait_timeout_s)
        lanes = await deadline.run(self._storage.covered(series), "storage")
        return [(r.start, r.end) for r in to_ranges(_union(lanes), grid)]

    def fetch_sync(self, start: int, end: int, *, node_id: str, interval: int) -> pd.DataFrame:
        """Return what `fetch` returns, from code that is not async."""
        return self._sync.run(self.fetch(start, end, node_id=node_id, interval=interval))

    def coverage_sync(self, *, node_id: str, interval: int) -> list[tuple[int, int]]:
        """Return what `coverage` returns, from code that is not async."""
        return self._sync.run(self.coverage(node_id=node_id, interval=interval))

    async def close(self) -> None:
        """Let go of connections and threads; harmless when repeated. Nothing works afterwards."""
        await self._close()
        await asyncio.to_thread(self._sync.stop)

    def close_sync(self) -> None:
        """Do what `close` does, from code that is not async."""
        if not self._closed:
            self._sync.run(self._close())
        self._sync.stop()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close_sync()

    async def _close(self) -> None:
        if self._closed:
            return
        self._closed = True
        if self._filler is not None:
            await self._filler.close()
        await self._storage.close()

    def _open(self) -> None:
        if self._closed:
            raise ClosedError

    def _ask(self, start: object, end: object, node_id: object, interval: object) -> Ask:
        self._open()
        series, window = check_series(node_id, interval), check_window(start, end)
        node = self._nodes(series)
        return Ask(series, window, node, self._calendars(node), str(uuid.uuid4()))

    async def _bring(self, sight: Sight, deadline: Deadline) -> Filled:
        """Have the missing bars brought, or say why nobody does."""
        if self._manners.strategy is DataAvailabilityStrategy.FAIL_FAST:
            raise _unavailable(sight, "strategy FAIL_FAST has nothing fetched")
        if self._filler is None:
            raise _unavailable(sight, "there is no fetcher to bring them")
        try:
            return await deadline.run(self._filler.fill(sight.ask, runs(sight)), "backfill")
        except DeadlineExceededError as e:
            raise _unavailable(
                sight,
                f"request {sight.ask.request_id} has not brought them within "
                f"{deadline.budget_s:g} s and may still do so",
                sight.ask.request_id,
            ) from e

    async def _patiently(self, work: Callable[[], Awaitable[T]], deadline: Deadline) -> T:
        """Return what a read returns; a store that is away for a moment is asked again.

        What was brought must not be lost for a store that restarts just now.
        """

        async def once() -> T:
            return await work()

        for delay in _RETRY:
            try:
                return await deadline.run(once(), "storage")
            except SeamlessError as e:
                if not e.retriable or deadline.remaining_s() <= delay:
                    raise
            await self._manners.clock.sleep(delay)
        raise AssertionError  # the delays never end

    def _context(self, sight: Sight) -> Context:
        ask = sight.ask
        parts = (*sight.covered, *((sight.askable,) if sight.askable is not None else ()))
        start = min((w.start for w in parts), default=ask.window.start)
        return Context(
            series=ask.series,
            grid=ask.grid,
            # No calendar is asked about a future that it may not know.
            window=Window(start, max((w.end for w in parts), default=start + 1)),
            listed=ask.listed,
            calendar=ask.calendar if parts else AlwaysOpen(),
            covers=sight.covered,
            ranks=self._storage.ranks,
            accepted=self._manners.accepted,
        )

    def _answer(
        self, sight: Sight, lanes: Mapping[str, tuple[Window, ...]], bars: BarFrame, filled: Filled
    ) -> pd.DataFrame:
        ask = sight.ask
        if not covered(ask.window, sight.covered):
            bars = bars.take(inside_any(bars.ts, sight.covered))  # rows alone prove nothing
        report = self._manners.pipeline.check(bars, self._context(sight))
        absent = absences(sight, bars.ts, (Window(f.start, f.end) for f in filled.failures))
        frame = bars.to_pandas()
        frame.attrs[ATTRS_KEY] = metadata(sight, lanes, self._storage.ranks, absent, report)
        return frame


def _union(lanes: Mapping[str, tuple[Window, ...]]) -> tuple[Window, ...]:
    return merge(window for windows in lanes.values() for window in windows)


def _unavailable(sight: Sight, reason: str, request_id: str | None = None) -> DataUnavailableError:
    ask = sight.ask
    missing = inclusive(runs(sight), ask.series.interval)
    return DataUnavailableError(ask.series, missing, int(sight.missing.size), reason, request_id)


def _complete(sight: Sight, filled: Filled) -> None:
    """Go on if nothing is missing any more."""
    if not sight.missing.size:
        return
    ask = sight.ask
    if filled.failures or filled.reason:
        raise BackfillFailedError(ask.request_id, ask.series, filled.failures, filled.reason)
    raise _unavailable(
        sight,
        f"request {ask.request_id} is done and the ledger does not cover them",
        ask.request_id,
    )
