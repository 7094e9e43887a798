"""The state as a document: its facts alone. What follows from them is worked out again."""

from dataclasses import dataclass, replace

from bars.series import check_lane
from coordinator.machine._apply import indexed
from coordinator.machine._codec import Document, codec_of, refused
from coordinator.machine._draft import poison_key
from coordinator.machine._sorted import SortedMap
from coordinator.machine.state import Ended, Job, Lane, LaneRule, Lease, Poisoned, Session, State
from coordinator.machine.values import MachineConfig


@dataclass(frozen=True, slots=True, kw_only=True)
class _Pause:
    source: str
    until_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class _Facts:
    config: MachineConfig
    epoch: int
    counter: int
    clock_ms: int
    next_index: int
    config_version: int = 0
    sessions: tuple[Session, ...]
    jobs: tuple[Job, ...]
    lanes: tuple[Lane, ...]
    leases: tuple[Lease, ...]
    ended: tuple[Ended, ...]
    poisoned: tuple[Poisoned, ...]
    rules: tuple[LaneRule, ...]
    pauses: tuple[_Pause, ...]


def state_document(state: State) -> Document:
    """Return a state as a document: equal states give equal documents."""
    return codec_of(_Facts).encode(
        _Facts(
            config=state.config,
            epoch=state.epoch,
            counter=state.counter,
            clock_ms=state.clock_ms,
            next_index=state.next_index,
            config_version=state.config_version,
            sessions=tuple(state.sessions.values()),
            jobs=tuple(state.jobs.values()),
            lanes=tuple(state.lanes.values()),
            leases=tuple(state.leases.values()),
            ended=tuple(state.ended.values()),
            poisoned=tuple(state.poisoned.values()),
            rules=tuple(state.rules.values()),
            pauses=tuple(_Pause(source=name, until_ms=ms) for name, ms in state.pauses.items()),
        )
    )


def state_of(document: Document, path: str = "state") -> State:
    """Return the state of a document.

    Raises:
        InvalidValueError: It is none, and which field is not allowed.
    """
    facts: _Facts = codec_of(_Facts).decode(document, path)
    for pause in facts.pauses:
        check_lane(pause.source, f"{path}.pauses")
    return indexed(
        State(
            config=facts.config,
            epoch=facts.epoch,
            counter=facts.counter,
            clock_ms=facts.clock_ms,
            next_index=facts.next_index,
            config_version=facts.config_version,
            sessions=SortedMap((session.session_id, session) for session in facts.sessions),
            jobs=SortedMap((job.spec.job_id, job) for job in facts.jobs),
            lanes=SortedMap((lane.target.key, lane) for lane in _lanes(facts, path)),
            leases=SortedMap((lease.token, lease) for lease in facts.leases),
            ended=SortedMap((ended.token, ended) for ended in facts.ended),
            poisoned=SortedMap((poison_key(each), each) for each in facts.poisoned),
            rules=SortedMap((rule.target.key, rule) for rule in facts.rules),
            pauses=SortedMap((pause.source, pause.until_ms) for pause in facts.pauses),
        )
    )


def _lanes(facts: _Facts, path: str) -> list[Lane]:
    """Return the lanes with their jobs and leases.

    Raises:
        InvalidValueError: A job or a lease has no lane, or a lane no job.
    """
    job_ids: dict[str, list[str]] = {lane.target.key: [] for lane in facts.lanes}
    tokens: dict[str, list[int]] = {lane.target.key: [] for lane in facts.lanes}
    for job in sorted(facts.jobs, key=lambda job: job.index):
        if job.spec.target.key not in job_ids:
            raise refused(f"{path}.jobs", job.spec.job_id, "of a lane in lanes")
        job_ids[job.spec.target.key].append(job.spec.job_id)
    for lease in sorted(facts.leases, key=lambda lease: lease.token):
        if lease.target.key not in tokens:
            raise refused(f"{path}.leases", lease.token, "of a lane in lanes")
        tokens[lease.target.key].append(lease.token)
    for lane in facts.lanes:
        if not job_ids[lane.target.key]:
            raise refused(f"{path}.lanes", lane.target.key, "a lane with jobs")
    return [
        replace(
            lane,
            job_ids=tuple(job_ids[lane.target.key]),
            tokens=tuple(tokens[lane.target.key]),
        )
        for lane in facts.lanes
    ]
