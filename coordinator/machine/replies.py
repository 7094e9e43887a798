"""What the machine answers, refusals included, and what it tells besides."""

from collections.abc import Mapping
from enum import StrEnum
from typing import TypeAlias

from bars.window import Window
from coordinator.machine.frozen import frozen
from coordinator.machine.state import Claim, Lease
from coordinator.machine.values import Failure, JobState, LeaseEnd, SeriesLane, StaleKind


class Code(StrEnum):
    """Every answer there is."""

    OK = "ok"
    RETRY_LATER = "retry_later"
    """Fail was taken; the window will be granted again."""

    GIVEN_UP = "given_up"
    """Fail was taken; the window is given up."""

    LATE = "late"
    """The lease had ended before, as `end` says; nothing changed."""

    UNKNOWN_TOKEN = "unknown_token"  # noqa: S105  # a code, no secret
    """No such lease was ever granted, or it ended so long ago that nobody remembers how."""

    NOT_YOURS = "not_yours"
    """Another session holds the lease."""

    UNKNOWN_SESSION = "unknown_session"
    """No such session, or it has expired: open one."""

    UNKNOWN_JOB = "unknown_job"
    JOB_CONFLICT = "job_conflict"
    """The id belongs to a job with other values."""

    INVALID = "invalid"
    """The command's values are not allowed; `message` names the field."""

    TOO_MANY = "too_many"
    """A limit of the machine is reached."""

    CONFLICT = "conflict"
    """What stands is not what the command expects; nothing changed. `found` says what stands."""

    STALE_LEADER = "stale_leader"
    """Proposed by a leader that has been replaced since; nothing changed, time included."""

    BROKEN = "broken"
    """A fault of the machine itself; nothing changed. Must never be seen."""


_WHY: Mapping[Code, str] = {
    Code.LATE: "the lease has ended",
    Code.UNKNOWN_TOKEN: "no such lease was granted, or nobody remembers how it ended",
    Code.NOT_YOURS: "another session holds the lease",
    Code.UNKNOWN_SESSION: "no such session, or it has expired: open one",
    Code.UNKNOWN_JOB: "no such job",
    Code.JOB_CONFLICT: "the id belongs to a job with other values",
}
"""What a refusal means that has nothing to add."""


@frozen
class Reply:
    """The answer to one command; the fields a code does not need are empty."""

    code: Code
    message: str = ""
    leases: tuple[Lease, ...] = ()
    """Acquire: the grants. Renew: the lease with its new end."""

    job: JobState | None = None
    end: LeaseEnd | None = None
    wait_ms: int | None = None
    """Acquire, when nothing was granted but something is due by time alone: how long until then."""

    found: int | None = None
    """CONFLICT: the token, version or epoch that stands. A change to a lane or to the
    configuration: its new version. A claim: its token."""

    @property
    def why(self) -> str:
        """What a person is told of a refusal; no part of the document."""
        why = self.message or _WHY.get(self.code, "")
        return why if self.end is None else f"{why}: {self.end.value}"


@frozen
class LeaseGranted:
    """A window is being fetched."""

    lease: Lease


@frozen
class WindowClaimed:
    """Somebody fetches a window of their own choice; the claim ends with the session."""

    session_id: str
    claim: Claim


@frozen
class LeaseEnded:
    """A lease is no longer in force."""

    lease: Lease
    end: LeaseEnd


@frozen
class WindowDone:
    """A window's verdict is committed."""

    target: SeriesLane
    window: Window
    token: int


@frozen
class WindowFailed:
    """A window is given up."""

    target: SeriesLane
    failure: Failure
    token: int


@frozen
class JobFinished:
    """Nothing of the job is left to fetch."""

    job_id: str


@frozen
class SessionEnded:
    """A worker has gone, or has not been heard of."""

    session_id: str
    expired: bool


@frozen
class SessionOpened:
    """A worker has come, or has come again."""

    session_id: str


@frozen
class JobSubmitted:
    """Somebody wants a range."""

    job_id: str
    target: SeriesLane


@frozen
class JobCancelled:
    """Nobody waits for a job any more."""

    job_id: str


@frozen
class WindowWaits:
    """A window was tried in vain and will be granted again."""

    target: SeriesLane
    window: Window
    attempts: int
    not_before_ms: int
    error_class: str
    rate_limited: bool = False


@frozen
class WindowSplit:
    """A window kept failing: its halves go on as windows of their own."""

    target: SeriesLane
    window: Window
    parts: tuple[Window, ...]


@frozen
class WindowsUndone:
    """The ledger does not show what was done: it is to be fetched again."""

    target: SeriesLane
    windows: tuple[Window, ...]


@frozen
class StaleClaim:
    """A lease whose holder has lost it without giving it back, or came too late."""

    kind: StaleKind
    token: int
    session_id: str
    target: SeriesLane | None = None
    """None: nobody remembers the lease any more, or it was a claim, which is of no lane."""


@frozen
class Ordered:
    """A person has changed something."""

    op: str
    """Which command."""

    reason: str
    target: SeriesLane | None = None
    window: Window | None = None
    token: int = 0
    detail: str = ""
    """The evidence, the policy, the epoch."""


Event: TypeAlias = (
    SessionOpened
    | SessionEnded
    | JobSubmitted
    | JobCancelled
    | JobFinished
    | LeaseGranted
    | WindowClaimed
    | LeaseEnded
    | WindowDone
    | WindowWaits
    | WindowSplit
    | WindowFailed
    | WindowsUndone
    | StaleClaim
    | Ordered
)
