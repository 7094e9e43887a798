"""Answers one call: looks, has what is missing brought as the strategy says, reads, judges."""

import asyncio
from collections.abc import Coroutine, Iterator
from dataclasses import dataclass
from typing import Any

import pandas as pd

from bars.calendars import AlwaysOpen
from bars.conformance import ConformancePipelineError, Context
from bars.protocols import DataAvailabilityStrategy
from bars.window import Window, merge
from provider._answer import ATTRS_KEY, Told, metadata
from provider._budget import BACKFILL, STORAGE, TOTAL
from provider._call import Call, last_covered_close, share
from provider._filled import Brought, Filled, Filler, Progress
from provider._flight import Boarding, Flights
from provider._jobs import Jobs
from provider._join import Piece, join
from provider._levels import STORAGE_NAME, VersionedLevel
from provider._live_tail import LiveTail
from provider._read import Failure, Look, SourceReader
from provider._sight import Sight, absences, runs
from provider._state import State
from provider._verdict import check, gap_too_long, passed_over, raise_first, unavailable
from provider.errors import SeamlessSLAExceeded
from provider.metrics import ProviderMetrics
from runtime import BackfillConfig, Clock, DeadlineExceededError
from store import StoreOwnedError

_PARTIAL = DataAvailabilityStrategy.PARTIAL_FILL


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Engine:
    """What answering takes, whatever is asked."""

    reader: SourceReader
    filler: Filler | None
    """None: nobody brings what is missing."""

    flights: Flights
    jobs: Jobs
    live: LiveTail
    config: BackfillConfig
    background: bool
    clock: Clock
    metrics: ProviderMetrics

    async def answer(self, call: Call, state: State) -> pd.DataFrame:
        """Return the bars of a call, and everything about them in the frame's attrs."""
        try:
            sight = await self._gather(call, state)
            self._check(call, state, sight)
            return self._judged(call, state, sight)
        finally:
            self._tell(call)

    async def bring(self, call: Call) -> bool:
        """Do what the strategy does about missing bars and read none; return whether all are there.

        Raises:
            SeamlessError: As `answer` does.
        """
        state = State()
        try:
            look = await self.look(call)
            if call.sight(look.covered).missing.size:
                await self._act(call, state, look)
                look = await self.look(call, again=True)
            also = (b.window for b in _usable(call, state.filled))
            sight = call.sight(merge((*look.covered, *also)), state.filled.listed)
            state.failures += look.failures
            state.late = state.late or look.late
            self._check(call, state, sight)
            return not sight.missing.size
        finally:
            self._tell(call)

    async def covered(self, call: Call) -> tuple[Window, ...]:
        """Return everything that any source has of a series.

        Raises:
            SeamlessError: None could say so.
        """
        found, failures = [], []
        for level in self.reader.levels:
            try:
                found.append(await call.budget.run(STORAGE, level.everything(call.ask)))
            except DeadlineExceededError:
                raise
            except Exception as e:  # noqa: BLE001  a source is anybody's code
                failures.append(Failure(level.name, e))
        if not found:
            raise_first(failures)
        return merge(window for windows in found for window in windows)

    async def look(self, call: Call, *, again: bool = False) -> Look:
        """Ask the sources what they have.

        After a fetch it is asked `again`, and patiently: what was brought must not be lost for a
        store that restarts just now.
        """
        return await self.reader.look(call, patient=again and not call.answers_partly)

    async def _gather(self, call: Call, state: State) -> Sight:
        """Collect pieces from everywhere that the strategy allows; return what is seen then."""
        look = await self.look(call)
        if call.sight(look.covered).missing.size:
            asked = await self._act(call, state, look)
            if asked:
                look = await self.look(call, again=True)
        reading = await self.reader.read(call, look)
        state.take(reading, look)
        sight = call.sight(state.covered, state.filled.listed)
        if sight.missing.size:
            state.pieces += _brought(call, state.filled)
            sight = call.sight(state.covered, state.filled.listed)
        if sight.missing.size and call.strategy is DataAvailabilityStrategy.SEAMLESS:
            pieces, late = await self.live.bars(call, sight)
            state.pieces += pieces
            state.late = state.late or late
            sight = call.sight(state.covered, state.filled.listed)
        return sight

    # What to do about missing bars

    async def _act(self, call: Call, state: State, look: Look) -> bool:
        """Have missing bars brought as the strategy says; return whether they were waited for."""
        sight = call.sight(look.covered)
        if call.strategy is DataAvailabilityStrategy.FAIL_FAST:
            self._refuse(call, look, sight, "strategy FAIL_FAST has nothing fetched")
            return False
        if self.filler is None:
            if not call.answers_partly:
                self._refuse(call, look, sight, "there is no fetcher to bring them")
            state.filled = Filled(reason="there is no fetcher to bring them")
            return False
        if not call.answers_partly:  # what cannot be read cannot be materialized either
            raise_first(f for f in look.failures if f.source == STORAGE_NAME)
        if call.strategy is _PARTIAL and self.config.mode == "background":
            state.job = self._behind(call, sight)
            return False
        too_long = gap_too_long(call, sight)
        if too_long is not None:
            state.violations.append(too_long)
            state.job = self._behind(call, sight)
            return False
        await self._in_front(call, state, sight)
        return True

    def _refuse(self, call: Call, look: Look, sight: Sight, reason: str) -> None:
        """Raise why bars are missing that nobody is going to bring, if that is to be raised."""
        if isinstance(look.late, SeamlessSLAExceeded) and call.on_violation != "fail_fast":
            return
        if look.late is not None:
            raise look.late
        raise_first(f for f in look.failures if f.source == STORAGE_NAME)
        raise unavailable(sight, reason + passed_over(look.failures))

    async def _in_front(self, call: Call, state: State, sight: Sight) -> None:
        """Wait for a fetch; what is not there in time goes on behind the call if it may."""
        boarding = self._board(call, sight)
        kept = withdrawn = False
        try:
            state.filled = await call.budget.run(BACKFILL, boarding.result())
            self._brought(call, state.filled)
        except DeadlineExceededError as e:
            state.late, state.overdue = e, True
            if self.background and call.on_violation != "fail_fast":
                kept = True
                state.job = self._job(call, boarding)
            filler = self.filler
            state.goes_on = kept or (filler is not None and filler.goes_on(call.ask))
        except asyncio.CancelledError:
            withdrawn = True
            raise
        except Exception as e:
            if not call.answers_partly or isinstance(e, StoreOwnedError):
                raise
            state.failures.append(Failure("backfill", e))
            state.filled = Filled(reason=f"{type(e).__name__}: {e}")
        finally:
            if not kept:
                boarding.leave(withdrawn=withdrawn)

    def _behind(self, call: Call, sight: Sight) -> str | None:
        """Have missing bars fetched behind the call; return the job."""
        if not self.background:
            return None
        running = self.jobs.of(call.ask.series, runs(sight))
        if running is not None:
            return running.job_id
        return self._job(call, self._board(call, sight))

    def _job(self, call: Call, boarding: Boarding) -> str | None:
        job = self.jobs.start(
            call.ask.request_id, boarding, lambda filled: self._brought(call, filled)
        )
        return None if job is None else job.job_id

    def _board(self, call: Call, sight: Sight) -> Boarding:
        filler = self.filler
        if filler is None:
            raise RuntimeError("nobody brings bars here")

        def bring(windows: tuple[Window, ...], progress: Progress) -> Coroutine[Any, Any, Filled]:
            return filler.fill(call.to_fill(), windows, progress)

        return Boarding(self.flights, call.ask.series, runs(sight), bring)

    def _brought(self, call: Call, filled: Filled) -> None:
        for failure in filled.failures:
            self.metrics.failures.add(error_class=failure.error_class)
        ends = [b.window.end for b in filled.brought] or [min(call.ask.window.end, call.limit)]
        if not filled.failures:
            self.metrics.brought(call.ask.series, max(ends) - call.ask.series.interval)

    # What becomes of it

    def _check(self, call: Call, state: State, sight: Sight) -> None:
        check(call, state, sight, self.clock.wall_us() // 1_000_000)

    def _judged(self, call: Call, state: State, sight: Sight) -> pd.DataFrame:
        bars = join(
            state.pieces
        )  # each holds only bars of what it covers: rows alone prove nothing
        report = call.pipeline.run(bars, self._context(call, sight))
        failed = tuple(Window(f.start, f.end) for f in state.filled.failures)
        told = Told(
            sight=sight,
            lanes={} if state.look is None else _lanes(state.look, call.ask.window),
            ranks=self._ranks(),
            pieces=tuple(state.pieces),
            absent=absences(sight, bars.ts, failed),
            report=report,
            call=call,
            violations=tuple(state.violations),
            failures=tuple(
                (f.source, f"{type(f.error).__name__}: {f.error}") for f in state.failures
            ),
            filled=state.filled,
            job=state.job,
            unverified=state.unverified,
        )
        about = metadata(told)
        state.about, state.report = about, report
        if report.objections and not call.pipeline.partial_ok:
            raise ConformancePipelineError(report)
        self._seen(call, sight)
        frame = bars.to_pandas()
        frame.attrs[ATTRS_KEY] = about
        return frame

    def _context(self, call: Call, sight: Sight) -> Context:
        ask = call.ask
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
            ranks=self._ranks(),
            accepted=call.accepted,
        )

    def _ranks(self) -> dict[str, int]:
        for level in self.reader.levels:
            if isinstance(level, VersionedLevel):
                return dict(level.storage.ranks)
        return {}

    def _seen(self, call: Call, sight: Sight) -> None:
        node = self.metrics.node(call.ask.series.node)
        self.metrics.coverage_ratio.set(share(sight), node_id=node)
        closed = last_covered_close(sight)
        if closed is not None:
            now_s = self.clock.wall_us() / 1_000_000
            self.metrics.staleness_s.set(max(0.0, now_s - closed), node_id=node)

    def _tell(self, call: Call) -> None:
        node = self.metrics.node(call.ask.series.node)
        for phase, seconds in call.budget.spent_s.items():
            self.metrics.sla_seconds.observe(seconds, phase=phase, node_id=node)
        self.metrics.sla_seconds.observe(call.budget.elapsed_s(), phase=TOTAL, node_id=node)


def _usable(call: Call, filled: Filled) -> tuple[Brought, ...]:
    """Return what was brought and may be answered though no source shows it."""
    return filled.brought if call.answers_partly or filled.unstored is None else ()


def _brought(call: Call, filled: Filled) -> Iterator[Piece]:
    """Yield what was brought and may be answered: of a shared fetch only what this call asked."""
    for brought in _usable(call, filled):
        window = brought.window.intersect(call.ask.window)
        if window is not None:
            yield Piece(window, brought.bars.inside(window), "backfill", versioned=False)


def _lanes(look: Look, window: Window) -> dict[str, tuple[Window, ...]]:
    found: dict[str, tuple[Window, ...]] = {}
    for held in look.held:
        if held.view is not None:
            found.update(held.view.lanes(window))
    return found
