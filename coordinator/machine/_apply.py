"""`apply`: one command after another, each refused or obeyed whole. Never raises.

A refused command still moves the clock, so time does not depend on who is right.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from bars.window import merge, subtract
from coordinator.machine import commands as c
from coordinator.machine._draft import Draft
from coordinator.machine._queue import grants, wait_ms
from coordinator.machine._windows import (
    drop_unwanted,
    expire,
    finish,
    give_up,
    job_state,
    try_again,
    wants,
)
from coordinator.machine.replies import Code, Event, LeaseGranted, Reply, SessionEnded
from coordinator.machine.state import Job, Lane, Lease, Session, State
from coordinator.machine.values import (
    MESSAGE_CHARS_MAX,
    PRIORITY_MAX,
    JobSpec,
    LeaseEnd,
    MachineConfig,
)

SESSION_TTL_MS = (1_000, 3_600_000)
NAME_CHARS_MAX = 200
WINDOW_BARS_MAX = 2_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Applied:
    """What a command did."""

    state: State
    """The successor; the state before stays as it was."""

    reply: Reply
    events: tuple[Event, ...]


def apply(state: State, command: c.AnyCommand) -> Applied:
    """Return the state after a command, the answer, and what happened.

    What is due by then expires first: an answer is never about the past.
    """
    draft = Draft(state, command.elapsed_ms)
    _expire_due(draft)
    reply = _HANDLERS[type(command)](draft, command)
    return Applied(state=draft.commit(), reply=reply, events=tuple(draft.events))


def _expire_due(draft: Draft) -> None:
    if draft.clock_ms < draft.next_expiry_ms:
        return
    for session in draft.sessions.values():
        if session.expires_ms <= draft.clock_ms:
            _end_session(draft, session, expired=True)
    for lease in draft.leases.values():
        if lease.expires_ms <= draft.clock_ms:
            expire(draft, lease, LeaseEnd.EXPIRED)
    draft.look_for_next_expiry()


def _end_session(draft: Draft, session: Session, *, expired: bool) -> None:
    draft.sessions.drop(session.session_id)
    for lease in draft.leases.values():
        if lease.session_id != session.session_id:
            continue
        if expired:
            expire(draft, lease, LeaseEnd.ORPHANED)
        else:
            _release(draft, lease)
    draft.events.append(SessionEnded(session_id=session.session_id, expired=expired))


def _release(draft: Draft, lease: Lease) -> None:
    draft.end_lease(lease, LeaseEnd.RELEASED)
    try_again(draft, lease.target, lease.window, lease.attempts, draft.clock_ms)


def _tick(draft: Draft, command: c.Tick) -> Reply:
    del command
    return Reply(code=Code.OK, wait_ms=wait_ms(draft))


def _open_session(draft: Draft, command: c.OpenSession) -> Reply:
    low, high = SESSION_TTL_MS
    if not 0 < len(command.session_id) <= NAME_CHARS_MAX:
        return _invalid("session_id", command.session_id, f"1 to {NAME_CHARS_MAX} characters")
    if not low <= command.ttl_ms <= high:
        return _invalid("ttl_ms", command.ttl_ms, f"{low} to {high}")
    session = Session(session_id=command.session_id, ttl_ms=command.ttl_ms, expires_ms=0)
    _keep(draft, session)
    return Reply(code=Code.OK)


def _keep_session(draft: Draft, command: c.KeepSession) -> Reply:
    session = draft.sessions.get(command.session_id)
    if session is None:
        return Reply(code=Code.UNKNOWN_SESSION)
    _keep(draft, session)
    return Reply(code=Code.OK)


def _keep(draft: Draft, session: Session) -> None:
    expires_ms = draft.clock_ms + session.ttl_ms
    draft.sessions.put(session.session_id, replace(session, expires_ms=expires_ms))
    draft.expires_at(expires_ms)


def _close_session(draft: Draft, command: c.CloseSession) -> Reply:
    session = draft.sessions.get(command.session_id)
    if session is None:
        return Reply(code=Code.UNKNOWN_SESSION)
    _end_session(draft, session, expired=False)
    return Reply(code=Code.OK)


def _submit_job(draft: Draft, command: c.SubmitJob) -> Reply:
    spec = command.spec
    known = draft.jobs.get(spec.job_id)
    if known is not None:
        same = replace(known.spec, missing=spec.missing) == spec
        return Reply(code=Code.OK if same else Code.JOB_CONFLICT, job=job_state(known))
    refusal = _spec_refusal(spec, draft.config)
    if refusal is not None:
        return refusal
    if len(draft.jobs) >= draft.config.jobs_max:
        return Reply(code=Code.TOO_MANY, message=f"{draft.config.jobs_max} jobs are held already")
    lane = draft.lanes.get(spec.target.key) or Lane(target=spec.target)
    missing = merge(spec.missing)
    job = Job(
        spec=replace(spec, missing=()),
        todo=missing if spec.refetch else subtract(missing, lane.done),
        index=draft.next_index,
        served_ms=draft.clock_ms,
        since=draft.last_token if spec.refetch else 0,
    )
    draft.next_index += 1
    draft.jobs.put(spec.job_id, job)
    draft.lanes.put(spec.target.key, replace(lane, job_ids=(*lane.job_ids, spec.job_id)))
    return Reply(code=Code.OK, job=job_state(job))


def _spec_refusal(spec: JobSpec, config: MachineConfig) -> Reply | None:
    if not 0 < len(spec.job_id) <= NAME_CHARS_MAX:
        return _invalid("job_id", spec.job_id, f"1 to {NAME_CHARS_MAX} characters")
    if abs(spec.priority) > PRIORITY_MAX:
        return _invalid("priority", spec.priority, f"-{PRIORITY_MAX} to {PRIORITY_MAX}")
    if not 0 < spec.window_bars <= WINDOW_BARS_MAX:
        return _invalid("window_bars", spec.window_bars, f"1 to {WINDOW_BARS_MAX}")
    if spec.grid.interval != spec.target.series.interval:
        return _invalid("grid", spec.grid.interval, f"{spec.target.series.interval} seconds wide")
    if len(spec.missing) > config.ranges_max:
        return _invalid("missing", len(spec.missing), f"at most {config.ranges_max} ranges")
    if subtract(spec.missing, (spec.window,)):
        return _invalid("missing", str(spec.window), "inside the job's window")
    return None


def _cancel_job(draft: Draft, command: c.CancelJob) -> Reply:
    job = draft.jobs.get(command.job_id)
    if job is None:
        return Reply(code=Code.UNKNOWN_JOB)
    draft.jobs.drop(command.job_id)
    target = job.spec.target
    lane = draft.lanes[target.key]
    job_ids = tuple(job_id for job_id in lane.job_ids if job_id != command.job_id)
    draft.lanes.put(target.key, replace(lane, job_ids=job_ids))
    drop_unwanted(draft, target)
    return Reply(code=Code.OK, job=job_state(job))


def _query_job(draft: Draft, command: c.QueryJob) -> Reply:
    job = draft.jobs.get(command.job_id)
    if job is None:
        return Reply(code=Code.UNKNOWN_JOB)
    return Reply(code=Code.OK, job=job_state(job))


def _acquire(draft: Draft, command: c.Acquire) -> Reply:
    if command.session_id not in draft.sessions:
        return Reply(code=Code.UNKNOWN_SESSION)
    if command.limit < 1:
        return _invalid("limit", command.limit, "at least 1")
    granted: list[Lease] = []
    for head in grants(draft, min(command.limit, draft.config.grant_max)):
        lane = draft.lanes[head.lane_key]
        takers = [job for job in draft.jobs_of(lane) if wants(job, head.window)]
        lease = Lease(
            token=draft.next_token(),
            session_id=command.session_id,
            target=lane.target,
            window=head.window,
            job_ids=tuple(job.spec.job_id for job in takers),
            grid=takers[0].spec.grid,
            attempts=head.attempts,
            granted_ms=draft.clock_ms,
            moved_ms=draft.clock_ms,
            expires_ms=draft.clock_ms + draft.config.lease_ttl_ms,
        )
        _put_in_force(draft, lane, lease)
        for job in takers:
            draft.jobs.put(job.spec.job_id, replace(job, served_ms=draft.clock_ms))
        granted.append(lease)
    due_ms = None if granted else wait_ms(draft)
    return Reply(code=Code.OK, leases=tuple(granted), wait_ms=due_ms)


def _put_in_force(draft: Draft, lane: Lane, lease: Lease) -> None:
    draft.leases.put(lease.token, lease)
    draft.expires_at(lease.expires_ms)
    waiting = tuple(entry for entry in lane.waiting if entry.window != lease.window)
    tokens = (*lane.tokens, lease.token)
    draft.lanes.put(
        lane.target.key, replace(lane, waiting=waiting, tokens=tokens, last_grant=lease.token)
    )
    draft.events.append(LeaseGranted(lease=lease))


def _renew(draft: Draft, command: c.Renew) -> Reply:
    held = _held(draft, command)
    if isinstance(held, Reply):
        return held
    renewed = replace(held, expires_ms=draft.clock_ms + draft.config.lease_ttl_ms)
    draft.leases.put(held.token, renewed)
    return Reply(code=Code.OK, leases=(renewed,))


def _complete(draft: Draft, command: c.Complete) -> Reply:
    held = _held(draft, command)
    if isinstance(held, Reply):
        return held
    draft.end_lease(held, LeaseEnd.COMPLETED)
    finish(draft, held)
    return Reply(code=Code.OK)


def _fail(draft: Draft, command: c.Fail) -> Reply:
    held = _held(draft, command)
    if isinstance(held, Reply):
        return held
    draft.end_lease(held, LeaseEnd.FAILED)
    attempts = held.attempts + (0 if command.rate_limited else 1)
    if command.retriable and attempts < draft.config.max_attempts:
        backoff = draft.config.retry_wait_ms(max(attempts, 1), command.chance_ppm)
        pause = min(max(command.retry_after_ms, 0), draft.config.retry_after_max_ms)
        not_before_ms = draft.clock_ms + max(backoff, pause)
        try_again(draft, held.target, held.window, attempts, not_before_ms)
        return Reply(code=Code.RETRY_LATER)
    short = replace(
        command,
        error_class=command.error_class[:NAME_CHARS_MAX],
        message=command.message[:MESSAGE_CHARS_MAX],
    )
    give_up(draft, held, short.as_failure(held.window, attempts))
    return Reply(code=Code.GIVEN_UP)


def _give_back(draft: Draft, command: c.Release) -> Reply:
    held = _held(draft, command)
    if isinstance(held, Reply):
        return held
    _release(draft, held)
    return Reply(code=Code.OK)


def _held(draft: Draft, command: c.Renew | c.Complete | c.Fail | c.Release) -> Lease | Reply:
    """Return the lease that a command is about if its session holds it, else the refusal."""
    lease = draft.leases.get(command.token)
    if lease is None:
        end = draft.ended.get(command.token)
        return Reply(code=Code.UNKNOWN_TOKEN if end is None else Code.LATE, end=end)
    if lease.session_id != command.session_id:
        return Reply(code=Code.NOT_YOURS)
    return lease


def _invalid(field: str, found: object, allowed: str) -> Reply:
    return Reply(code=Code.INVALID, message=f"{field} must be {allowed}, was {found!r}")


_HANDLERS: Mapping[type, Callable[[Draft, Any], Reply]] = {
    c.Tick: _tick,
    c.OpenSession: _open_session,
    c.KeepSession: _keep_session,
    c.CloseSession: _close_session,
    c.SubmitJob: _submit_job,
    c.CancelJob: _cancel_job,
    c.QueryJob: _query_job,
    c.Acquire: _acquire,
    c.Renew: _renew,
    c.Complete: _complete,
    c.Fail: _fail,
    c.Release: _give_back,
}
