"""What the machine's state, commands and replies are made of: small values, checked once.

Times of bars are epoch seconds, durations milliseconds, chances parts per million: integers
everywhere, so that every replica computes the same.
"""

from dataclasses import dataclass, field, fields
from enum import StrEnum
from typing import ClassVar

from bars.errors import InvalidValueError
from bars.series import Series, check_lane
from bars.window import Grid, Window

TOKEN_COUNTER_BITS = 40
EPOCH_MAX = 2**23 - 1
"""Tokens are numbers of 64 bits with a sign."""

PPM = 1_000_000

PRIORITY_MAX = 1_000
"""Priorities lie in -1,000..1,000: ageing must be able to overtake every one of them."""

MESSAGE_CHARS_MAX = 500

VALUE_MAX = 10**12
"""No life, wait or limit is larger: sums of some of them are still numbers of 64 bits."""

LANES_MAX = 1_000
"""Lanes that an acquire may name: each has a source in the configuration of one worker."""

NAME_CHARS_MAX = 200
"""Longest id of a session, a job or a request."""


def token_of(epoch: int, counter: int) -> int:
    """Return the fencing token of a grant: a later epoch is above every earlier token."""
    return epoch << TOKEN_COUNTER_BITS | counter


def epoch_of(token: int) -> int:
    """Return the epoch that a token was granted in."""
    return token >> TOKEN_COUNTER_BITS


@dataclass(frozen=True, slots=True, order=True)
class SeriesLane:
    """One lane of one series: what windows, leases and the order of grants belong to."""

    series: Series
    """The series."""

    lane: str
    """`bf:<source>`."""

    key: str = field(init=False, compare=False, repr=False, metadata={"wire": False})
    """One string for both, `node|interval|lane`."""

    def __post_init__(self) -> None:
        check_lane(self.lane)
        object.__setattr__(self, "key", f"{self.series.key}|{self.lane}")

    def __str__(self) -> str:
        return self.key


@dataclass(frozen=True, slots=True, kw_only=True)
class MachineConfig:
    """Lives, retries and limits; part of the replicated state."""

    WIRE_WHOLE: ClassVar[bool] = True
    """Documents hold every field."""

    lease_ttl_ms: int = 120_000
    """Life of a grant and of each renewal."""

    max_attempts: int = 6
    """Fetches of a window before it is given up."""

    retry_backoff_ms: int = 500
    """Wait after the first failure; doubles with each."""

    retry_cap_ms: int = 60_000
    """No wait is longer, its random part included."""

    jitter_ppm: int = 250_000
    """Largest random part of a wait, parts per million of it."""

    retry_after_max_ms: int = 3_600_000
    """A source that asks for a longer pause is asked again after this one."""

    ageing_ms: int = 600_000
    """A job that was granted nothing for so long counts one priority more."""

    live_windows_max: int = 64
    """Windows of one lane of a series that are leased or wait for a retry; no new ones beyond."""

    grant_max: int = 64
    """Leases that one command may take."""

    jobs_max: int = 20_000
    """Jobs held at a time."""

    ranges_max: int = 10_000
    """Ranges that a job's missing windows may consist of."""

    windows_max: int = 1_000_000
    """Windows that a job may be cut into."""

    failures_max: int = 100
    """Failures told of each job; the ranges that failed are all told."""

    sessions_max: int = 10_000
    """Sessions open at a time."""

    session_leases_max: int = 1_024
    """Leases that one session may hold."""

    source_requests_max: int = 256
    """Leases of one source whose holders are asking it, of all workers together."""

    stall_lives: int = 3
    """A lease that is renewed for so many lives of it without progress is taken away."""

    split_bars_min: int = 2
    """A window of at least so many bars that keeps failing is halved instead of given up."""

    poisoned_max: int = 10_000
    """Windows remembered that were given up; the oldest are forgotten first."""

    rules_max: int = 20_000
    """Lanes that are paused or have another policy than `any`."""

    ended_max: int = 1_024
    """Ended leases remembered, so that a late holder learns how its lease ended."""

    def __post_init__(self) -> None:
        for name in (each.name for each in fields(self)):
            value = getattr(self, name)
            least = 0 if name in {"retry_backoff_ms", "jitter_ppm"} else 1
            whole = isinstance(value, int) and not isinstance(value, bool)
            if not whole or not least <= value <= VALUE_MAX:
                raise InvalidValueError(name, value, f"a whole number from {least} to {VALUE_MAX}")
        if self.jitter_ppm > PPM:
            raise InvalidValueError("jitter_ppm", self.jitter_ppm, f"at most {PPM}")

    def retry_wait_ms(self, attempt: int, chance_ppm: int) -> int:
        """Return how long to wait after failed attempt number `attempt` (from 1).

        Args:
            attempt: Attempts that have failed.
            chance_ppm: Where in the random part the wait ends, 0..1,000,000; drawn by the caller.
        """
        wait = min(self.retry_backoff_ms << min(attempt - 1, 40), self.retry_cap_ms)
        jitter = wait * self.jitter_ppm * min(max(chance_ppm, 0), PPM) // (PPM * PPM)
        return min(wait + jitter, self.retry_cap_ms)


@dataclass(frozen=True, slots=True, kw_only=True)
class JobSpec:
    """A range of one lane of a series that somebody wants fetched."""

    job_id: str
    """Names the job; the same id with the same values is the same job."""

    target: SeriesLane
    """What is to be fetched."""

    window: Window
    """All that the job is about; what is done outside of every job's window is forgotten."""

    missing: tuple[Window, ...]
    """The parts of it that are to be fetched, as few ranges as possible. They may contain
    stretches where nothing trades: a range that spans them keeps jobs small."""

    grid: Grid
    """The open times of the series."""

    window_bars: int
    """Slots between two cuts: a fetched window never crosses a multiple of it."""

    priority: int = 0
    """Higher is served sooner."""

    refetch: bool = False
    """Only fetches granted after the submission count, whatever is done already."""

    session_bars: int | None = None
    """Bars that there should be in `missing`; None: one for each slot of the grid."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """A window that was finally given up, and why."""

    window: Window
    """The window."""

    error_class: str
    """A word for programs."""

    message: str
    """For people; at most 500 characters."""

    attempts: int = 0
    """Fetches that were tried."""

    chunk_partition: int = -1
    """Where the last chunk stands that was published for it, -1 without one."""

    chunk_offset: int = -1
    """The same."""


class LeaseEnd(StrEnum):
    """How a lease ended."""

    COMPLETED = "completed"
    FAILED = "failed"
    RELEASED = "released"
    EXPIRED = "expired"
    ORPHANED = "orphaned"
    STALLED = "stalled"
    """Renewed again and again, and nothing came of it."""

    REVOKED = "revoked"
    """Taken away by a person, or with its epoch."""

    CANCELLED = "cancelled"


class StaleKind(StrEnum):
    """What makes a claim stale."""

    EXPIRED = "expired"
    STALLED = "stalled"
    ORPHANED = "orphaned"
    LATE = "late"
    """A holder came with a token that is no longer in force."""


class Policy(StrEnum):
    """Which window of a lane is granted next."""

    ANY = "any"
    """The oldest that is due, as many at a time as there are holders."""

    NEWEST_FIRST = "newest_first"
    """The newest that is due: the edge next to live."""

    STRICT_OLDEST_FIRST = "strict_oldest_first"
    """One at a time, in the order of time: one that waits for a retry holds up those behind it.
    One that was given up does not."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JobState:
    """How far a job has come."""

    job_id: str
    """The job."""

    target: SeriesLane
    """What it fetches."""

    todo: tuple[Window, ...]
    """What has still to be fetched, leased parts included; empty: nothing more will happen."""

    failed: tuple[Window, ...]
    """What was given up."""

    failures: tuple[Failure, ...]
    """Why; the first hundred."""

    since: int
    """Only leases with a higher token count for this job; 0 unless it refetches."""

    bars: int = 0
    """Session bars that it wanted."""

    bars_done: int = 0
    """Of them done."""
