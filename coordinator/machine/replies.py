"""What the machine answers, refusals included, and what it tells besides."""

from dataclasses import dataclass
from enum import StrEnum
from typing import TypeAlias

from bars.window import Window
from coordinator.machine.state import Lease
from coordinator.machine.values import Failure, JobState, LeaseEnd, SeriesLane


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


@dataclass(frozen=True, slots=True, kw_only=True)
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


@dataclass(frozen=True, slots=True, kw_only=True)
class LeaseGranted:
    """A window is being fetched."""

    lease: Lease


@dataclass(frozen=True, slots=True, kw_only=True)
class LeaseEnded:
    """A lease is no longer in force."""

    lease: Lease
    end: LeaseEnd


@dataclass(frozen=True, slots=True, kw_only=True)
class WindowDone:
    """A window's verdict is committed."""

    target: SeriesLane
    window: Window
    token: int


@dataclass(frozen=True, slots=True, kw_only=True)
class WindowFailed:
    """A window is given up."""

    target: SeriesLane
    failure: Failure
    token: int


@dataclass(frozen=True, slots=True, kw_only=True)
class JobFinished:
    """Nothing of the job is left to fetch."""

    job_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionEnded:
    """A worker has gone, or has not been heard of."""

    session_id: str
    expired: bool


Event: TypeAlias = (
    LeaseGranted | LeaseEnded | WindowDone | WindowFailed | JobFinished | SessionEnded
)
