"""Requests as jobs of the lease service, which several workers share."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from hashlib import sha256

from bars.errors import SeamlessError
from bars.window import Window, subtract
from coordinator.client import CommandRefusedError, JobSpec, JobState, LeaseClient, SeriesLane
from worker.accept import TIME_MAX, Accepted
from worker.errors import RefusedRequestError, RivalJobError, ServiceFullError
from worker.patience import Patience
from worker.progress import Progress

CONFLICT = "job_conflict"
FULL = "too_many"
NOT_ALLOWED = frozenset({"invalid", "too_large"})
"""What the lease service says of a job that it will never take."""


@dataclass(frozen=True, slots=True)
class Jobs:
    """What a worker asks of the lease service about requests."""

    leases: LeaseClient
    patience: Patience
    window_bars: int

    @asynccontextmanager
    async def remembering(self, accepted: Accepted) -> AsyncGenerator[None]:
        """Have the service remember what is done of a request's range while it is planned.

        It forgets what is done with the last job that is about it, and whoever served that job
        may be another process. Without a job of its own, who read the ledger before a window was
        in it and submits after it was forgotten would have it fetched again.

        Who is cancelled leaves it behind: whoever serves the request next takes it over.
        """
        spec = self._spec(accepted, _hold_of(accepted), _extent(accepted), ())
        await self._submit(spec)
        try:
            yield
        except SeamlessError:
            await self.end(spec.job_id)
            raise
        await self.end(spec.job_id)

    async def submit(self, progress: Progress, missing: tuple[Window, ...]) -> JobState:
        """Ask for what is missing of a request; a job that is there already goes on.

        Raises:
            RefusedRequestError: The service takes no such job.
        """
        accepted, made = progress.accepted, progress.plan
        assert made.window is not None  # noqa: S101  # something is missing of it
        whole = missing == made.missing
        spec = self._spec(
            accepted,
            accepted.request.request_id,
            made.window,
            missing,
            made.session_bars - made.covered_bars if whole else None,
        )
        return await self._submit(spec)

    async def state(self, job_id: str) -> JobState | None:
        """Return how far a job is; None when it is not known."""
        return await self.patience.until_done("ask for a job", partial(self.leases.job, job_id))

    async def end(self, job_id: str) -> None:
        """Take a job back, finished or not."""
        await self.patience.until_done("end a job", partial(self.leases.cancel_job, job_id))

    async def resync(self, target: SeriesLane, lacking: tuple[Window, ...], judged: int) -> None:
        """Tell the service what the ledger lacks; it is fetched again if it ought to be there.

        Args:
            target: The lane.
            lacking: What the ledger did not show of what the service holds as done.
            judged: What passed of the chunks below this offset was visible before.
        """
        covered = subtract((Window(0, TIME_MAX),), lacking)
        resync = partial(self.leases.resync, target, covered, judged)
        await self.patience.until_done("compare with the ledger", resync)

    def _spec(
        self,
        accepted: Accepted,
        job_id: str,
        window: Window,
        missing: tuple[Window, ...],
        session_bars: int | None = None,
    ) -> JobSpec:
        return JobSpec(
            job_id=job_id,
            target=accepted.target,
            window=window,
            missing=missing,
            grid=accepted.node.grid,
            window_bars=self.window_bars,
            priority=accepted.request.priority,
            refetch=accepted.request.refetch,
            session_bars=session_bars,
        )

    async def _submit(self, spec: JobSpec) -> JobState:
        """Submit a job; one of its name with other values makes way.

        That one is of an earlier reader of the same request, who planned when fewer bars had
        closed or by another configuration. Until it learns that the request has moved it may ask
        again just when its job has made way, and that one makes way too.
        """
        submit = partial(self._submit_once, spec)
        return await self.patience.until_done("submit a job", submit)

    async def _submit_once(self, spec: JobSpec) -> JobState:
        try:
            return await self.leases.submit_job(spec)
        except CommandRefusedError as error:
            if error.code != CONFLICT:
                raise _refusal_of(spec, error) from None
        await self.leases.cancel_job(spec.job_id)
        try:
            return await self.leases.submit_job(spec)
        except CommandRefusedError as error:
            raise _refusal_of(spec, error) from None


def _refusal_of(spec: JobSpec, error: CommandRefusedError) -> SeamlessError:
    """Return what a refusal of the lease service means to whoever asked for a job."""
    if error.code == CONFLICT:
        return RivalJobError(spec.job_id)
    if error.code == FULL:
        return ServiceFullError(str(error))
    if error.code in NOT_ALLOWED:
        allowed = f"what the lease service takes: {error}"
        return RefusedRequestError("request", spec.job_id, allowed)
    return error


def _extent(accepted: Accepted) -> Window:
    request = accepted.request
    whole = accepted.node.grid.align(Window(request.start, request.end))
    assert whole is not None  # noqa: S101  # else it had not been accepted
    return whole


def _hold_of(accepted: Accepted) -> str:
    digest = sha256(accepted.request.request_id.encode("utf-8", "surrogatepass")).hexdigest()
    return f"hold:{digest[:40]}"
