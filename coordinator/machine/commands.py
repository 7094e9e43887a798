"""The commands: everything that can happen to the machine, with time and chance as data."""

from dataclasses import field
from typing import TypeAlias

from bars.series import Series
from bars.window import Window
from coordinator.machine.frozen import frozen
from coordinator.machine.values import Failure, JobSpec, MachineConfig, Policy, SeriesLane


@frozen
class Command:
    """What every command carries."""

    elapsed_ms: int = field(default=0, metadata={"wire": False})
    """Milliseconds since the command before, by the monotonic clock of who proposes it; a
    negative one counts as none."""


@frozen
class Tick(Command):
    """Time passes: whatever is due expires."""


@frozen
class Barrier(Command):
    """Nothing happens: whoever sees it applied reads a state that holds all before it."""


@frozen
class OpenSession(Command):
    """A worker says that it lives; again: the same session, its life begins anew."""

    session_id: str
    ttl_ms: int


@frozen
class KeepSession(Command):
    """The worker still lives."""

    session_id: str


@frozen
class CloseSession(Command):
    """The worker goes: its leases are free at once and no attempt is counted."""

    session_id: str


@frozen
class SubmitJob(Command):
    """Somebody wants a range."""

    spec: JobSpec


@frozen
class CancelJob(Command):
    """Nobody waits for the job any more, finished or not: what no other job wants ends."""

    job_id: str


@frozen
class QueryJob(Command):
    """How far is a job?"""

    job_id: str


@frozen
class Acquire(Command):
    """Take the next windows of the queue."""

    session_id: str
    limit: int = 1
    lanes: tuple[str, ...] = ()
    """Those that the worker has a source for; it is granted nothing of others. Empty: any."""


@frozen
class ClaimWindow(Command):
    """Take a window of one's own choice, by the older protocol, if nobody has any part of it.

    What is granted to workers meanwhile has no bar in common with it.
    """

    session_id: str
    """Of the claim alone; must not be open yet. The claim ends with it."""

    ttl_ms: int
    series: Series
    window: Window


@frozen
class EndClaim(Command):
    """Whoever has claimed a window has done with it."""

    session_id: str
    token: int


@frozen
class Renew(Command):
    """Keep a lease for another life."""

    session_id: str
    token: int
    published: bool = False
    """The source has answered, and only the broker and the verdict are waited for: that is
    progress, however long they take, and no longer a request to the source. An outage of the
    store or of the broker holds everybody up, so no lease may look stalled for it."""


@frozen
class Bringing(Command):
    """What a holder may tell of what it brought."""

    session_id: str
    token: int
    chunk_offset: int = -1
    """Where the last chunk stands that was published for it, in the partition of the series; -1:
    there was nothing to publish, because nothing trades in it."""

    session_bars: int | None = None
    """Bars that there should be in what is done now; None: as many as slots of the grid."""


@frozen
class Progress(Bringing):
    """The verdicts on chunks for parts of the window are committed; the lease keeps the rest.

    It is no renewal. When nothing is left the lease is complete.
    """

    done: tuple[Window, ...]
    """Parts of the window; those told before may be told again."""


@frozen
class Complete(Bringing):
    """The verdict on the window's last chunk is committed: all of it is done."""


@frozen
class Fail(Command):
    """The window could not be fetched."""

    session_id: str
    token: int
    error_class: str
    message: str = ""
    retriable: bool = True
    """False: give the window up at once."""

    divisible: bool = True
    """Whether a part of the window might succeed: then it is halved when its attempts are spent."""

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


@frozen
class Release(Command):
    """The holder gives the window back untried; no attempt is counted."""

    session_id: str
    token: int


@frozen
class Resync(Command):
    """What the ledger shows of a lane: done windows that it should show and does not are undone.

    The jobs that are about them want them again.
    """

    target: SeriesLane
    covered: tuple[Window, ...]
    """What the ledger covers, and where nothing trades; read after the mark that `judged` is
    from."""

    judged: int
    """What passed of the chunks below this offset is visible: the conform watermark of the
    visible mark of the series' partition."""


@frozen
class AdminCommand(Command):
    """A change that a person makes, knowing what stands: refused with CONFLICT if that differs."""

    reason: str
    """Why, for the audit."""


@frozen
class Revoke(AdminCommand):
    """Take a lease away; its window is free at once and no attempt is counted."""

    token: int
    window: Window
    """The lease's window as its state shows it."""


@frozen
class WindowCommand(AdminCommand):
    """A change to a window of a lane."""

    target: SeriesLane
    window: Window
    token: int
    """The window's version: the highest token of what overlaps it, leased, waiting for a retry or
    given up; 0: nothing does."""


@frozen
class Requeue(WindowCommand):
    """What waits for a retry inside the window is due now, its attempts forgotten."""


@frozen
class Unpoison(WindowCommand):
    """What was given up inside the window is tried afresh for the jobs that still want it."""


@frozen
class ForceComplete(WindowCommand):
    """The window is done because somebody says so; leases on it end."""

    evidence: str
    """How that is known."""


@frozen
class LaneCommand(AdminCommand):
    """A change to the rule of a lane."""

    target: SeriesLane
    version: int
    """Version of the rule that stands; 0: the lane has none of its own."""


@frozen
class PauseLane(LaneCommand):
    """Grant nothing of the lane; leases in force go on."""


@frozen
class ResumeLane(LaneCommand):
    """Grant again, even if the lane's source has asked for a pause."""


@frozen
class SetPolicy(LaneCommand):
    """Choose which window of the lane is granted next."""

    policy: Policy


@frozen
class BumpEpoch(AdminCommand):
    """Begin an epoch after a restore: every token from now on is above all that went before.

    Leases in force end: what they were about may have been granted again in what was lost.
    """

    epoch: int
    expected: int
    """The epoch that stands."""


@frozen
class Configure(AdminCommand):
    """From now on these rules hold, for all nodes at the same place in the log.

    Leases in force keep their end until they are renewed, and are watched for progress anew.
    """

    config: MachineConfig
    """All of them."""

    version: int
    """Version of the rules that stand."""


AnyCommand: TypeAlias = (
    Tick
    | Barrier
    | OpenSession
    | KeepSession
    | CloseSession
    | SubmitJob
    | CancelJob
    | QueryJob
    | Acquire
    | ClaimWindow
    | EndClaim
    | Renew
    | Progress
    | Complete
    | Fail
    | Release
    | Resync
    | Revoke
    | Requeue
    | Unpoison
    | ForceComplete
    | PauseLane
    | ResumeLane
    | SetPolicy
    | BumpEpoch
    | Configure
)
