"""One window under a lease: ask the source, publish one chunk, wait for the verdict on it."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from typing import TypeAlias

from bars.errors import SeamlessError
from bars.frame import BarFrame
from coordinator.client import (
    Brought,
    HeldLease,
    LeaseClient,
    LeaseEnd,
    LeaseFailure,
    LeaseLostError,
    SeriesLane,
)
from runtime.clock import Clock
from runtime.deadline import Deadline
from runtime.errors import DeadlineExceededError
from runtime.log import logger
from runtime.metrics import Metrics
from sources import RateLimitedError
from topics import UnwritableRecordError
from worker.chunks import chunk_of, failure_of
from worker.patience import Patience
from worker.ports import Outbox, Place
from worker.terms import TermsBook
from worker.verdicts import Verdicts

RATE_PAUSE_S = 5.0
"""How long a source is left alone that wants to be asked later and does not say when."""

STRANGE_PAUSE_S = 15.0
"""How long a window waits that came to a worker whose configuration does not have its lane: another
one's has, and gets it sooner or later."""

SHY_S = 60.0
"""So long a worker lets the others choose first after it was given such a window."""

Holding: TypeAlias = Callable[[], HeldLease]
"""Gives the lease as it was renewed last."""

_log = logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Means:
    """What fetching takes."""

    clock: Clock
    metrics: Metrics
    patience: Patience
    leases: LeaseClient
    terms: TermsBook
    outbox: Outbox
    verdicts: Verdicts
    lanes: tuple[str, ...]
    """Those of the sources that there are: windows of others are for somebody else."""

    lease_ttl_ms: int
    max_concurrent_requests: int

    on_fetched: Callable[[Place, Iterable[str], int], None]
    """Called with a chunk, the requests that it is for, and how many bars a source answered."""

    on_given_up: Callable[[SeriesLane], None]
    """Called when a window of a lane was given up."""


class WindowWork:
    """Turns leases into verdicts."""

    def __init__(self, means: Means) -> None:
        self._means = means
        self._paused_until_s: dict[SeriesLane, float] = {}
        self.shy_until_s = 0.0
        """So long others should have the first choice: what came last was nothing for us."""

    async def work(self, holding: Holding, answered: Callable[[], None]) -> None:
        """Bring one window to its end and tell the lease service.

        Args:
            holding: The lease.
            answered: Called when the source is no longer busy with it.

        Raises:
            LeaseLostError: The lease ended meanwhile.
        """
        lease = holding()
        asked = await self._ask(lease)
        answered()
        ended = await self._pass(holding, asked) if isinstance(asked, BarFrame) else asked
        if isinstance(ended, LeaseFailure):
            await self._fail(lease, ended)
        else:
            await self._complete(lease, ended)

    async def _ask(self, lease: HeldLease) -> BarFrame | LeaseFailure | None:
        """Return what the source answers, why it has no answer, or None if there is no question.

        A job's ranges may span windows in which nothing trades: those are done unasked.
        """
        means = self._means
        if not means.terms.knows(lease.target):
            self.shy_until_s = means.clock.monotonic() + SHY_S
            return LeaseFailure(
                error_class="not_configured",
                message=f"the configuration of this worker does not have {lease.target}",
                divisible=False,
                retry_after_s=STRANGE_PAUSE_S,
            )
        source = means.terms.source(lease.target)
        left_s = self._paused_until_s.get(lease.target, 0.0) - means.clock.monotonic()
        if left_s > 0:
            return LeaseFailure(error_class="rate_limited", rate_limited=True, retry_after_s=left_s)
        deadline = Deadline.after(means.clock, means.lease_ttl_ms / 1_000)
        try:
            terms = await means.terms.known(lease.target)
            if not terms.session_bars(lease.window):
                return None
            bars = await deadline.run(
                source.bars(lease.target.series, lease.window), f"source {source.name}"
            )
        except RateLimitedError as error:
            pause_s = RATE_PAUSE_S if error.retry_after_s is None else error.retry_after_s
            self._paused_until_s[lease.target] = means.clock.monotonic() + pause_s
            means.metrics.retries.add(what="rate_limited")
            return LeaseFailure(
                error_class="rate_limited",
                message=str(error),
                rate_limited=True,
                retry_after_s=pause_s,
            )
        except DeadlineExceededError as error:
            return LeaseFailure(error_class="source_timeout", message=str(error))
        except SeamlessError as error:
            return LeaseFailure(error_class="source", message=str(error), retriable=error.retriable)
        means.metrics.source_seconds.observe(deadline.elapsed_s(), source=source.name)
        if not len(bars) and not source.empty_confirmed:
            return LeaseFailure(
                error_class="empty_unconfirmed",
                message=f"source {source.name} answered no bars for {lease.window}, and cannot "
                "prove that there are none (its empty_confirmed is false)",
                divisible=False,
            )
        return bars

    async def _pass(self, holding: Holding, bars: BarFrame) -> LeaseFailure | Place:
        """Publish the chunk and wait for its verdict; return where it stands or why it failed."""
        means, lease = self._means, holding()
        source = means.terms.source(lease.target)
        chunk = chunk_of(lease, bars, source.name, empty_confirmed=source.empty_confirmed)

        async def publish() -> Place:
            # Asked before each try: what is published late would be judged for nothing.
            if means.clock.monotonic() >= holding().stop_s:
                raise LeaseLostError(lease.token, None, "its time was up before the chunk was out")
            return await means.outbox.publish(chunk)

        try:
            place = await self._means.patience.until_done("publish a chunk", publish)
        except UnwritableRecordError as error:
            return LeaseFailure(error_class="unwritable", message=str(error), retriable=False)
        means.on_fetched(place, lease.job_ids, len(bars))
        report = await means.verdicts.of(place)
        _log.info(
            "window_judged",
            window=str(lease.window),
            series=lease.target.key,
            verdict=report.verdict.value,
            bars=len(bars),
            token=lease.token,
        )
        return failure_of(report, place) or place

    async def _complete(self, lease: HeldLease, place: Place | None) -> None:
        terms = await self._means.terms.known(lease.target)
        brought = Brought(
            chunk_offset=-1 if place is None else place.offset,
            session_bars=terms.session_bars(lease.window),
        )
        complete = partial(self._means.leases.complete, lease, brought)
        try:
            await self._means.patience.until_done("complete a lease", complete)
        except LeaseLostError as error:
            if error.end is not LeaseEnd.COMPLETED:
                raise
            # An earlier try was obeyed, and its answer did not arrive in time.
        self._means.metrics.windows.add(state="done")

    async def _fail(self, lease: HeldLease, failure: LeaseFailure) -> None:
        fail = partial(self._means.leases.fail, lease, failure)
        try:
            again = await self._means.patience.until_done("fail a lease", fail)
        except LeaseLostError as error:
            if error.end is not LeaseEnd.FAILED:
                raise
            # As above. What has become of the window, the jobs know.
            self._means.on_given_up(lease.target)
            return
        self._means.metrics.windows.add(state="retried" if again else "failed")
        _log.warning(
            "window_failed",
            window=str(lease.window),
            series=lease.target.key,
            error_class=failure.error_class,
            message=failure.message,
            attempts=lease.attempts + (0 if failure.rate_limited else 1),
            again=again,
        )
        if not again:
            self._means.on_given_up(lease.target)
