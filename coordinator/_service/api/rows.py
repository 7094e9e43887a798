"""Rows of the state as JSON shows them. Pure."""

from collections.abc import Iterator, Mapping
from dataclasses import asdict
from typing import Any, TypeAlias

from bars.window import Window
from coordinator._service.log import LogStatus
from coordinator.machine import Lease, SeriesLane, State
from coordinator.machine.state import Claim, LaneRule, Poisoned, Waiting
from coordinator.machine.views import (
    completion,
    jobs_in_progress,
    poisoned_in,
    total,
    window_token,
)

Row: TypeAlias = Mapping[str, Any]

STALE_LIVES = 1
"""A lease that was renewed and did not move for so many lives is worth a look."""

RANGES_SHOWN = 20
"""Ranges told of one row."""


def node(status: LogStatus) -> Row:
    """Return how a node sees the cluster."""
    return asdict(status)


def summary(state: State) -> Row:
    """Return how many of everything there are."""
    return {
        "epoch": state.epoch,
        "last_token": state.last_token,
        "sessions": len(state.sessions),
        "jobs": len(state.jobs),
        "jobs_in_progress": jobs_in_progress(state),
        "lanes": len(state.lanes),
        "leases": len(state.leases),
        "stale": sum(is_stale(state, lease) for lease in state.leases.values()),
        "waiting": sum(len(lane.waiting) for lane in state.lanes.values()),
        "poisoned": len(state.poisoned),
        "paused": sum(rule.paused for rule in state.rules.values()),
        "source_pauses_ms": {
            source: max(0, until_ms - state.clock_ms) for source, until_ms in state.pauses.items()
        },
        "completion_ratio": total(completion(state).values()).ratio,
    }


def config(state: State) -> Row:
    """Return the rules that hold, and their version."""
    return {"version": state.config_version, "values": asdict(state.config)}


def sessions(state: State, _query: Mapping[str, str]) -> Iterator[Row]:
    """Yield the workers."""
    held: dict[str, int] = {}
    for lease in state.leases.values():
        held[lease.session_id] = held.get(lease.session_id, 0) + 1
    for session in state.sessions.values():
        yield {
            "session_id": session.session_id,
            "ttl_ms": session.ttl_ms,
            "expires_in_ms": session.expires_ms - state.clock_ms,
            "leases": held.get(session.session_id, 0),
            "claim": claim_row(session.claim),
        }


def claim_row(claim: Claim | None) -> Row | None:
    """Return what a client of the older protocol holds."""
    if claim is None:
        return None
    row = {"node": claim.series.node, "interval": claim.series.interval}
    return row | {"window": pair(claim.window), "token": claim.token}


def jobs(state: State, query: Mapping[str, str]) -> Iterator[Row]:
    """Yield the jobs."""
    for job in state.jobs.values():
        if matches(job.spec.target, query):
            yield {
                "job_id": job.spec.job_id,
                **lane_of(job.spec.target),
                "window": pair(job.spec.window),
                "priority": job.spec.priority,
                "refetch": job.spec.refetch,
                "bars": job.bars,
                "bars_done": job.bars_done,
                "todo": [pair(part) for part in job.todo[:RANGES_SHOWN]],
                "failed": [pair(part) for part in job.failed[:RANGES_SHOWN]],
            }


def lanes(state: State, query: Mapping[str, str]) -> Iterator[Row]:
    """Yield the lanes that jobs want something of, or that a person has ordered something of."""
    complete = completion(state)
    for key in sorted({*state.lanes, *state.rules}):
        lane, rule = state.lanes.get(key), state.rules.get(key)
        target = lane.target if lane else rule.target if rule else None
        if target is None or not matches(target, query):
            continue
        row = {**lane_of(target), **rule_row(rule)}
        if lane is not None:
            row |= {
                "jobs": len(lane.job_ids),
                "leases": len(lane.tokens),
                "waiting": len(lane.waiting),
                "watermark": lane.watermark,
                "done": [pair(part) for part in lane.done[-RANGES_SHOWN:]],
                "completion_ratio": complete[key].ratio,
            }
        yield row


def rule_row(rule: LaneRule | None) -> Row:
    """Return what a person has ordered of a lane; version 0: nothing."""
    if rule is None:
        return {"version": 0, "policy": "any", "paused": False}
    row = {"version": rule.version, "policy": rule.policy.value, "paused": rule.paused}
    return row | {"reason": rule.reason}


def leases(state: State, query: Mapping[str, str]) -> Iterator[Row]:
    """Yield the leases in force; with `stale`, those that did not move for a life."""
    for lease in state.leases.values():
        if matches(lease.target, query) and (not query.get("stale") or is_stale(state, lease)):
            yield lease_row(state, lease)


def waiting(state: State, query: Mapping[str, str]) -> Iterator[Row]:
    """Yield the windows that wait for another try."""
    for lane in state.lanes.values():
        if matches(lane.target, query):
            for entry in lane.waiting:
                yield waiting_row(state, lane.target, entry)


def poisoned(state: State, query: Mapping[str, str]) -> Iterator[Row]:
    """Yield the windows that were given up."""
    for known in state.poisoned.values():
        if matches(known.target, query):
            yield poisoned_row(state, known)


def window(state: State, target: SeriesLane, wanted: Window) -> Row:
    """Return everything that stands in a window of a lane, and its version."""
    lane = state.lanes.get(target.key)
    held = [state.leases[token] for token in lane.tokens] if lane else []
    return {
        **lane_of(target),
        "window": pair(wanted),
        "token": window_token(state, target, wanted),
        "rule": rule_row(state.rules.get(target.key)),
        "leases": [lease_row(state, each) for each in held if each.window.intersect(wanted)],
        "waiting": [
            waiting_row(state, target, entry)
            for entry in (lane.waiting if lane else ())
            if entry.window.intersect(wanted)
        ],
        "poisoned": [poisoned_row(state, each) for each in poisoned_in(state, target, wanted)],
        "done": [
            pair(part)
            for each in (lane.done if lane else ())
            if (part := each.intersect(wanted)) is not None
        ],
        "jobs": [
            job_id
            for job_id in (lane.job_ids if lane else ())
            if state.jobs[job_id].spec.window.intersect(wanted)
        ],
    }


def waiting_row(state: State, target: SeriesLane, entry: Waiting) -> Row:
    """Return a window that waits for another try."""
    return {
        **lane_of(target),
        "window": pair(entry.window),
        "token": entry.token,
        "attempts": entry.attempts,
        "due_in_ms": max(0, entry.not_before_ms - state.clock_ms),
    }


def poisoned_row(state: State, known: Poisoned) -> Row:
    """Return a window that was given up."""
    return {
        **lane_of(known.target),
        "window": pair(known.failure.window),
        "token": known.token,
        "attempts": known.failure.attempts,
        "error_class": known.failure.error_class,
        "message": known.failure.message,
        "chunk_partition": known.failure.chunk_partition,
        "chunk_offset": known.failure.chunk_offset,
        "age_ms": state.clock_ms - known.given_up_ms,
    }


def is_stale(state: State, lease: Lease) -> bool:
    """Return whether a lease did not move for a life."""
    return state.clock_ms - lease.moved_ms >= STALE_LIVES * state.config.lease_ttl_ms


def lease_row(state: State, lease: Lease) -> Row:
    """Return a lease."""
    return {
        "token": lease.token,
        "session_id": lease.session_id,
        **lane_of(lease.target),
        "window": pair(lease.window),
        "done": [pair(part) for part in lease.done],
        "job_ids": list(lease.job_ids),
        "attempts": lease.attempts,
        "age_ms": state.clock_ms - lease.granted_ms,
        "idle_ms": state.clock_ms - lease.moved_ms,
        "expires_in_ms": lease.expires_ms - state.clock_ms,
    }


def matches(target: SeriesLane, query: Mapping[str, str]) -> bool:
    """Return whether a lane is one that a query asks for."""
    wanted = {
        "node": target.series.node,
        "interval": str(target.series.interval),
        "lane": target.lane,
    }
    return all(query.get(name, value) == value for name, value in wanted.items())


def lane_of(target: SeriesLane) -> Row:
    """Return what names a lane."""
    return {
        "node": target.series.node,
        "interval": target.series.interval,
        "lane": target.lane,
    }


def pair(part: Window) -> list[int]:
    """Return a window as `[start, end)`."""
    return [part.start, part.end]
