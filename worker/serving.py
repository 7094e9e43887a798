"""The life of one request: accepted, planned, handed to the lease service, followed to its end."""

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from functools import partial

from avro_schemas import BackfillRequest, BackfillStatus, RequestState
from bars.series import Series
from bars.window import Window, intersect, subtract
from coordinator.client import Failure, LeaseClient, SeriesLane
from runtime.backoff import Backoff
from runtime.clock import Clock
from runtime.settings import Settings
from sources import SourceError
from worker.accept import Accepted, accept
from worker.errors import RefusedRequestError
from worker.jobs import Jobs
from worker.patience import Patience
from worker.plan import Plan, Terms, plan
from worker.ports import LedgerView, Outbox
from worker.progress import Progress
from worker.run import Run
from worker.terms import TermsBook
from worker.waiting import until_set

STATUS_EVERY_S = 1.0
"""A running request tells of itself at most so often."""

LOOK_S = 1.0
"""How often a request looks whether something is due for it."""

JOB_EVERY_S = 10.0
"""How often a request asks how its job fares, though nobody in this process said anything."""

MISSED_MAX = 2
"""Times in a row that a job is not known before it is submitted anew: whoever has just taken a
request over from us may have ended it, and we are about to learn that it is not ours."""

VAIN_MAX = 4
"""Questions to the ledger in vain, some twenty seconds, before the lease service is compared with
it."""

PLANS_AT_A_TIME = 4

INLINE_SLOTS_MAX = 50_000
"""A plan over more slots is made in a thread, so that leases are renewed meanwhile."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tools:
    """What serving a request takes."""

    settings: Settings
    clock: Clock
    patience: Patience
    leases: LeaseClient
    ledger: LedgerView
    outbox: Outbox
    terms: TermsBook
    on_job_ended: Callable[[SeriesLane], None]
    """Called when a job is taken back: leases may have ended with it."""


class Serving:
    """Serves requests, many at a time."""

    def __init__(self, tools: Tools, unstored: Callable[[SeriesLane], Iterable[Failure]]) -> None:
        """Serve.

        Args:
            tools: What it takes.
            unstored: Returns what of a lane passed and could not be stored after all.
        """
        self._tools = tools
        self._unstored = unstored
        self._jobs = Jobs(tools.leases, tools.patience, tools.settings.backfill.window_bars)
        self._planning = asyncio.Semaphore(PLANS_AT_A_TIME)

    async def serve(self, run: Run) -> BackfillStatus:
        """Return the final status of a request, once there is one; tell of it on the way."""
        request = run.request
        try:
            accepted = accept(request, self._tools.settings, self._tools.terms.served)
            await self._tell(early_status(request, RequestState.ACCEPTED))
            progress = await self._begin(run, accepted)
            await self._follow(run, progress)
            await self._end_job(accepted)
        except (RefusedRequestError, SourceError) as error:
            return early_status(request, RequestState.REJECTED, str(error))
        if not progress.settled:
            return progress.status(RequestState.CANCELLED, "cancelled as asked")
        return progress.verdict()

    async def _begin(self, run: Run, accepted: Accepted) -> Progress:
        """Plan a request and hand its windows to the lease service."""
        async with self._planning:
            terms = await self._learn(accepted)
            if accepted.lanes == ():
                progress = await self._hand_over(run, accepted, terms, ())
            else:
                async with self._jobs.remembering(accepted):
                    covered = await self._covered(accepted, accepted.lanes)
                    progress = await self._hand_over(run, accepted, terms, covered)
        return progress

    async def _hand_over(
        self, run: Run, accepted: Accepted, terms: Terms, covered: tuple[Window, ...]
    ) -> Progress:
        made = await self._plan(accepted.request, terms, covered)
        progress = Progress(accepted, made)
        if made.windows:
            await self._submit(progress, made.missing)
        run.progress = progress
        run.news(self._tools.clock.monotonic())
        return progress

    async def _learn(self, accepted: Accepted) -> Terms:
        """Return the terms; a source that cannot say just now is asked a few times."""
        backfill = self._tools.settings.backfill
        first_s = backfill.retry_backoff_ms / 1_000
        for retry in range(1, backfill.max_attempts):
            try:
                return await self._tools.terms.learn(accepted.target)
            except SourceError as error:
                if not error.retriable:
                    raise
            await self._tools.clock.sleep(Backoff(first_s, max(first_s, 60.0)).delay_s(retry))
        return await self._tools.terms.learn(accepted.target)

    async def _covered(
        self, accepted: Accepted, lanes: tuple[str, ...] | None
    ) -> tuple[Window, ...]:
        request = accepted.request
        window = Window(request.start, request.end)
        return await self._tools.patience.until_done(
            "read the ledger",
            partial(self._tools.ledger.windows, accepted.node.series, lanes, window),
        )

    async def _plan(
        self, request: BackfillRequest, terms: Terms, covered: tuple[Window, ...]
    ) -> Plan:
        now = self._tools.clock.wall_us() // 1_000_000
        slots = (min(request.end, now) - request.start) // terms.grid.interval
        if slots <= INLINE_SLOTS_MAX:
            return plan(request, terms, covered, now)
        return await asyncio.to_thread(plan, request, terms, covered, now)

    async def _submit(self, progress: Progress, missing: tuple[Window, ...]) -> None:
        state = await self._jobs.submit(progress, missing)
        progress.since = state.since
        # The lease service spares what has passed. If it could not be stored, nobody brings it.
        spared = subtract(missing, state.todo)
        for failure in self._unstored(progress.accepted.target):
            for part in intersect(spared, (failure.window,)):
                progress.give_up(replace(failure, window=part))

    async def _end_job(self, accepted: Accepted) -> None:
        await self._jobs.end(accepted.request.request_id)
        self._tools.on_job_ended(accepted.target)

    async def _follow(self, run: Run, progress: Progress) -> None:
        """Return when the request is settled or cancelled."""
        clock = self._tools.clock
        told: BackfillStatus | None = None
        told_s = job_s = clock.monotonic()
        while not progress.settled and not run.cancelled:
            now_s = clock.monotonic()
            if told is None or now_s - told_s >= STATUS_EVERY_S:
                status = progress.status(RequestState.RUNNING)
                if status != told:
                    await self._tell(status)
                    told, told_s = status, now_s
            await until_set(run.changed, clock, LOOK_S)
            run.changed.clear()
            if run.job_news or clock.monotonic() - job_s >= JOB_EVERY_S:
                run.job_news, job_s = False, clock.monotonic()
                await self._ask_job(run, progress)
            if clock.monotonic() >= run.ledger_due_s:
                await self._ask_ledger(run, progress)

    async def _ask_job(self, run: Run, progress: Progress) -> None:
        """Take note of the windows that the lease service has given up."""
        if progress.settled:
            return
        state = await self._jobs.state(progress.accepted.request.request_id)
        if state is None:
            run.job_missed += 1
            if run.job_missed >= MISSED_MAX:
                # A lease service that has lost its memory: what is left is a new job.
                await self._submit(progress, progress.rest)
            return
        run.job_missed = 0
        for failure in state.failures:
            progress.give_up(failure)
        progress.lose(state.failed, "failed", "given up like those listed")

    async def _ask_ledger(self, run: Run, progress: Progress) -> None:
        """Take note of what is stored, in case its receipt was missed."""
        if progress.settled:
            return
        accepted, doubtful = progress.accepted, run.vain >= VAIN_MAX
        judged = await self._judged(accepted.node.series) if doubtful else 0
        covered = await self._shown(progress)
        terms = await self._tools.terms.known(accepted.target)
        news = bool(intersect(covered, progress.rest)) and progress.stored(covered)
        # Halves of a window in which nothing trades: nobody has been asked for them.
        news |= progress.stored([w for w in progress.rest if not terms.session_bars(w)])
        if news:
            run.news(self._tools.clock.monotonic())
        else:
            run.asked_in_vain(self._tools.clock.monotonic())
        if doubtful and judged and not news:
            await self._resync(progress, judged)

    async def _judged(self, series: Series) -> int:
        judged = partial(self._tools.ledger.judged, series)
        return await self._tools.patience.until_done("read the visible mark", judged)

    async def _shown(self, progress: Progress, *, own: bool = False) -> tuple[Window, ...]:
        """Return what the ledger covers of what a request waits for; `own`: in its lane alone."""
        accepted, ledger = progress.accepted, self._tools.ledger
        series, lane = accepted.node.series, accepted.target.lane
        hull = Window(progress.rest[0].start, progress.rest[-1].end)
        if accepted.request.refetch:
            ask = partial(ledger.windows_since, series, lane, hull, progress.since)
        else:
            ask = partial(ledger.windows, series, (lane,) if own else accepted.lanes, hull)
        return await self._tools.patience.until_done("read the ledger", ask)

    async def _resync(self, progress: Progress, judged: int) -> None:
        """Have fetched again what the lease service holds as done and the ledger will never show.

        What is asked in this order leaves no doubt: the mark, the job, the ledger.
        """
        target = progress.accepted.target
        state = await self._jobs.state(progress.accepted.request.request_id)
        if state is None or progress.settled:
            return
        shown = await self._shown(progress, own=True)
        lacking = subtract(progress.rest, (*state.todo, *state.failed, *shown))
        if lacking:
            await self._jobs.resync(target, lacking, judged)

    async def _tell(self, status: BackfillStatus) -> None:
        tell = partial(self._tools.outbox.tell, status)
        await self._tools.patience.until_done("publish a status", tell)


def early_status(
    request: BackfillRequest, state: RequestState, message: str = ""
) -> BackfillStatus:
    """Return the status of a request that is not planned."""
    return BackfillStatus(
        request_id=request.request_id,
        state=state,
        node_id=request.node_id,
        interval=request.interval,
        start=request.start,
        end=request.end,
        message=message,
    )
