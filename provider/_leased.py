"""Single flight across processes: windows are fetched under leases of the coordinator.

Processes that fill one store share a coordinator. Each takes leases for what its own calls want;
a window that another one holds is waited for. The ledger is asked again under each lease: what
was brought a moment before is not fetched a second time.
"""

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass, field

from avro_schemas import WindowFailure
from bars.series import backfill_lane
from bars.window import Window, intersect, merge, subtract
from coordinator.client import (
    CoordinatorError,
    HeldLease,
    JobSpec,
    JobState,
    LeaseClient,
    LeaseFailure,
    LeaseLostError,
    SeriesLane,
    SessionLostError,
)
from provider._ask import Ask
from provider._fill import DirectFiller, cut
from provider._filled import Filled, Progress
from provider._slots import Slots
from provider.storage import Storage
from runtime import BackfillConfig, Clock
from runtime.log import logger

WAIT_S = 0.2
"""How long one question for leases waits; in between, a job is looked at."""

PAUSE_S = 0.05
"""After leases of somebody else's jobs were given back."""

log = logger(__name__)


@dataclass(slots=True, eq=False)
class _Run:
    """One fill under way."""

    ask: Ask
    job_id: str
    target: SeriesLane
    wanted: tuple[Window, ...]
    progress: Progress
    parts: list[Filled] = field(default_factory=list)
    tasks: set[asyncio.Task[None]] = field(default_factory=set)


@dataclass(frozen=True, slots=True, kw_only=True)
class LeaseTerms:
    """What fetching under leases takes."""

    leases: LeaseClient
    session_id: str
    """This provider's; nobody else has the same."""

    source: str
    """Name of the source."""

    clock: Clock
    config: BackfillConfig


class LeasedFiller:
    """Fetches windows under leases, through a filler that knows how."""

    def __init__(self, inner: DirectFiller, storage: Storage, terms: LeaseTerms) -> None:
        self._inner = inner
        self._storage = storage
        self._terms = terms
        self._lane = backfill_lane(terms.source)
        self._turn = Slots(1)
        self._runs: dict[str, _Run] = {}

    def goes_on(self, ask: Ask) -> bool:
        """Return False: it ends with the last who waits."""
        del ask
        return False

    def pieces(self, ask: Ask, gaps: tuple[Window, ...]) -> tuple[Window, ...]:
        """Return the windows that the gaps would be fetched in."""
        return self._inner.pieces(ask, gaps)

    async def fill(self, ask: Ask, gaps: tuple[Window, ...], progress: Progress) -> Filled:
        """Return once every gap is in the ledger or has finally failed, whoever brought it."""
        windows = await self._open_windows(ask, gaps)
        if not windows:
            return Filled(request_id=ask.request_id)
        leases = self._terms.leases
        run = _Run(ask, ask.request_id, SeriesLane(ask.series, self._lane), windows, progress)
        await self._storage.prepare(ask.series)
        await self._opened()
        self._runs[run.job_id] = run
        try:
            await leases.submit_job(self._spec(run))
            job = await self._until_done(run)
            failures = tuple(_failures(job, run))
            return Filled.of(
                [
                    Filled(
                        failures=failures,
                        reason="windows could not be brought" if failures else "",
                        request_id=ask.request_id,
                    ),
                    *(Filled(brought=p.brought, unstored=p.unstored) for p in run.parts),
                ]
            )
        finally:
            del self._runs[run.job_id]
            await self._end(run)

    async def close(self) -> None:
        """Give back what is held; harmless when repeated."""
        try:
            await self._terms.leases.close_session(self._terms.session_id)
        except CoordinatorError as e:
            log.warning("session_not_closed", error=str(e))

    async def _open_windows(self, ask: Ask, gaps: tuple[Window, ...]) -> tuple[Window, ...]:
        view = await self._storage.ledger(ask.series, Window(gaps[0].start, gaps[-1].end))
        return tuple(cut(ask, gaps, view.covered(), self._terms.config.window_bars))

    def _spec(self, run: _Run) -> JobSpec:
        return JobSpec(
            job_id=run.job_id,
            target=run.target,
            window=Window(run.wanted[0].start, run.wanted[-1].end),
            missing=merge(run.wanted),
            grid=run.ask.grid,
            window_bars=self._terms.config.window_bars,
        )

    async def _opened(self) -> None:
        await self._terms.leases.open_session(
            self._terms.session_id, self._terms.config.distributed_lease_ttl_ms
        )

    async def _until_done(self, run: _Run) -> JobState:
        """Take leases and look at the job by turns until nothing is left of it."""
        leases = self._terms.leases
        whole = sum(w.end - w.start for w in run.wanted)
        while True:
            job = await leases.job(run.job_id)
            if job is None:  # the service has forgotten everything: say it again
                await self._opened()
                job = await leases.submit_job(self._spec(run))
            left = sum(w.end - w.start for w in job.todo)
            run.progress(1 - left / whole)
            if not job.todo:
                return job
            async with self._turn:  # one question at a time, for all fills of this provider
                await self._take(run)

    async def _take(self, run: _Run) -> None:
        leases, most = self._terms.leases, self._terms.config.max_concurrent_requests
        room = most - sum(len(each.tasks) for each in self._runs.values())
        if room <= 0:
            await asyncio.wait(
                [task for each in self._runs.values() for task in each.tasks],
                return_when=asyncio.FIRST_COMPLETED,
            )
            return
        try:
            await leases.keep_session(self._terms.session_id)
            wait_s = 0.0 if run.tasks else WAIT_S
            session_id, lanes = self._terms.session_id, (self._lane,)
            taken = await leases.acquire(session_id, room, wait_s, lanes=lanes)
        except SessionLostError:
            await self._opened()
            return
        foreign = [lease for lease in taken if not self._begin(lease)]
        for lease in foreign:
            await leases.release(lease)
        if foreign:
            await self._terms.clock.sleep(PAUSE_S)
        elif not taken and run.tasks:
            await asyncio.wait(run.tasks, return_when=asyncio.FIRST_COMPLETED)

    def _begin(self, lease: HeldLease) -> bool:
        """Work under a lease, if it is for one of our fills; return whether it is."""
        run = next((self._runs[j] for j in lease.job_ids if j in self._runs), None)
        if run is None or run.target != lease.target:
            return False
        task = asyncio.get_running_loop().create_task(self._work(run, lease))
        run.tasks.add(task)
        task.add_done_callback(run.tasks.discard)
        return True

    async def _work(self, run: _Run, lease: HeldLease) -> None:
        renewing = asyncio.ensure_future(self._renew(lease))
        bringing = asyncio.ensure_future(self._bring(run, lease))
        try:
            await asyncio.wait((renewing, bringing), return_when=asyncio.FIRST_COMPLETED)
            if not bringing.done():  # the lease is lost: whoever has it now brings the window
                return
            part = bringing.result()
            run.parts.append(part)
            if part.failures:
                first = part.failures[0]
                failure = LeaseFailure(
                    error_class=first.error_class, message=first.message[:500], retriable=False
                )
                await self._terms.leases.fail(lease, failure)
            else:
                await self._terms.leases.complete(lease)
        except LeaseLostError as e:
            log.warning("lease_lost", window=str(lease.window), reason=str(e))
        except CoordinatorError as e:
            log.warning("lease_not_told", window=str(lease.window), reason=str(e))
        finally:
            for task in (renewing, bringing):
                task.cancel()
            await asyncio.wait((renewing, bringing))

    async def _bring(self, run: _Run, lease: HeldLease) -> Filled:
        windows = await self._open_windows(run.ask, (lease.window,))
        if not windows:
            return Filled()
        tokens = dict.fromkeys(windows, lease.token)
        return await self._inner.bring(run.ask, windows, lambda: None, tokens=tokens)

    async def _renew(self, lease: HeldLease) -> None:
        """Keep a lease until it is lost."""
        clock = self._terms.clock
        while True:
            await clock.sleep(max(0.0, lease.renew_s - clock.monotonic()))
            try:
                await self._terms.leases.keep_session(self._terms.session_id)
                lease = await self._terms.leases.renew(lease)
            except (LeaseLostError, SessionLostError) as e:
                log.warning("lease_lost", window=str(lease.window), reason=str(e))
                return
            except CoordinatorError as e:
                log.warning("lease_not_told", window=str(lease.window), reason=str(e))
                if clock.monotonic() >= lease.stop_s:
                    return
                await clock.sleep(PAUSE_S)

    async def _end(self, run: _Run) -> None:
        for task in run.tasks:
            task.cancel()
        if run.tasks:
            await asyncio.wait(set(run.tasks))
        try:
            await self._terms.leases.cancel_job(run.job_id)
        except CoordinatorError as e:
            log.warning("lease_not_told", window=str(run.wanted), reason=str(e))


def _failures(job: JobState, run: _Run) -> Iterable[WindowFailure]:
    own = [f for f in job.failures if intersect((f.window,), run.wanted)]
    for failure in own:
        yield WindowFailure(
            start=failure.window.start,
            end=failure.window.end,
            error_class=failure.error_class,
            message=failure.message,
        )
    for window in subtract(intersect(job.failed, run.wanted), (f.window for f in own)):
        yield WindowFailure(
            start=window.start, end=window.end, error_class="lease", message="given up"
        )
