"""Rows of the state as JSON shows them. Pure."""

from collections.abc import Iterator, Mapping
from dataclasses import asdict
from typing import Any, TypeAlias

from bars.window import Window
from coordinator._service.log import LogStatus
from coordinator.machine import Lease, SeriesLane, State

Row: TypeAlias = Mapping[str, Any]

STALE_LIVES = 1
"""A lease that was renewed and did not move for so many lives is worth a look."""


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
        "jobs_in_progress": sum(bool(job.todo) for job in state.jobs.values()),
        "lanes": len(state.lanes),
        "leases": len(state.leases),
        "waiting": sum(len(lane.waiting) for lane in state.lanes.values()),
    }


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
        }


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
                "todo": len(job.todo),
                "failed": [pair(window) for window in job.failed],
            }


def lanes(state: State, query: Mapping[str, str]) -> Iterator[Row]:
    """Yield the lanes that jobs want something of."""
    for lane in state.lanes.values():
        if matches(lane.target, query):
            yield {
                **lane_of(lane.target),
                "jobs": len(lane.job_ids),
                "leases": len(lane.tokens),
                "waiting": len(lane.waiting),
                "done": [pair(window) for window in lane.done[-20:]],
            }


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
                yield {
                    **lane_of(lane.target),
                    "window": pair(entry.window),
                    "attempts": entry.attempts,
                    "due_in_ms": max(0, entry.not_before_ms - state.clock_ms),
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
        "done": [pair(window) for window in lease.done],
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


def pair(window: Window) -> list[int]:
    """Return a window as `[start, end)`."""
    return [window.start, window.end]
