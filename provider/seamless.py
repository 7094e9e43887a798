"""`SeamlessDataProvider`: what a strategy asks for bars.

Async first; each call has a twin that ends in `_sync`. What answering takes is in `_engine`; here
arguments are checked and calls are made of them.
"""

import asyncio
import uuid
from collections.abc import AsyncIterator
from contextlib import AbstractContextManager, aclosing
from dataclasses import replace
from types import TracebackType
from typing import Any, Self, Unpack

import pandas as pd

from bars.conformance import ConformanceResult
from bars.history_coverage import to_ranges
from bars.protocols import DataAvailabilityStrategy, DataSource
from bars.series import Series
from bars.window import Window
from provider._ask import Ask, check_inclusive, check_moment, check_series, check_window
from provider._budget import Budget
from provider._call import Call
from provider._explain import explain
from provider._jobs import BackfillJob
from provider._parts import Parts, direct_parts
from provider._session import last_bars
from provider._sight import horizon, inclusive, runs
from provider._state import State
from provider._streaming import StreamTerms, check_mode, polled, stream
from provider._sync import LoopThread
from provider._twins import SyncTwins
from provider.binding import Bound
from provider.errors import BackfillFailedError, ClosedError, DataUnavailableError
from provider.options import CallOptions, ProviderOptions, check_sla, check_strategy, refuse_unknown
from provider.stream import StreamEvent, StreamMode
from runtime import ConfigError, Problem
from runtime.log import request

SEAMLESS = DataAvailabilityStrategy.SEAMLESS


class SeamlessDataProvider(SyncTwins, Bound):
    """Bars of any series, from what is stored and whoever brings the rest.

    Calls share no state and may run at the same time, in any event loop.
    """

    def __init__(self, **options: Unpack[ProviderOptions]) -> None:
        """Make a provider without Kafka.

        Args:
            **options: See `ProviderOptions`; `storage_source` has to be given.

        Raises:
            ConfigError: An option is unknown or not what it may be.
        """
        refuse_unknown(options, ProviderOptions)
        storage: object = options.get("storage_source")
        if not isinstance(storage, DataSource):
            raise ConfigError([Problem("storage_source", storage, "a provider.Storage")])
        self._assemble(direct_parts(storage, options.get("backfiller"), options))

    def _assemble(self, parts: Parts) -> None:
        self._parts = parts
        self._engine = parts.engine
        self._manners = parts.manners
        self._sync = LoopThread()
        self._closed = False
        self._last: State | None = None

    async def fetch(
        self, start: int, end: int, *, node_id: str, interval: int, **call: Unpack[CallOptions]
    ) -> pd.DataFrame:
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
            SeamlessSLAExceeded: The service level could not be kept.
            DeadlineExceededError: The store did not answer in time.
        """
        made = self._call(check_window(start, end), check_series(node_id, interval), call)
        state = State()
        try:
            with request(made.ask.request_id), self._span(made):
                return await self._engine.answer(made, state)
        finally:
            if state.report is not None:
                self._last = state

    async def coverage(self, *, node_id: str, interval: int) -> list[tuple[int, int]]:
        """Return inclusive ranges (first bar, last bar) of what is covered, ascending.

        Raises:
            InvalidValueError: An argument is not what it may be; nothing was read.
        """
        series = check_series(node_id, interval)
        made = self._call(Window(0, series.interval), series, {})
        windows = await self._engine.covered(made)
        return [(r.start, r.end) for r in to_ranges(windows, made.ask.grid)]

    async def ensure_data_available(
        self, start: int, end: int, *, node_id: str, interval: int, **call: Unpack[CallOptions]
    ) -> bool:
        """Do what the strategy does about `[start, end)`; return whether all of it is there now.

        With FAIL_FAST nothing is fetched; with PARTIAL_FILL it is begun and not waited for.

        Raises:
            InvalidValueError: An argument is not what it may be; nothing was read.
            SeamlessSLAExceeded: The service level could not be kept.
        """
        made = self._call(check_window(start, end), check_series(node_id, interval), call)
        try:
            with request(made.ask.request_id):
                return await self._engine.bring(made)
        except (DataUnavailableError, BackfillFailedError):
            return False

    async def ensure_range(
        self, start: int, end: int, *, node_id: str, interval: int, **call: Unpack[CallOptions]
    ) -> None:
        """Return once the bars from `start` to `end`, both inclusive, are held.

        Raises:
            DataUnavailableError: Bars are missing and nobody brought them in time.
            BackfillFailedError: Somebody tried to bring them and failed.
        """
        series = check_series(node_id, interval)
        call.setdefault("strategy", DataAvailabilityStrategy.AUTO_BACKFILL)
        made = self._call(check_inclusive(start, end, series), series, call)
        with request(made.ask.request_id):
            await self._engine.bring(made)

    async def fill_missing(
        self, start: int, end: int, *, node_id: str, interval: int, **call: Unpack[CallOptions]
    ) -> None:
        """Fetch what is missing from `start` to `end`, both inclusive; the same as `ensure_range`.

        Raises:
            DataUnavailableError: Bars are missing and nobody brought them in time.
            BackfillFailedError: Somebody tried to bring them and failed.
        """
        await self.ensure_range(start, end, node_id=node_id, interval=interval, **call)

    async def history(
        self,
        n_bars: int,
        *,
        node_id: str,
        interval: int,
        end: int | None = None,
        **call: Unpack[CallOptions],
    ) -> pd.DataFrame:
        """Return the last `n_bars` session bars that open before `end` (None: all closed ones).

        Weekends and holidays are not counted. There are fewer where the series is younger.
        """
        series = check_series(node_id, interval)
        made = self._call(Window(0, series.interval), series, call)
        window = last_bars(made.ask, n_bars, made.limit if end is None else end)
        if window is None:
            window = Window(made.limit, made.limit + series.interval)
        return await self.fetch(
            window.start, window.end, node_id=node_id, interval=interval, **call
        )

    async def latest(
        self, *, node_id: str, interval: int, **call: Unpack[CallOptions]
    ) -> pd.DataFrame:
        """Return the bar that closed last, as a frame of one row; none where it has no bar."""
        return await self.history(1, node_id=node_id, interval=interval, **call)

    async def missing(
        self, start: int, end: int, *, node_id: str, interval: int
    ) -> list[tuple[int, int]]:
        """Return inclusive ranges of the session bars of `[start, end)` that no source has.

        Bars that follow each other in the calendar are one range, whatever the pause between.
        """
        made = self._call(check_window(start, end), check_series(node_id, interval), {})
        look = await self._engine.look(made)
        return list(inclusive(runs(made.sight(look.covered)), interval))

    async def explain(
        self, start: int, end: int, *, node_id: str, interval: int, **call: Unpack[CallOptions]
    ) -> dict[str, Any]:
        """Return what `fetch` would do, without reading a bar or having one fetched."""
        made = self._call(check_window(start, end), check_series(node_id, interval), call)
        return await explain(self._engine, made)

    async def stream(
        self,
        *,
        node_id: str,
        interval: int,
        since: int | None = None,
        mode: StreamMode = "final_only",
        handoff_grace_s: float = 5.0,
    ) -> AsyncIterator[StreamEvent]:
        """Yield every bar from `since` on, in order: those stored, then those of the live feed.

        Does not end by itself, unless the feed does. Without a `live_feed` the sources are read
        whenever a bar has closed. A bar that is missing is fetched; where that fails, a gap is
        told, and the bar as late should it still come.

        Args:
            node_id: Whose bars.
            interval: Bar length in seconds.
            since: First open time; None: what closes from now on.
            mode: `emit` yields the bar that is still open too, as the feed tells it.
            handoff_grace_s: How long a bar waits for those before it.

        Raises:
            InvalidValueError: An argument is not what it may be.
        """
        series = check_series(node_id, interval)
        made = self._call(Window(0, series.interval), series, {"strategy": SEAMLESS})
        begin = made.limit if since is None else check_moment(since, "since")
        check_mode(mode, handoff_grace_s)

        async def read(window: Window) -> pd.DataFrame:
            return await self.fetch(
                window.start, window.end, node_id=node_id, interval=interval, strategy=SEAMLESS
            )

        terms = StreamTerms(
            ask=made.ask,
            feed=self._parts.feed or polled(read, made.ask, self._manners),
            read=read,
            pipeline=made.pipeline,
            clock=self._manners.clock,
            settle_s=self._manners.config.settle_s,
            grace_s=handoff_grace_s,
            partials=mode == "emit",
        )
        async with aclosing(stream(terms, begin)) as events:  # type: ignore[type-var]
            async for event in events:
                yield event

    def jobs(self) -> list[BackfillJob]:
        """Return the fills that run behind calls now, the oldest first."""
        return self._engine.jobs.running()

    def cancel(self, job: BackfillJob | str) -> bool:
        """End a fill that runs behind calls; return whether it was running."""
        return self._engine.jobs.cancel(job)

    @property
    def last_conformance_report(self) -> ConformanceResult | None:
        """The report of the answer that was made last, by whichever call; None before the first.

        Calls may run at the same time: what belongs to one answer hangs on its frame.
        """
        return None if self._last is None else self._last.report

    @property
    def last_fetch_metadata(self) -> dict[str, Any] | None:
        """What `frame.attrs["seamless"]` of the answer that was made last says."""
        return None if self._last is None else self._last.about

    async def close(self) -> None:
        """Let go of connections and threads; harmless when repeated. Nothing works afterwards."""
        await self._close()
        await asyncio.to_thread(self._sync.stop)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    async def _close(self) -> None:
        if self._closed:
            return
        self._closed = True
        for part in self._parts.closing:
            await part.close()

    def _span(self, made: Call) -> AbstractContextManager[object]:
        about: Any = {
            "seamless.node_id": made.ask.series.node,
            "seamless.interval": made.ask.series.interval,
            "seamless.strategy": made.strategy.value,
            "seamless.request_id": made.ask.request_id,
        }
        return made.budget.tracer.start_as_current_span("seamless.fetch", attributes=about)

    def _call(self, window: Window, series: Series, said: CallOptions) -> Call:
        """Return the call, if the provider is open and everything said may be said."""
        if self._closed:
            raise ClosedError
        refuse_unknown(said, CallOptions)
        manners, clock = self._manners, self._manners.clock
        node = self._parts.nodes(series)
        ask = Ask(series, window, node, self._parts.calendars(node), str(uuid.uuid4()))
        sla = check_sla(said.get("sla", manners.sla))
        partial_ok = said.get("partial_ok", manners.pipeline.partial_ok)
        now = clock.wall_us() // 1_000_000
        made = Call(
            ask=ask,
            limit=horizon(ask.grid, now, manners.config.settle_s),
            closed=horizon(ask.grid, now),
            strategy=check_strategy(said.get("strategy", manners.strategy)),
            pipeline=replace(manners.pipeline, partial_ok=partial_ok),
            accepted=manners.accepted,
            sla=sla,
            budget=Budget(clock, series.node, sla, manners.config.wait_timeout_s, manners.tracer),
        )
        made.sight(())  # refuses a window that is too large before anything is read
        return made
