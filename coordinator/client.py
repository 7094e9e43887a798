"""How leases are asked for: the protocol, what it passes, and its two clients.

`LocalCoordinator` keeps the leases in this process, `DistributedBackfillCoordinator` asks the
replicated service for them.

This module is all that other rooms see of the coordinator. A holder counts the life of its
lease from *before* it asked, so that it stops before the service would give the window away,
however long the answer was under way.
"""

from collections.abc import Sequence
from typing import Protocol

from bars.window import Window
from coordinator._claims import Claim
from coordinator._cluster import Budget
from coordinator._distributed import DistributedBackfillCoordinator
from coordinator._http import ClientOptions
from coordinator._local import LocalCoordinator
from coordinator.configured import machine_config
from coordinator.errors import (
    CommandRefusedError,
    CoordinatorError,
    CoordinatorUnavailableError,
    LeaseLostError,
    SessionLostError,
)
from coordinator.lease import Brought, HeldLease, LeaseFailure, check_ttl_ms, stop_s
from coordinator.machine.values import (
    LANES_MAX,
    PPM,
    PRIORITY_MAX,
    Failure,
    JobSpec,
    JobState,
    LeaseEnd,
    MachineConfig,
    SeriesLane,
    epoch_of,
    token_of,
)

__all__ = [
    "LANES_MAX",
    "PPM",
    "PRIORITY_MAX",
    "Brought",
    "Budget",
    "Claim",
    "ClientOptions",
    "CommandRefusedError",
    "CoordinatorError",
    "CoordinatorUnavailableError",
    "DistributedBackfillCoordinator",
    "Failure",
    "HeldLease",
    "JobSpec",
    "JobState",
    "LeaseClient",
    "LeaseEnd",
    "LeaseFailure",
    "LeaseLostError",
    "LocalCoordinator",
    "MachineConfig",
    "SeriesLane",
    "SessionLostError",
    "check_ttl_ms",
    "epoch_of",
    "machine_config",
    "stop_s",
    "token_of",
]


class LeaseClient(Protocol):
    """What a worker asks of the lease service.

    Every call may raise `CoordinatorUnavailableError`: the service is down, which is not the
    same as a lease that somebody else holds. The outcome is then unknown; each call may be
    repeated.
    """

    async def open_session(self, session_id: str, ttl_ms: int) -> None:
        """Say that a worker lives, for `ttl_ms` from now."""
        ...

    async def keep_session(self, session_id: str) -> None:
        """Say that it still lives; `SessionLostError` when it has been silent for too long."""
        ...

    async def close_session(self, session_id: str) -> None:
        """Give back all leases of a worker that goes."""
        ...

    async def submit_job(self, spec: JobSpec) -> JobState:
        """Ask for a range; asking again with the same id and values changes nothing."""
        ...

    async def cancel_job(self, job_id: str) -> None:
        """Take a job back, finished or not: what no other job wants ends.

        Who submits a job takes it back when nobody waits for it any more. Until then the
        service remembers what was fetched for it.
        """
        ...

    async def job(self, job_id: str) -> JobState | None:
        """Return how far a job is; None when it is not known."""
        ...

    async def resync(self, target: SeriesLane, covered: Sequence[Window], judged: int) -> None:
        """Tell what the ledger shows of a lane; what is done and should be there is undone.

        Args:
            target: The lane.
            covered: What the ledger covers, and whatever else need not be in it.
            judged: What passed of the chunks below this offset was visible when it was read.
        """
        ...

    async def acquire(
        self, session_id: str, limit: int, wait_s: float = 0.0, *, lanes: Sequence[str] = ()
    ) -> tuple[HeldLease, ...]:
        """Take up to `limit` windows, waiting up to `wait_s` for the first.

        Args:
            session_id: Who asks.
            limit: How many at most.
            wait_s: How long.
            lanes: Those that may be granted, for a worker has not every source; empty: any.
        """
        ...

    async def renew(self, lease: HeldLease, *, published: bool = False) -> HeldLease:
        """Return the lease with another life; `LeaseLostError` when it has ended.

        Args:
            lease: The lease.
            published: The source has answered: only the broker and the verdict are waited for. A
                lease that is renewed again and again without that, and without progress, is taken
                away.
        """
        ...

    async def progress(
        self, lease: HeldLease, done: tuple[Window, ...], brought: Brought | None = None
    ) -> HeldLease:
        """Tell that the verdicts on chunks for parts of the window are committed.

        If the lease ends before the rest is done, the next holder gets only the rest. No renewal.

        Returns:
            The lease with what is left of it. If that is nothing the lease is complete.

        Raises:
            LeaseLostError: The lease has ended; nothing was changed.
            CommandRefusedError: `done` is not inside the window.
        """
        ...

    async def complete(self, lease: HeldLease, brought: Brought | None = None) -> None:
        """Tell that the verdict on the window's last chunk is committed: all of it is done.

        `LeaseLostError` when the lease has ended: nothing was changed.
        """
        ...

    async def fail(self, lease: HeldLease, failure: LeaseFailure) -> bool:
        """Tell that the window could not be fetched; return whether it will be tried again."""
        ...

    async def release(self, lease: HeldLease) -> None:
        """Give a window back untried."""
        ...
