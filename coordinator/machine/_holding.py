"""Leases: granted, renewed, and how their holders end them."""

from dataclasses import replace

from bars.window import Window, merge, subtract
from coordinator.machine import commands as c
from coordinator.machine._draft import Draft
from coordinator.machine._queue import next_lane, settle, wait_ms
from coordinator.machine._refuse import invalid
from coordinator.machine._windows import (
    Next,
    Told,
    after_failure,
    attempts_after,
    end_done,
    end_lease,
    finish,
    put_back,
    wants,
)
from coordinator.machine.replies import Code, LeaseGranted, Reply, StaleClaim
from coordinator.machine.state import Lane, Lease
from coordinator.machine.values import (
    LANES_MAX,
    MESSAGE_CHARS_MAX,
    NAME_CHARS_MAX,
    LeaseEnd,
    StaleKind,
)

_LOST = {LeaseEnd.EXPIRED, LeaseEnd.ORPHANED, LeaseEnd.STALLED, LeaseEnd.REVOKED}
"""Ends that a holder did not bring about, nor the jobs: one who comes after them is late."""


def acquire(draft: Draft, command: c.Acquire) -> Reply:
    """Grant the next windows of the queue."""
    if command.session_id not in draft.sessions:
        return Reply(code=Code.UNKNOWN_SESSION)
    if command.limit < 1:
        return invalid("limit", command.limit, "at least 1")
    if len(command.lanes) > LANES_MAX:
        return invalid("lanes", len(command.lanes), f"at most {LANES_MAX}")
    room = draft.config.session_leases_max - len(draft.held.get(command.session_id) or ())
    granted: list[Lease] = []
    settle(draft)
    for _ in range(min(command.limit, draft.config.grant_max, room)):
        lane = next_lane(draft, command.lanes)
        if lane is None:
            break
        granted.append(_grant(draft, lane, command.session_id))
        settle(draft)
    due_ms = None if granted else wait_ms(draft)
    return Reply(code=Code.OK, leases=tuple(granted), wait_ms=due_ms)


def _grant(draft: Draft, lane: Lane, session_id: str) -> Lease:
    found = draft.placed[lane.target.key].head
    assert found is not None  # noqa: S101 - a lane that has a place has a head
    window, attempts = found
    takers = [job for job in draft.jobs_of(lane) if wants(job, window)]
    lease = Lease(
        token=draft.next_token(),
        session_id=session_id,
        target=lane.target,
        window=window,
        job_ids=tuple(job.spec.job_id for job in takers),
        grid=takers[0].spec.grid,
        attempts=attempts,
        granted_ms=draft.clock_ms,
        expires_ms=draft.clock_ms + draft.config.lease_ttl_ms,
        moved_ms=draft.clock_ms,
    )
    draft.put_lease(lease)
    waiting = tuple(entry for entry in lane.waiting if entry.window != lease.window)
    tokens = (*lane.tokens, lease.token)
    draft.put_lane(replace(lane, waiting=waiting, tokens=tokens, last_grant=lease.token))
    for job in takers:
        draft.put_job(replace(job, served_ms=draft.clock_ms))
    draft.events.append(LeaseGranted(lease=lease))
    return lease


def renew(draft: Draft, command: c.Renew) -> Reply:
    """Let a lease live on."""
    lease = _held(draft, command)
    if isinstance(lease, Reply):
        return lease
    renewed = replace(lease, expires_ms=draft.clock_ms + draft.config.lease_ttl_ms)
    if command.published:
        renewed = replace(renewed, moved_ms=draft.clock_ms, asking=False)
    draft.put_lease(renewed)
    return Reply(code=Code.OK, leases=(renewed,))


def progress(draft: Draft, command: c.Progress) -> Reply:
    """Take a part of a lease's window as done; the lease keeps the rest."""
    lease = _held(draft, command)
    if isinstance(lease, Reply):
        return lease
    done = merge(command.done)
    if not done or subtract(done, (lease.window,)):
        found = ", ".join(map(str, command.done[:3])) or "nothing"
        return invalid("done", found, f"parts of the lease's window {lease.window}")
    news = subtract(done, lease.done)
    if not news:
        return Reply(code=Code.OK, leases=(lease,))
    done = merge((*lease.done, *news))
    if done == (lease.window,):
        return _end_done(draft, lease, news, command)
    moved = replace(lease, done=done, moved_ms=draft.clock_ms)
    draft.put_lease(moved)
    finish(draft, lease.target, news, _told(command))
    return Reply(code=Code.OK, leases=(moved,))


def complete(draft: Draft, command: c.Complete) -> Reply:
    """Take what is left of a lease's window as done."""
    lease = _held(draft, command)
    if isinstance(lease, Reply):
        return lease
    return _end_done(draft, lease, subtract((lease.window,), lease.done), command)


def _end_done(
    draft: Draft, lease: Lease, news: tuple[Window, ...], command: c.Progress | c.Complete
) -> Reply:
    end_done(draft, lease, news, _told(command))
    return Reply(code=Code.OK)


def _told(command: c.Progress | c.Complete) -> Told:
    return Told(
        token=command.token,
        chunk_offset=command.chunk_offset,
        session_bars=command.session_bars,
    )


def fail(draft: Draft, command: c.Fail) -> Reply:
    """Let a window that could not be fetched wait, be halved, or be given up."""
    lease = _held(draft, command)
    if isinstance(lease, Reply):
        return lease
    end_lease(draft, lease, LeaseEnd.FAILED)
    attempts = attempts_after(lease, counts=not command.rate_limited)
    backoff = draft.config.retry_wait_ms(max(attempts, 1), command.chance_ppm)
    pause = min(max(command.retry_after_ms, 0), draft.config.retry_after_max_ms)
    if command.rate_limited and pause:
        source, until_ms = lease.target.lane, draft.clock_ms + pause
        draft.pauses = draft.pauses.put(source, max(draft.pauses.get(source) or 0, until_ms))
    short = replace(
        command,
        error_class=command.error_class[:NAME_CHARS_MAX],
        message=command.message[:MESSAGE_CHARS_MAX],
    )
    again = after_failure(
        draft,
        lease,
        short.as_failure(lease.window, attempts),
        Next(
            not_before_ms=draft.clock_ms + max(backoff, pause),
            retriable=command.retriable,
            divisible=command.divisible,
            rate_limited=command.rate_limited,
        ),
    )
    return Reply(code=Code.RETRY_LATER if again else Code.GIVEN_UP)


def release(draft: Draft, command: c.Release) -> Reply:
    """Let a window that its holder gives back be granted again at once."""
    lease = _held(draft, command)
    if isinstance(lease, Reply):
        return lease
    end_lease(draft, lease, LeaseEnd.RELEASED)
    put_back(draft, lease)
    return Reply(code=Code.OK)


def _held(
    draft: Draft, command: c.Renew | c.Progress | c.Complete | c.Fail | c.Release
) -> Lease | Reply:
    """Return the lease that a command is about if its session holds it, else the refusal."""
    token, session_id = command.token, command.session_id
    lease = draft.leases.get(token)
    if lease is not None:
        return lease if lease.session_id == session_id else Reply(code=Code.NOT_YOURS)
    ended = draft.ended.get(token)
    if ended is not None and ended.end not in _LOST:
        return Reply(code=Code.LATE, end=ended.end)
    if 0 < token <= draft.last_token:
        target = None if ended is None else ended.target
        kind = StaleKind.LATE
        draft.events.append(
            StaleClaim(kind=kind, token=token, session_id=session_id, target=target)
        )
    if ended is None:
        return Reply(code=Code.UNKNOWN_TOKEN)
    return Reply(code=Code.LATE, end=ended.end)
