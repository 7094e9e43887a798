"""What people change, knowing what stands; and what the ledger says of what is done."""

from dataclasses import replace

from bars.window import Window, intersect, merge, subtract
from coordinator.machine import commands as c
from coordinator.machine._draft import Draft
from coordinator.machine._poison import cut_poisoned, poisoned_in
from coordinator.machine._ranges import added, inside, without
from coordinator.machine._refuse import conflict, invalid
from coordinator.machine._sessions import end_session
from coordinator.machine._windows import Told, advance, end_lease, finish, put_back
from coordinator.machine.replies import Code, Ordered, Reply, WindowsUndone
from coordinator.machine.state import Job, LaneRule
from coordinator.machine.values import (
    EPOCH_MAX,
    MESSAGE_CHARS_MAX,
    LeaseEnd,
    Policy,
    SeriesLane,
)


def window_token(draft: Draft, target: SeriesLane, window: Window) -> int:
    """Return the version of a window: the highest token of what overlaps it, 0 if nothing does."""
    tokens = [known.token for known in poisoned_in(draft.poisoned, target, window)]
    lane = draft.lanes.get(target.key)
    if lane is not None:
        tokens += [token for token in lane.tokens if draft.leases[token].window.intersect(window)]
        tokens += [entry.token for entry in lane.waiting if entry.window.intersect(window)]
    return max(tokens, default=0)


def revoke(draft: Draft, command: c.Revoke) -> Reply:
    """Take a lease away, or a claim."""
    lease = draft.leases.get(command.token)
    sessions = draft.sessions.values() if lease is None else ()
    session = next((e for e in sessions if e.claim and e.claim.token == command.token), None)
    held = lease if session is None else session.claim
    if held is None:
        return Reply(code=Code.CONFLICT, message=f"no lease {command.token} is in force", found=0)
    if held.window != command.window:
        message = f"window must be {command.window} as expected, was {held.window}"
        return Reply(code=Code.CONFLICT, message=message, found=held.token)
    if lease is not None:
        end_lease(draft, lease, LeaseEnd.REVOKED)
        put_back(draft, lease)
    elif session is not None:
        end_session(draft, session.session_id, expired=False)
    _order(draft, "revoke", command, None if lease is None else lease.target, held.window)
    return Reply(code=Code.OK)


def requeue(draft: Draft, command: c.Requeue) -> Reply:
    """Let what waits inside a window be granted at once, with its attempts fresh.

    It is dropped: jobs want it, so it is cut anew.
    """
    refusal = _refusal(draft, command)
    if refusal is not None:
        return refusal
    lane = draft.lanes.get(command.target.key)
    waiting = () if lane is None else lane.waiting
    rest = tuple(entry for entry in waiting if not entry.window.intersect(command.window))
    if lane is None or rest == waiting:
        return invalid("window", str(command.window), "one in which something waits for a retry")
    draft.put_lane(replace(lane, waiting=rest))
    _order(draft, "requeue", command, command.target, command.window)
    return Reply(code=Code.OK)


def unpoison(draft: Draft, command: c.Unpoison) -> Reply:
    """Let what was given up inside a window be tried again by the jobs that are there."""
    refusal = _refusal(draft, command)
    if refusal is not None:
        return refusal
    known = tuple(poisoned_in(draft.poisoned, command.target, command.window))
    lane = draft.lanes.get(command.target.key)
    jobs = () if lane is None else draft.jobs_of(lane)
    lost = [job for job in jobs if inside(job.failed, command.window)]
    if not known and not lost:
        return invalid("window", str(command.window), "one in which something was given up")
    for job in lost:
        back = inside(job.failed, command.window)
        draft.put_job(replace(_excused(job, command.window), todo=merge((*job.todo, *back))))
    cut_poisoned(draft, command.target, command.window)
    _order(draft, "unpoison", command, command.target, command.window)
    return Reply(code=Code.OK)


def force_complete(draft: Draft, command: c.ForceComplete) -> Reply:
    """Take a window as done because somebody says so."""
    if not 0 < len(command.evidence) <= MESSAGE_CHARS_MAX:
        return invalid("evidence", command.evidence, f"1 to {MESSAGE_CHARS_MAX} characters")
    refusal = _refusal(draft, command)
    if refusal is not None:
        return refusal
    target, window = command.target, command.window
    if target.key in draft.lanes:
        _force(draft, target, window)
    else:
        cut_poisoned(draft, target, window)
    _order(draft, "force_complete", command, target, window, command.evidence)
    return Reply(code=Code.OK)


def _force(draft: Draft, target: SeriesLane, window: Window) -> None:
    lane = draft.lanes[target.key]
    ended = [draft.leases[token] for token in lane.tokens]
    ended = [lease for lease in ended if lease.window.intersect(window)]
    for lease in ended:
        end_lease(draft, lease, LeaseEnd.REVOKED)
    lane = draft.lanes[target.key]
    waiting = tuple(
        replace(entry, window=part)
        for entry in lane.waiting
        for part in subtract((entry.window,), (window,))
    )
    draft.put_lane(replace(lane, waiting=waiting))
    for job in draft.jobs_of(lane):
        if inside(job.failed, window):
            draft.put_job(_excused(job, window))
    finish(draft, target, (window,), Told())
    lane = draft.lanes[target.key]
    draft.put_lane(replace(lane, forced=intersect(added(lane.forced, window), lane.done)))
    for lease in ended:
        put_back(draft, lease)


def _excused(job: Job, window: Window) -> Job:
    """Return a job that no longer counts anything inside a window as failed."""
    failures = tuple(each for each in job.failures if not each.window.intersect(window))
    return replace(job, failed=without(job.failed, window), failures=failures)


def pause_lane(draft: Draft, command: c.PauseLane) -> Reply:
    """Grant nothing more of a lane."""
    return _rule(draft, "pause_lane", command, paused=True)


def resume_lane(draft: Draft, command: c.ResumeLane) -> Reply:
    """Grant again, whatever the source has asked for."""
    reply = _rule(draft, "resume_lane", command, paused=False)
    if reply.code is Code.OK:
        draft.pauses = draft.pauses.drop(command.target.lane)
    return reply


def set_policy(draft: Draft, command: c.SetPolicy) -> Reply:
    """Choose which window of a lane is granted next."""
    return _rule(draft, "set_policy", command, policy=command.policy)


def _rule(
    draft: Draft,
    op: str,
    command: c.LaneCommand,
    *,
    paused: bool | None = None,
    policy: Policy | None = None,
) -> Reply:
    """Change the rule of a lane; one that says nothing special is forgotten."""
    key = command.target.key
    known = draft.rules.get(key)
    version = 0 if known is None else known.version
    if version != command.version:
        return conflict("version", version, command.version)
    if known is None and len(draft.rules) >= draft.config.rules_max:
        most = draft.config.rules_max
        return Reply(code=Code.TOO_MANY, message=f"{most} lanes have rules already")
    known = known or LaneRule(target=command.target, version=0)
    rule = replace(
        known,
        version=draft.next_index(),
        paused=known.paused if paused is None else paused,
        policy=known.policy if policy is None else policy,
        reason=command.reason[:MESSAGE_CHARS_MAX],
    )
    plain = not rule.paused and rule.policy is Policy.ANY
    if plain:
        draft.rules = draft.rules.drop(key)
    else:
        draft.rules = draft.rules.put(key, rule)
    draft.dirty[key] = None
    _order(draft, op, command, command.target, detail=policy.value if policy else "")
    return Reply(code=Code.OK, found=0 if plain else rule.version)


def bump_epoch(draft: Draft, command: c.BumpEpoch) -> Reply:
    """Begin an epoch: every lease in force ends, untried, and every claim."""
    if command.expected != draft.epoch:
        return conflict("epoch", draft.epoch, command.expected)
    if not draft.epoch < command.epoch <= EPOCH_MAX:
        return invalid("epoch", command.epoch, f"{draft.epoch + 1} to {EPOCH_MAX}")
    for lease in tuple(draft.leases.values()):
        end_lease(draft, lease, LeaseEnd.REVOKED)
        put_back(draft, lease)
    for session in tuple(draft.sessions.values()):
        if session.claim is not None:
            end_session(draft, session.session_id, expired=False)
    draft.epoch, draft.counter = command.epoch, 0
    _order(draft, "bump_epoch", command, detail=str(command.epoch))
    return Reply(code=Code.OK, found=command.epoch)


def resync(draft: Draft, command: c.Resync) -> Reply:
    """Undo what is done and should be in the ledger by now, and is not."""
    lane = draft.lanes.get(command.target.key)
    if lane is None:
        return Reply(code=Code.OK)
    passed = [each.window for each in lane.fresh if each.chunk_offset < command.judged]
    under_way = [each.window for each in lane.fresh if each.chunk_offset >= command.judged]
    undone = subtract(lane.done, (*command.covered, *lane.forced, *under_way))
    if lane.settled_offset >= command.judged:
        undone = intersect(undone, passed)
    if not undone:
        return Reply(code=Code.OK)
    draft.put_lane(replace(lane, done=subtract(lane.done, undone)))
    for job in draft.jobs_of(lane):
        _want_again(draft, job, undone)
    advance(draft, command.target)
    draft.events.append(WindowsUndone(target=command.target, windows=undone))
    return Reply(code=Code.OK)


def _want_again(draft: Draft, job: Job, undone: tuple[Window, ...]) -> None:
    """Put into a job what is undone of what it is about, unless it lacks it or has failed in it."""
    about = intersect(undone, (job.spec.window,))
    again = subtract(about, (*job.todo, *job.failed))
    if not again:
        return
    slots = sum(job.spec.grid.slots(window) for window in again)
    less = job.bars * slots // job.slots if job.slots else 0
    todo = merge((*job.todo, *again))
    draft.put_job(replace(job, todo=todo, bars_done=max(job.bars_done - less, 0)))


def _refusal(draft: Draft, command: c.WindowCommand) -> Reply | None:
    found = window_token(draft, command.target, command.window)
    return None if found == command.token else conflict("token", found, command.token)


def _order(
    draft: Draft,
    op: str,
    command: c.AdminCommand,
    target: SeriesLane | None = None,
    window: Window | None = None,
    detail: str = "",
) -> None:
    token = command.token if isinstance(command, c.Revoke | c.WindowCommand) else 0
    draft.events.append(
        Ordered(
            op=op,
            reason=command.reason[:MESSAGE_CHARS_MAX],
            target=target,
            window=window,
            token=token,
            detail=detail,
        )
    )
