"""`apply`: one command after another, each refused or obeyed whole. Never raises.

A refused command still moves the clock, so time does not depend on who is right.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from coordinator.machine import _admin as admin
from coordinator.machine import _claims as claims
from coordinator.machine import _holding as holding
from coordinator.machine import _jobs as jobs
from coordinator.machine import _sessions as sessions
from coordinator.machine import commands as c
from coordinator.machine._configure import configure
from coordinator.machine._draft import Draft
from coordinator.machine._queue import pass_over_time, settle, wait_ms
from coordinator.machine._refuse import invalid
from coordinator.machine._sorted import SortedMap
from coordinator.machine._windows import expire
from coordinator.machine.frozen import frozen
from coordinator.machine.replies import Code, Event, Reply
from coordinator.machine.state import Index, State
from coordinator.machine.values import LeaseEnd


@frozen
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
    draft = Draft(state)
    _pass_time(draft, command.elapsed_ms)
    if isinstance(command, c.AdminCommand) and not command.reason.strip():
        reply = invalid("reason", command.reason, "given: it stands in the audit")
    else:
        reply = _HANDLERS[type(command)](draft, command)
    settle(draft)
    return Applied(state=draft.commit(), reply=reply, events=tuple(draft.events))


def indexed(state: State) -> State:
    """Return a state of which only the facts are known, with its index."""
    bare = replace(
        state, index=Index(), sessions=SortedMap(), leases=SortedMap(), poisoned=SortedMap()
    )
    draft = Draft(bare)
    for session in state.sessions.values():
        draft.put_session(session)
    for lease in state.leases.values():
        draft.put_lease(lease)
    for poisoned in state.poisoned.values():
        draft.put_poisoned(poisoned)
    for ended in state.ended.values():
        draft.ended_order = draft.ended_order.put(ended.index, ended.token)
    draft.dirty.update(dict.fromkeys(state.lanes))
    settle(draft)
    return draft.commit()


def _pass_time(draft: Draft, elapsed_ms: int) -> None:
    draft.clock_ms += max(0, elapsed_ms)
    while (session := draft.session_ends.first()) and session[0][0] <= draft.clock_ms:
        sessions.end_session(draft, session[0][1], expired=True)
    while (found := draft.lease_ends.first()) and found[0][0] <= draft.clock_ms:
        lease = draft.leases[found[0][1]]
        stalled = lease.expires_ms > draft.clock_ms
        expire(draft, lease, LeaseEnd.STALLED if stalled else LeaseEnd.EXPIRED)
    pass_over_time(draft)


def _tick(draft: Draft, command: c.Tick) -> Reply:
    del command
    settle(draft)
    return Reply(code=Code.OK, wait_ms=wait_ms(draft))


def _barrier(draft: Draft, command: c.Barrier) -> Reply:
    del draft, command
    return Reply(code=Code.OK)


_HANDLERS: Mapping[type, Callable[[Draft, Any], Reply]] = {
    c.Tick: _tick,
    c.Barrier: _barrier,
    c.OpenSession: sessions.open_session,
    c.KeepSession: sessions.keep_session,
    c.CloseSession: sessions.close_session,
    c.SubmitJob: jobs.submit_job,
    c.CancelJob: jobs.cancel_job,
    c.QueryJob: jobs.query_job,
    c.Acquire: holding.acquire,
    c.ClaimWindow: claims.claim_window,
    c.EndClaim: claims.end_claim,
    c.Renew: holding.renew,
    c.Progress: holding.progress,
    c.Complete: holding.complete,
    c.Fail: holding.fail,
    c.Release: holding.release,
    c.Resync: admin.resync,
    c.Revoke: admin.revoke,
    c.Requeue: admin.requeue,
    c.Unpoison: admin.unpoison,
    c.ForceComplete: admin.force_complete,
    c.PauseLane: admin.pause_lane,
    c.ResumeLane: admin.resume_lane,
    c.SetPolicy: admin.set_policy,
    c.BumpEpoch: admin.bump_epoch,
    c.Configure: configure,
}
