"""What becomes of windows: who wants them, done, tried again, halved, given up, not wanted."""

from collections.abc import Sequence
from dataclasses import replace
from operator import attrgetter

from bars.window import Grid, Window, intersect, merge, subtract
from coordinator.machine._draft import Draft
from coordinator.machine._poison import cut_poisoned, poison
from coordinator.machine._ranges import added, inside, overlaps, without
from coordinator.machine.frozen import frozen
from coordinator.machine.replies import (
    JobFinished,
    LeaseEnded,
    StaleClaim,
    WindowDone,
    WindowFailed,
    WindowSplit,
    WindowWaits,
)
from coordinator.machine.state import Ended, Fresh, Job, Lane, Lease, Waiting
from coordinator.machine.values import Failure, LeaseEnd, SeriesLane, StaleKind

FRESH_MAX = 16
"""Windows of a lane whose chunks are remembered one by one."""

STALE_ENDS = {
    LeaseEnd.EXPIRED: StaleKind.EXPIRED,
    LeaseEnd.ORPHANED: StaleKind.ORPHANED,
    LeaseEnd.STALLED: StaleKind.STALLED,
}


@frozen
class Told:
    """What is known of something that is done."""

    token: int | None = None
    """The lease that it was done under, which does not count for every job; None: it does."""

    chunk_offset: int = -1
    session_bars: int | None = None


def wants(job: Job, window: Window, token: int | None = None) -> bool:
    """Return whether a job still needs something of a window.

    Args:
        job: The job.
        window: The window.
        token: The lease that fetches it; None: one yet to be granted, which counts for all.
    """
    return (token is None or token > job.since) and overlaps(job.todo, window)


def wanted_parts(jobs: Sequence[Job], window: Window) -> tuple[Window, ...]:
    """Return the parts of a window that some job still needs."""
    if len(jobs) == 1:
        return inside(jobs[0].todo, window)
    return merge([part for job in jobs for part in inside(job.todo, window)])


def end_lease(draft: Draft, lease: Lease, end: LeaseEnd) -> None:
    """Take a lease out of force and remember how it ended."""
    _end(draft, lease, end)
    lane = draft.lanes[lease.target.key]
    draft.put_lane(replace(lane, tokens=_less(lane.tokens, lease.token)))


def end_done(draft: Draft, lease: Lease, parts: tuple[Window, ...], told: Told) -> None:
    """End a lease whose window is done: these parts of it just now."""
    _end(draft, lease, LeaseEnd.COMPLETED)
    lane = draft.lanes[lease.target.key]
    draft.put_lane(_finished(draft, lane, _less(lane.tokens, lease.token), parts, told))


def finish(draft: Draft, target: SeriesLane, parts: tuple[Window, ...], told: Told) -> None:
    """Take what is done off the jobs that it counts for, and remember it.

    Args:
        draft: The state.
        target: The lane.
        parts: Ascending, disjoint.
        told: What is known of it.
    """
    lane = draft.lanes[target.key]
    draft.put_lane(_finished(draft, lane, lane.tokens, parts, told))


def _end(draft: Draft, lease: Lease, end: LeaseEnd) -> None:
    draft.drop_lease(lease)
    ended = Ended(token=lease.token, end=end, target=lease.target, index=draft.next_index())
    draft.put_ended(ended)
    draft.events.append(LeaseEnded(lease=lease, end=end))
    if end in STALE_ENDS:
        kind, session_id = STALE_ENDS[end], lease.session_id
        draft.events.append(
            StaleClaim(kind=kind, token=lease.token, session_id=session_id, target=lease.target)
        )


def _less(tokens: tuple[int, ...], token: int) -> tuple[int, ...]:
    return tuple([each for each in tokens if each != token])


def _finished(
    draft: Draft, lane: Lane, tokens: tuple[int, ...], parts: tuple[Window, ...], told: Told
) -> Lane:
    """Take what is done off the jobs that it counts for; return what the lane becomes.

    Args:
        draft: The state.
        lane: What it was.
        tokens: Its leases that are still in force.
        parts: As in `finish`.
        told: As in `finish`.
    """
    target, jobs = lane.target, draft.jobs_of(lane)
    draft.events += [
        WindowDone(target=target, window=part, token=told.token or 0) for part in parts
    ]
    for job in jobs:
        if told.token is None or told.token > job.since:
            _settle(draft, job, parts, told.session_bars)
    done, fresh = lane.done, list(lane.fresh)
    whole = [job.spec.window for job in jobs]
    for part in parts:
        for kept in intersect((part,), whole):
            done = added(done, kept)
        fresh.append(Fresh(window=part, chunk_offset=told.chunk_offset))
        if draft.poisoned:
            cut_poisoned(draft, target, part)
    old, fresh = fresh[:-FRESH_MAX], fresh[-FRESH_MAX:]
    return replace(
        lane,
        tokens=tokens,
        done=done,
        fresh=tuple(fresh),
        settled_offset=max([lane.settled_offset, *[each.chunk_offset for each in old]]),
        watermark=_watermark(draft, lane, done),
    )


def put_back(draft: Draft, lease: Lease) -> None:
    """Let what is left of a lease that has ended be granted again at once, untried."""
    for part in _left(draft, lease):
        _wait(draft, lease, part, lease.attempts, draft.clock_ms)


@frozen
class Next:
    """What may be done with a window that failed."""

    not_before_ms: int
    """When it may be tried again."""

    retriable: bool = True
    """Whether it may be at all."""

    divisible: bool = True
    """Whether its halves may be tried when its attempts are spent."""

    rate_limited: bool = False
    """It was not even tried: its attempts do not matter."""


def after_failure(draft: Draft, lease: Lease, failure: Failure, then: Next) -> bool:
    """Do with what is left of a failed lease what its attempts say.

    Args:
        draft: The state; the lease has ended.
        lease: What was tried.
        failure: Why it failed, with the attempts so far.
        then: What may be done.

    Returns:
        Whether any of it is tried again: as it is while there are attempts, then in halves.
    """
    again, not_before_ms = False, then.not_before_ms
    spent = failure.attempts >= draft.config.max_attempts and not then.rate_limited
    for part in _left(draft, lease):
        halved = then.divisible and lease.grid.slots(part) >= draft.config.split_bars_min
        if then.retriable and not spent:
            _wait(draft, lease, part, failure.attempts, not_before_ms)
            draft.events.append(
                WindowWaits(
                    target=lease.target,
                    window=part,
                    attempts=failure.attempts,
                    not_before_ms=not_before_ms,
                    error_class=failure.error_class,
                    rate_limited=then.rate_limited,
                )
            )
        elif then.retriable and halved:
            halves = halves_of(part, lease.grid)
            for half in halves:
                _wait(draft, lease, half, failure.attempts, not_before_ms)
            draft.events.append(WindowSplit(target=lease.target, window=part, parts=halves))
        else:
            give_up(draft, lease, replace(failure, window=part))
            continue
        again = True
    return again


def halves_of(window: Window, grid: Grid) -> tuple[Window, Window]:
    """Return a window of two slots or more in two parts, the first no longer than the second."""
    middle = grid.ceil(window.start) + grid.slots(window) // 2 * grid.interval
    return Window(window.start, middle), Window(middle, window.end)


def give_up(draft: Draft, lease: Lease, failure: Failure) -> None:
    """Take a window off the jobs that its lease counts for, as failed.

    A job that refetches and was submitted after the grant still wants it: it stays in the queue
    with its attempts fresh. So does every job that is submitted later.
    """
    window, lane = failure.window, draft.lanes[lease.target.key]
    taken = [job for job in draft.jobs_of(lane) if wants(job, window, lease.token)]
    draft.events.append(WindowFailed(target=lease.target, failure=failure, token=lease.token))
    for job in taken:
        failed = job.failed
        for part in inside(job.todo, window):
            failed = added(failed, part)
        failures = (*job.failures, failure)[: draft.config.failures_max]
        todo = without(job.todo, window)
        draft.put_job(replace(job, todo=todo, failed=failed, failures=failures))
        if not todo:
            draft.events.append(JobFinished(job_id=job.spec.job_id))
    if taken:
        poison(draft, lease.target, failure, lease.token)


def expire(draft: Draft, lease: Lease, end: LeaseEnd) -> None:
    """End a lease whose holder was not heard of: it counts as a failed attempt.

    The time to live was the wait, so the window may be granted again at once. Without counting
    it, a window that kills whoever fetches it would be granted for ever.
    """
    end_lease(draft, lease, end)
    attempts = attempts_after(lease)
    failure = Failure(
        window=lease.window,
        error_class=f"lease_{end.value}",
        message=f"{attempts} holders of the lease were not heard of until it ended",
        attempts=attempts,
    )
    after_failure(draft, lease, failure, Next(not_before_ms=draft.clock_ms))


def attempts_after(lease: Lease, *, counts: bool = True) -> int:
    """Return the attempts that what is left of a lease has behind it.

    Of a lease that has brought a part, only this one: its rest is another window.
    """
    return (0 if lease.done else lease.attempts) + counts


def drop_unwanted(draft: Draft, target: SeriesLane) -> None:
    """Forget what no job of a lane wants any more; the lane itself when it has no jobs."""
    lane = draft.lanes[target.key]
    jobs = draft.jobs_of(lane)
    for token in lane.tokens:
        lease = draft.leases[token]
        if not any(wants(job, lease.window, token) for job in jobs):
            end_lease(draft, lease, LeaseEnd.CANCELLED)
    if not jobs:
        draft.drop_lane(target)
        return
    lane = draft.lanes[target.key]
    waiting = tuple(
        replace(entry, window=part)
        for entry in lane.waiting
        for part in wanted_parts(jobs, entry.window)
    )
    done = intersect(lane.done, [job.spec.window for job in jobs])
    forced = intersect(lane.forced, done)
    fresh = tuple(each for each in lane.fresh if overlaps(done, each.window))
    draft.put_lane(replace(lane, waiting=waiting, done=done, forced=forced, fresh=fresh))
    advance(draft, target)


def advance(draft: Draft, target: SeriesLane) -> None:
    """Move the watermark of a lane to where the first thing begins that a job lacks."""
    lane = draft.lanes[target.key]
    watermark = _watermark(draft, lane, lane.done)
    if watermark != lane.watermark:
        draft.put_lane(replace(lane, watermark=watermark))


def _watermark(draft: Draft, lane: Lane, done: tuple[Window, ...]) -> int | None:
    """Return the watermark of a lane of which so much is done."""
    jobs = draft.jobs_of(lane)
    lacks = [job.todo[0].start for job in jobs if job.todo]
    lacks += [lost[0].start for job in jobs if job.failed and (lost := subtract(job.failed, done))]
    # A job that was submitted for nothing says nothing of what is done.
    edges = [min(lacks)] if lacks else [job.spec.window.end for job in jobs if job.slots]
    edge = max(edges, default=None)
    if edge is None or lane.watermark is None:
        return lane.watermark if edge is None else edge
    return max(edge, lane.watermark)


def _left(draft: Draft, lease: Lease) -> tuple[Window, ...]:
    """Return what a lease has not brought and jobs still want."""
    jobs = draft.jobs_of(draft.lanes[lease.target.key])
    return subtract(wanted_parts(jobs, lease.window), lease.done)


def _wait(draft: Draft, lease: Lease, part: Window, attempts: int, not_before_ms: int) -> None:
    """Put a window back into the queue.

    One without attempts that may be granted at once is not kept: it is cut anew.
    """
    if attempts == 0 and not_before_ms <= draft.clock_ms:
        return
    lane = draft.lanes[lease.target.key]
    entry = Waiting(window=part, attempts=attempts, not_before_ms=not_before_ms, token=lease.token)
    waiting = tuple(sorted((*lane.waiting, entry), key=attrgetter("window")))
    draft.put_lane(replace(lane, waiting=waiting))


def _settle(draft: Draft, job: Job, parts: tuple[Window, ...], session_bars: int | None) -> None:
    """Take what is done off a job and count its bars."""
    todo, grid = job.todo, job.spec.grid
    slots = 0
    for part in parts:
        slots += sum(grid.slots(each) for each in inside(todo, part))
        todo = without(todo, part)
    if todo == job.todo:
        return
    of, bars = (job.slots, job.bars)
    if session_bars is not None:
        of = sum(grid.slots(part) for part in parts)
        bars = min(max(session_bars, 0), of)
    bars_done = min(job.bars_done + (bars * slots // of if of else 0), job.bars)
    if not todo and not job.failed:
        bars_done = job.bars
    draft.put_job(replace(job, todo=todo, bars_done=bars_done))
    if not todo:
        draft.events.append(JobFinished(job_id=job.spec.job_id))
