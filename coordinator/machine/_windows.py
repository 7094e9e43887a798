"""What becomes of windows: who wants them, done, given up, tried again, no longer wanted."""

from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import replace
from operator import attrgetter

from bars.window import Window, intersect, merge, subtract
from coordinator.machine._draft import Draft
from coordinator.machine.replies import JobFinished, WindowDone, WindowFailed
from coordinator.machine.state import Job, Lane, Lease, Waiting
from coordinator.machine.values import Failure, JobState, LeaseEnd, SeriesLane


def overlaps(ranges: tuple[Window, ...], window: Window) -> bool:
    """Return whether any of the ascending, disjoint ranges shares an open time with `window`."""
    i = bisect_right(ranges, window.end - 1, key=attrgetter("start"))
    return i > 0 and ranges[i - 1].end > window.start


def wants(job: Job, window: Window, token: int | None = None) -> bool:
    """Return whether a job still needs something of a window.

    Args:
        job: The job.
        window: The window.
        token: The lease that fetches it; None: one yet to be granted, which counts for all.
    """
    return (token is None or token > job.since) and overlaps(job.todo, window)


def wanted_parts(
    jobs: Iterable[Job], window: Window, token: int | None = None
) -> tuple[Window, ...]:
    """Return the parts of a window that some job still needs."""
    counting = [job for job in jobs if wants(job, window, token)]
    return intersect((window,), [todo for job in counting for todo in job.todo])


def finish(draft: Draft, lease: Lease) -> None:
    """Take a leased window off the jobs that it counts for, and remember it as done."""
    lane = draft.lanes[lease.target.key]
    for job in draft.jobs_of(lane):
        if wants(job, lease.window, lease.token):
            _shrink(draft, job, lease.window)
    done = merge((*lane.done, *_inside_jobs(draft, lane, (lease.window,))))
    draft.lanes.put(lease.target.key, replace(lane, done=done))
    draft.events.append(WindowDone(target=lease.target, window=lease.window, token=lease.token))


def give_up(draft: Draft, lease: Lease, failure: Failure) -> None:
    """Take a leased window off the jobs that it counts for, as failed.

    A job that refetches and was submitted after the grant still wants it: it stays in the queue
    with its attempts fresh. So does every job that is submitted later.
    """
    lane = draft.lanes[lease.target.key]
    for job in draft.jobs_of(lane):
        if not wants(job, lease.window, lease.token):
            continue
        lost = intersect((lease.window,), job.todo)
        failures = (*job.failures, failure)[: draft.config.failures_max]
        failed = merge((*job.failed, *lost))
        _shrink(draft, replace(job, failed=failed, failures=failures), lease.window)
    draft.events.append(WindowFailed(target=lease.target, failure=failure, token=lease.token))


def try_again(
    draft: Draft, target: SeriesLane, window: Window, attempts: int, not_before_ms: int
) -> None:
    """Put what jobs still want of a window back into the queue.

    A window without attempts that may be granted at once is not kept: it is cut anew.
    """
    lane = draft.lanes[target.key]
    if attempts == 0 and not_before_ms <= draft.clock_ms:
        return
    again = [
        Waiting(window=part, attempts=attempts, not_before_ms=not_before_ms)
        for part in wanted_parts(draft.jobs_of(lane), window)
    ]
    waiting = sorted((*lane.waiting, *again), key=attrgetter("window"))
    draft.lanes.put(target.key, replace(lane, waiting=tuple(waiting)))


def expire(draft: Draft, lease: Lease, end: LeaseEnd) -> None:
    """End a lease whose holder was not heard of: it counts as a failed attempt.

    The time to live was the wait, so the window may be granted again at once. Without counting
    it, a window that kills whoever fetches it would be granted for ever.
    """
    draft.end_lease(lease, end)
    attempts = lease.attempts + 1
    if attempts < draft.config.max_attempts:
        try_again(draft, lease.target, lease.window, attempts, draft.clock_ms)
        return
    failure = Failure(
        window=lease.window,
        error_class=f"lease_{end.value}",
        message=f"{attempts} holders of the lease were not heard of until it ended",
        attempts=attempts,
    )
    give_up(draft, lease, failure)


def drop_unwanted(draft: Draft, target: SeriesLane) -> None:
    """Forget what no job of a lane wants any more; the lane itself when it has no jobs."""
    lane = draft.lanes[target.key]
    jobs = draft.jobs_of(lane)
    for token in lane.tokens:
        lease = draft.leases[token]
        if not any(wants(job, lease.window, token) for job in jobs):
            draft.end_lease(lease, LeaseEnd.CANCELLED)
    if not jobs:
        draft.lanes.drop(target.key)
        return
    waiting = tuple(
        replace(entry, window=part)
        for entry in lane.waiting
        for part in wanted_parts(jobs, entry.window)
    )
    done = _inside_jobs(draft, lane, lane.done)
    draft.lanes.put(target.key, replace(draft.lanes[target.key], waiting=waiting, done=done))


def job_state(job: Job) -> JobState:
    """Return what is told of a job."""
    return JobState(
        job_id=job.spec.job_id,
        target=job.spec.target,
        todo=job.todo,
        failed=job.failed,
        failures=job.failures,
        since=job.since,
    )


def _shrink(draft: Draft, job: Job, window: Window) -> None:
    todo = subtract(job.todo, (window,))
    draft.jobs.put(job.spec.job_id, replace(job, todo=todo))
    if not todo:
        draft.events.append(JobFinished(job_id=job.spec.job_id))


def _inside_jobs(draft: Draft, lane: Lane, windows: tuple[Window, ...]) -> tuple[Window, ...]:
    return intersect(windows, [job.spec.window for job in draft.jobs_of(lane)])
