"""The machine's state: immutable, shared between its successors as far as they are equal.

Every mapping is in the order of its keys, so iterating is the same on every replica, also on one
that has read the state from a snapshot. What is in `Index` follows from the rest.
"""

from dataclasses import field
from typing import TypeAlias, TypeVar

from bars.series import Series
from bars.window import Grid, Window
from coordinator.machine._sorted import SortedMap
from coordinator.machine.frozen import frozen
from coordinator.machine.values import (
    Failure,
    JobSpec,
    LeaseEnd,
    MachineConfig,
    Policy,
    SeriesLane,
    token_of,
)

NEVER_MS = 2**62

K = TypeVar("K")
V = TypeVar("V")

PoisonKey: TypeAlias = tuple[str, int]
"""Key of a lane, and start of a window."""

Place: TypeAlias = tuple[int, int, int, str]
"""Minus the aged priority, last grant and job index of a lane, and its key: the least is next."""


@frozen
class Claim:
    """The right to all of a chosen window of a series, in all of its lanes."""

    series: Series
    window: Window
    token: int


@frozen
class Session:
    """A worker's sign of life; its leases end with it."""

    session_id: str
    ttl_ms: int
    expires_ms: int
    claim: Claim | None = None
    """What a client of the older protocol holds, for which the session was opened."""


@frozen
class Job:
    """What somebody wants, and what of it is still to be done."""

    spec: JobSpec
    todo: tuple[Window, ...]
    """Ascending, disjoint: neither done nor given up."""

    index: int
    """Place in the order of submission."""

    served_ms: int
    """When it was last granted something, or submitted: ageing counts from here."""

    slots: int
    """Slots of the grid that it was submitted for."""

    bars: int
    """Session bars that it was submitted for."""

    bars_done: int = 0
    """Of them done."""

    since: int = 0
    """Leases up to this token do not count for it (a refetch); 0: all do."""

    failed: tuple[Window, ...] = ()
    failures: tuple[Failure, ...] = ()


@frozen
class Waiting:
    """A window that has been tried, or told to wait, and will be granted again."""

    window: Window
    attempts: int
    not_before_ms: int
    token: int
    """The lease that it was tried under last."""


@frozen
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
    """Parts of the window that are done already, ascending."""


@frozen
class Ended:
    """How a lease ended, for a holder that comes late."""

    token: int
    end: LeaseEnd
    target: SeriesLane
    index: int
    """Place in the order of ending: the oldest are forgotten first."""


@frozen
class Poisoned:
    """A window that was given up, remembered until it is done or tried again by order."""

    target: SeriesLane
    failure: Failure
    token: int
    """The lease that it was tried under last."""

    given_up_ms: int
    """When, by the replicated clock."""

    index: int
    """Place in the order of giving up: the oldest are forgotten first."""


@frozen
class LaneRule:
    """What a person has ordered of a lane; it outlives the lane's jobs."""

    target: SeriesLane
    version: int
    """Differs from that of every rule before."""

    policy: Policy = Policy.ANY
    paused: bool = False
    reason: str = ""


@frozen
class Fresh:
    """A window done lately, and where its chunk stands."""

    window: Window
    chunk_offset: int


@frozen
class Lane:
    """One lane of a series while jobs want it.

    A window that was never tried is not kept: it is cut from the jobs' `todo` when it is granted.
    So nothing has to be undone when jobs come and go.
    """

    target: SeriesLane
    job_ids: tuple[str, ...] = field(default=(), metadata={"wire": False})
    """In order of submission; follows from the jobs."""

    waiting: tuple[Waiting, ...] = ()
    """Ascending; disjoint from each other and from the leased windows."""

    tokens: tuple[int, ...] = field(default=(), metadata={"wire": False})
    """Leases in force, ascending; follows from the leases."""

    done: tuple[Window, ...] = ()
    """What was fetched while a job wanted it: spares the jobs that were planned before the
    ledger showed it. Ascending, disjoint, cut to the jobs' windows."""

    forced: tuple[Window, ...] = ()
    """What of it is done because a person said so: the ledger need not show it."""

    fresh: tuple[Fresh, ...] = ()
    """The newest of what is done, oldest first."""

    settled_offset: int = -1
    """No chunk of what is done and not fresh stands behind it."""

    last_grant: int = 0
    """Token of the newest grant: lanes of equal priority take turns by it."""

    watermark: int | None = None
    """Everything before it that a job wanted is done; moves only forward. None: no job yet."""


@frozen
class Placed:
    """Where a lane stands in the queue, and when that may change by time alone."""

    place: Place | None
    """None: it has nothing to grant now."""

    due_ms: int = NEVER_MS
    """When its next retry is due."""

    ages_ms: int = NEVER_MS
    """When one of its jobs is a priority older."""

    head: tuple[Window, int] | None = None
    """What it would be granted, and the attempts behind that; None where there is no place."""


def _none() -> SortedMap[K, V]:
    return SortedMap()


@frozen
class Index:
    """What follows from the facts, kept so that no command looks at everything."""

    queues: SortedMap[str, SortedMap[Place, None]] = field(default_factory=_none)
    """By source: the lanes that have something to grant, in order."""

    placed: SortedMap[str, Placed] = field(default_factory=_none)
    due: SortedMap[tuple[int, str], None] = field(default_factory=_none)
    ages: SortedMap[tuple[int, str], None] = field(default_factory=_none)
    session_ends: SortedMap[tuple[int, str], None] = field(default_factory=_none)
    claimed: SortedMap[tuple[str, int], Claim] = field(default_factory=_none)
    """What is claimed, by key of the series and start; the windows of a series are disjoint."""

    lease_ends: SortedMap[tuple[int, int], None] = field(default_factory=_none)
    held: SortedMap[str, tuple[int, ...]] = field(default_factory=_none)
    """Leases by session, ascending."""

    asking: SortedMap[str, int] = field(default_factory=_none)
    """How many leases ask a source."""

    ended: SortedMap[int, int] = field(default_factory=_none)
    """Tokens in the order of ending."""

    poisoned: SortedMap[tuple[int, str, int], None] = field(default_factory=_none)
    """Windows in the order of giving up: that, then their key."""


@frozen
class State:
    """Everything the machine knows."""

    config: MachineConfig
    epoch: int
    config_version: int = 0
    """Rises with every change of the configuration by order; 0: it is the first."""

    counter: int = 0
    clock_ms: int = 0
    """The sum of all `elapsed_ms`."""

    next_index: int = 1
    """Numbers jobs, ends of leases, windows given up and rules in their order."""

    sessions: SortedMap[str, Session] = field(default_factory=_none)
    jobs: SortedMap[str, Job] = field(default_factory=_none)
    lanes: SortedMap[str, Lane] = field(default_factory=_none)
    leases: SortedMap[int, Lease] = field(default_factory=_none)
    ended: SortedMap[int, Ended] = field(default_factory=_none)
    """The leases that ended last."""

    poisoned: SortedMap[PoisonKey, Poisoned] = field(default_factory=_none)
    """The windows that were given up last."""

    rules: SortedMap[str, LaneRule] = field(default_factory=_none)
    """By key of the lane."""

    pauses: SortedMap[str, int] = field(default_factory=_none)
    """Sources that have asked to be left alone, and until when."""

    index: Index = field(default_factory=Index)

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


def lease_end_ms(lease: Lease, config: MachineConfig) -> int:
    """Return when a lease ends if nothing is heard of its holder: it expires, or it is stalled."""
    return min(lease.expires_ms, lease.moved_ms + config.stall_lives * config.lease_ttl_ms)
