"""The machine's state: immutable, shared between its successors as far as they are equal.

Mappings keep the order of insertion, which is the order of the commands: iterating over them is
the same on every replica.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from bars.window import Grid, Window
from coordinator.machine.values import (
    Failure,
    JobSpec,
    LeaseEnd,
    MachineConfig,
    SeriesLane,
    token_of,
)

STATE_VERSION = 1
NEVER_MS = 2**62


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """A worker's sign of life; its leases end with it."""

    session_id: str
    ttl_ms: int
    expires_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """What somebody wants, and what of it is still to be done."""

    spec: JobSpec
    todo: tuple[Window, ...]
    """Ascending, disjoint: neither done nor given up."""

    index: int
    """Place in the order of submission."""

    served_ms: int
    """When it was last granted something, or submitted: ageing counts from here."""

    since: int = 0
    """Leases up to this token do not count for it (a refetch); 0: all do."""

    failed: tuple[Window, ...] = ()
    failures: tuple[Failure, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """A window that has been tried, or told to wait, and will be granted again."""

    window: Window
    attempts: int
    not_before_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Lease:
    """The right of one session to fetch one window."""

    token: int
    session_id: str
    target: SeriesLane
    window: Window
    job_ids: tuple[str, ...]
    """The jobs that wanted the window when it was granted, in order of submission."""

    grid: Grid
    """The open times of the series, as the first of the jobs has them."""

    attempts: int
    """Attempts that failed before this one."""

    granted_ms: int
    expires_ms: int
    moved_ms: int
    """When it was granted, or when the holder last told of progress."""

    asking: bool = True
    """Whether the holder still asks the source: it counts against the source's limit."""

    done: tuple[Window, ...] = ()
    """Parts of the window that are done already."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Lane:
    """One lane of a series while jobs want it.

    A window that was never tried is not kept: it is cut from the jobs' `todo` when it is granted.
    So nothing has to be undone when jobs come and go.
    """

    target: SeriesLane
    job_ids: tuple[str, ...] = ()
    """In order of submission."""

    waiting: tuple[Waiting, ...] = ()
    """Ascending; disjoint from each other and from the leased windows."""

    tokens: tuple[int, ...] = ()
    """Leases in force, ascending."""

    done: tuple[Window, ...] = ()
    """What was fetched while a job wanted it: spares the jobs that were planned before the
    ledger showed it. Ascending, disjoint, cut to the jobs' windows."""

    last_grant: int = 0
    """Token of the newest grant: lanes of equal priority take turns by it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """Everything the machine knows."""

    config: MachineConfig
    epoch: int
    counter: int = 0
    clock_ms: int = 0
    """The sum of all `elapsed_ms`."""

    next_index: int = 0
    next_expiry_ms: int = NEVER_MS
    """No lease or session expires before it."""

    sessions: Mapping[str, Session] = field(default_factory=dict)
    jobs: Mapping[str, Job] = field(default_factory=dict)
    lanes: Mapping[str, Lane] = field(default_factory=dict)
    leases: Mapping[int, Lease] = field(default_factory=dict)
    ended: Mapping[int, LeaseEnd] = field(default_factory=dict)
    """The newest ended leases, oldest first."""

    version: int = STATE_VERSION

    @property
    def last_token(self) -> int:
        """The highest token granted so far, or what the epoch begins with."""
        return token_of(self.epoch, self.counter)


def initial(epoch: int, config: MachineConfig) -> State:
    """Return a machine that has seen no command.

    Args:
        epoch: Above the epoch of every token that may still be around.
        config: Lives, retries, limits.
    """
    return State(config=config, epoch=epoch)
