"""The commands: everything that can happen to the machine, with time and chance as data."""

from dataclasses import dataclass
from typing import TypeAlias

from bars.window import Window
from coordinator.machine.values import Failure, JobSpec


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """What every command carries."""

    elapsed_ms: int = 0
    """Milliseconds since the command before, by the monotonic clock of who proposes it; a
    negative one counts as none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tick(Command):
    """Time passes: whatever is due expires."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenSession(Command):
    """A worker says that it lives; again: the same session, its life begins anew."""

    session_id: str
    ttl_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class KeepSession(Command):
    """The worker still lives."""

    session_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CloseSession(Command):
    """The worker goes: its leases are free at once and no attempt is counted."""

    session_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SubmitJob(Command):
    """Somebody wants a range."""

    spec: JobSpec


@dataclass(frozen=True, slots=True, kw_only=True)
class CancelJob(Command):
    """Nobody waits for the job any more, finished or not: what no other job wants ends."""

    job_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class QueryJob(Command):
    """How far is a job?"""

    job_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Acquire(Command):
    """Take the next windows of the queue."""

    session_id: str
    limit: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Renew(Command):
    """Keep a lease for another life."""

    session_id: str
    token: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Complete(Command):
    """The verdict on the window's chunk is committed."""

    session_id: str
    token: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Fail(Command):
    """The window could not be fetched."""

    session_id: str
    token: int
    error_class: str
    message: str = ""
    retriable: bool = True
    """False: give the window up at once."""

    rate_limited: bool = False
    """The source asked for a pause: no attempt is counted."""

    retry_after_ms: int = 0
    """The pause it asked for; wins over the backoff where it is longer."""

    chance_ppm: int = 0
    """Drawn by the caller, 0..1,000,000: where in the random part the wait ends."""

    chunk_partition: int = -1
    chunk_offset: int = -1

    def as_failure(self, window: Window, attempts: int) -> Failure:
        """Return the failure that this command makes of a window."""
        return Failure(
            window=window,
            error_class=self.error_class,
            message=self.message,
            attempts=attempts,
            chunk_partition=self.chunk_partition,
            chunk_offset=self.chunk_offset,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Release(Command):
    """The holder gives the window back untried; no attempt is counted."""

    session_id: str
    token: int


AnyCommand: TypeAlias = (
    Tick
    | OpenSession
    | KeepSession
    | CloseSession
    | SubmitJob
    | CancelJob
    | QueryJob
    | Acquire
    | Renew
    | Complete
    | Fail
    | Release
)
