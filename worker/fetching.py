"""Takes leases, keeps them alive, and has a bounded number of windows worked on."""

import asyncio
from dataclasses import dataclass

from coordinator.client import (
    CoordinatorUnavailableError,
    HeldLease,
    LeaseEnd,
    LeaseLostError,
    SeriesLane,
    SessionLostError,
)
from runtime.log import logger
from worker.waiting import until_set
from worker.windows import Means, WindowWork

CLOSE_S = 5.0
"""A worker that goes waits no longer for the lease service: its session ends without it too."""

HELD_PER_FETCH = 8
"""Leases held for each window that is fetched at a time: most of them wait for a verdict."""

ACQUIRE_WAIT_S = 5.0

SHY_PAUSE_S = 0.7

LOOKS_A_LIFE = 16
"""How often in the life of a lease somebody looks whether it has to be renewed."""

SESSION_MS_MAX = 3_600_000

_log = logger(__name__)


@dataclass(slots=True, eq=False)
class _Held:
    """A lease and the task that works under it."""

    lease: HeldLease
    asking: bool = True
    """Whether it counts against the windows that are fetched at a time."""

    doubtful: bool = False
    """Whether it may have ended: then it is renewed at once."""

    lost: LeaseLostError | None = None
    task: asyncio.Task[None] | None = None


class Fetcher:
    """Works off the lease service's queue."""

    def __init__(self, means: Means, session_id: str) -> None:
        self._means = means
        self._work = WindowWork(means)
        self._session_id = session_id
        self._held: set[_Held] = set()
        self._room = asyncio.Event()
        self._doubt = asyncio.Event()

    @property
    def held(self) -> int:
        """How many leases are held."""
        return len(self._held)

    def look_after(self, target: SeriesLane) -> None:
        """Find out at once which leases of a lane are still in force."""
        for held in self._held:
            held.doubtful |= held.lease.target == target
        self._doubt.set()

    async def run(self) -> None:
        """Take leases and work under them until cancelled; then give all of them back."""
        await self._open_session()
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._keep(), name="leases are kept")
                group.create_task(self._take(group), name="leases are taken")
        finally:
            await self._close_session()

    async def _take(self, group: asyncio.TaskGroup) -> None:
        most = self._means.max_concurrent_requests
        while True:
            room = min(
                most - sum(held.asking for held in self._held),
                most * HELD_PER_FETCH - len(self._held),
            )
            if room <= 0:
                self._room.clear()
                await self._room.wait()
                continue
            for lease in await self._acquire(room):
                held = _Held(lease)
                self._held.add(held)
                held.task = group.create_task(self._under(held), name=f"window {lease.window}")

    async def _acquire(self, limit: int) -> tuple[HeldLease, ...]:
        clock = self._means.clock
        shy = clock.monotonic() < self._work.shy_until_s
        if shy:
            await clock.sleep(SHY_PAUSE_S)

        async def acquire() -> tuple[HeldLease, ...]:
            # Who waits is served first, so who does not want to be first does not wait.
            wait_s = 0.0 if shy else ACQUIRE_WAIT_S
            return await self._means.leases.acquire(
                self._session_id, limit, wait_s, lanes=self._means.lanes
            )

        try:
            return await self._means.patience.until_done("acquire leases", acquire)
        except SessionLostError:
            await self._open_session()
            return ()

    async def _under(self, held: _Held) -> None:
        """Work under a lease; that it is lost ends the work and nothing else."""

        def answered() -> None:
            held.asking = False
            self._room.set()

        try:
            await self._work.work(lambda: held.lease, answered)
        except LeaseLostError as error:
            self._tell_lost(held, error)
        except asyncio.CancelledError:
            if held.lost is None:
                raise
            self._tell_lost(held, held.lost)
        finally:
            self._held.discard(held)
            self._room.set()

    def _tell_lost(self, held: _Held, error: LeaseLostError) -> None:
        # Cancelled is ordinary: the request was taken back, or is complete without the window.
        level = _log.info if error.end is LeaseEnd.CANCELLED else _log.warning
        level("lease_lost", window=str(held.lease.window), reason=str(error))
        self._means.metrics.windows.add(state="lost")

    async def _keep(self) -> None:
        """Keep the session and renew what is due."""
        clock = self._means.clock
        while True:
            await until_set(self._doubt, clock, self._means.lease_ttl_ms / 1_000 / LOOKS_A_LIFE)
            self._doubt.clear()
            try:
                await self._means.leases.keep_session(self._session_id)
                for held in tuple(self._held):
                    if held.doubtful or clock.monotonic() >= held.lease.renew_s:
                        await self._renew(held)
            except SessionLostError:
                await self._open_session()
            except CoordinatorUnavailableError as error:
                _log.warning("not_renewed", reason=str(error))

    async def _renew(self, held: _Held) -> None:
        held.doubtful = False
        try:
            held.lease = await self._means.leases.renew(held.lease, published=not held.asking)
        except LeaseLostError as error:
            held.lost = error
            if held.task is not None:
                held.task.cancel()

    async def _close_session(self) -> None:
        try:
            async with asyncio.timeout(CLOSE_S):
                await self._means.leases.close_session(self._session_id)
        except (CoordinatorUnavailableError, TimeoutError) as error:
            _log.warning("session_left_open", session=self._session_id, reason=str(error))

    async def _open_session(self) -> None:
        async def opened() -> None:
            ttl_ms = min(self._means.lease_ttl_ms, SESSION_MS_MAX)
            await self._means.leases.open_session(self._session_id, ttl_ms)

        await self._means.patience.until_done("open a session", opened)
