"""The state as a document: its facts alone. What follows from them is worked out again."""

from dataclasses import dataclass

from coordinator.machine._codec import Document, codec_of
from coordinator.machine.state import Job, Lane, Lease, Session, State
from coordinator.machine.values import LeaseEnd, MachineConfig


@dataclass(frozen=True, slots=True, kw_only=True)
class _Ended:
    token: int
    end: LeaseEnd


@dataclass(frozen=True, slots=True, kw_only=True)
class _Facts:
    config: MachineConfig
    epoch: int
    counter: int
    clock_ms: int
    next_index: int
    next_expiry_ms: int
    sessions: tuple[Session, ...]
    jobs: tuple[Job, ...]
    lanes: tuple[Lane, ...]
    leases: tuple[Lease, ...]
    ended: tuple[_Ended, ...]


def state_document(state: State) -> Document:
    """Return a state as a document: equal states give equal documents."""
    return codec_of(_Facts).encode(
        _Facts(
            config=state.config,
            epoch=state.epoch,
            counter=state.counter,
            clock_ms=state.clock_ms,
            next_index=state.next_index,
            next_expiry_ms=state.next_expiry_ms,
            sessions=tuple(state.sessions.values()),
            jobs=tuple(state.jobs.values()),
            lanes=tuple(state.lanes.values()),
            leases=tuple(state.leases.values()),
            ended=tuple(_Ended(token=token, end=end) for token, end in state.ended.items()),
        )
    )


def state_of(document: Document, path: str = "state") -> State:
    """Return the state of a document.

    Raises:
        InvalidValueError: It is none, and which field is not allowed.
    """
    facts: _Facts = codec_of(_Facts).decode(document, path)
    return State(
        config=facts.config,
        epoch=facts.epoch,
        counter=facts.counter,
        clock_ms=facts.clock_ms,
        next_index=facts.next_index,
        next_expiry_ms=facts.next_expiry_ms,
        sessions={session.session_id: session for session in facts.sessions},
        jobs={job.spec.job_id: job for job in facts.jobs},
        lanes={lane.target.key: lane for lane in facts.lanes},
        leases={lease.token: lease for lease in facts.leases},
        ended={ended.token: ended.end for ended in facts.ended},
    )
