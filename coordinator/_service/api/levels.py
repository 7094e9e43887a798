"""What a node's log and state say about how things stand, as numbers. Pure."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from coordinator._service.log import LogStatus
from coordinator.machine import SeriesLane, State
from coordinator.machine.views import Completion, completion, jobs_in_progress, total

OTHER = ""
"""Label of everything that has none of its own."""

HELP: Mapping[str, str] = {
    "backfill_completion_ratio": "Share of the session bars that jobs want and that are done.",
    "backfill_last_timestamp": "Epoch seconds: what jobs want before it is done.",
    "backfill_jobs_in_progress": "Jobs that still lack something.",
    "coordinator_leases": "Leases in force: asking a source, or published and not yet judged.",
    "coordinator_windows": "Windows: leased, waiting for another try, given up.",
    "coordinator_sessions": "Workers that live.",
    "coordinator_poisoned_windows": "Windows that were given up and are remembered.",
    "coordinator_paused_lanes": "Lanes that a person has paused.",
    "coordinator_lease_age_seconds": "Age of the oldest lease in force.",
    "coordinator_oldest_pending_age_seconds": "Longest time for which a job was granted nothing.",
    "coordinator_clock_seconds": "The replicated clock.",
    "coordinator_raft_is_leader": "1 on the node that takes commands.",
    "coordinator_raft_has_quorum": "1 on a node that hears of a majority.",
    "coordinator_raft_term": "The term.",
    "coordinator_raft_commit_index": "The last entry known to be committed.",
    "coordinator_raft_applied_index": "The last entry that this node has applied.",
    "coordinator_raft_log_bytes": "Size of the journal on disk.",
    "coordinator_raft_leader_changes_total": "Leaders that this node has seen come.",
    "coordinator_state_digest": "The first 48 bits of the state's digest.",
    "coordinator_state_digest_index": "The entry that the digest belongs to.",
    "coordinator_settings_differ": "Settings of this node's file that are not those that hold.",
    "coordinator_apply_errors_total": "Faults of the machine or of listeners: must stay 0.",
    "coordinator_unreadable_entries_total": "Entries of a version that this program does not know.",
    "coordinator_dedupe_hits_total": "Commands that came again and were answered from memory.",
    "coordinator_stale_leader_total": "Entries of a leader that had been replaced.",
    "coordinator_raft_pending": "Commands whose outcome is not known yet.",
    "coordinator_raft_syncs_total": "Times that the journal's disk was waited for.",
    "coordinator_raft_fsync_seconds": "How long the disk took the last time.",
    "coordinator_unpickle_rejected_total": "Messages of peers or strangers that were refused.",
}
"""What each level says."""

_DIGEST_CHARS = 12


@dataclass(frozen=True, slots=True)
class NodeLevel:
    """How far one series is, or all that have no label of their own."""

    node: str
    interval: str
    ratio: float
    last_timestamp: int | None


def of_log(status: LogStatus, digest: tuple[int, str]) -> Mapping[str, float]:
    """Return what a node says of its log."""
    index, text = digest
    return {
        "coordinator_raft_is_leader": status.is_leader,
        "coordinator_raft_has_quorum": status.has_quorum,
        "coordinator_raft_term": status.term,
        "coordinator_raft_commit_index": status.commit_index,
        "coordinator_raft_applied_index": status.applied_index,
        "coordinator_raft_log_bytes": status.log_bytes,
        "coordinator_raft_leader_changes_total": status.leader_changes,
        "coordinator_state_digest": int(text[:_DIGEST_CHARS], 16),
        "coordinator_state_digest_index": index,
    }


def of_state(state: State) -> Mapping[str, float]:
    """Return the levels of a state that have no labels."""
    oldest_ms = min((lease.granted_ms for lease in state.leases.values()), default=state.clock_ms)
    pending_ms = min(
        (job.served_ms for job in state.jobs.values() if job.todo), default=state.clock_ms
    )
    return {
        "backfill_jobs_in_progress": jobs_in_progress(state),
        "coordinator_sessions": len(state.sessions),
        "coordinator_poisoned_windows": len(state.poisoned),
        "coordinator_paused_lanes": sum(rule.paused for rule in state.rules.values()),
        "coordinator_lease_age_seconds": (state.clock_ms - oldest_ms) / 1_000,
        "coordinator_oldest_pending_age_seconds": (state.clock_ms - pending_ms) / 1_000,
        "coordinator_clock_seconds": state.clock_ms / 1_000,
    }


def by_state(state: State) -> Iterator[tuple[str, str, Mapping[str, float]]]:
    """Yield levels by one label: name, label, values."""
    asking = sum(lease.asking for lease in state.leases.values())
    leases = {"asking": asking, "published": len(state.leases) - asking}
    yield "coordinator_leases", "state", leases
    windows = {
        "leased": len(state.leases),
        "waiting": sum(len(lane.waiting) for lane in state.lanes.values()),
        "poisoned": len(state.poisoned),
    }
    yield "coordinator_windows", "state", windows


def by_node(state: State, label_nodes: frozenset[str]) -> Iterator[NodeLevel]:
    """Yield how far each labelled node is, and all others together under an empty label."""
    groups: dict[tuple[str, str], list[Completion]] = {(OTHER, OTHER): []}
    last: dict[tuple[str, str], int] = {}
    for key, part in completion(state).items():
        lane = state.lanes[key]
        group = _group(lane.target, label_nodes)
        groups.setdefault(group, []).append(part)
        if lane.watermark is not None:
            last[group] = max(lane.watermark, last.get(group, lane.watermark))
    for group, parts in groups.items():
        yield NodeLevel(*group, total(parts).ratio, last.get(group))


def _group(target: SeriesLane, label_nodes: frozenset[str]) -> tuple[str, str]:
    if target.series.node not in label_nodes:
        return OTHER, OTHER
    return target.series.node, str(target.series.interval)
