"""The lease service inside the process that uses it: the machine, a clock, and waiting."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from random import Random

from bars.window import Window
from coordinator import machine
from coordinator._answers import in_force, in_session, job_of, obeyed
from coordinator.lease import Brought, HeldLease, LeaseFailure, check_ttl_ms, held
from coordinator.machine import Code, JobSpec, JobState, MachineConfig, Reply, SeriesLane
from runtime.clock import Clock


class LocalCoordinator:
    """A `LeaseClient` over one machine in memory; what it knows ends with the process.

    Not for several processes, nor for several threads.
    """

    def __init__(
        self, clock: Clock, epoch: int, rng: Random, config: MachineConfig | None = None
    ) -> None:
        """Start an empty machine.

        Args:
            clock: Measures the time between commands; wall time is not read.
            epoch: Above the epoch of every token that may still be around.
            rng: Draws the random part of waits.
            config: Lives, retries, limits.
        """
        config = config or MachineConfig()
        check_ttl_ms(config.lease_ttl_ms)
        self._clock = clock
        self._rng = rng
        self._state = machine.initial(epoch, config)
        self._told_ms = self._now_ms()
        self._changed = asyncio.Condition()
        self._changes = 0

    @property
    def state(self) -> machine.State:
        """The machine's state, for whoever wants to look."""
        return self._state

    async def open_session(self, session_id: str, ttl_ms: int) -> None:
        """Say that a worker lives, for `ttl_ms` from now.

        Raises:
            CommandRefusedError: A value is not allowed.
        """
        obeyed(
            await self._apply(
                machine.OpenSession(
                    session_id=session_id, ttl_ms=ttl_ms, elapsed_ms=self._elapsed_ms()
                )
            )
        )

    async def keep_session(self, session_id: str) -> None:
        """Say that the worker still lives.

        Raises:
            SessionLostError: It has been silent for too long.
        """
        command = machine.KeepSession(session_id=session_id, elapsed_ms=self._elapsed_ms())
        in_session(await self._apply(command), session_id)

    async def close_session(self, session_id: str) -> None:
        """Give back all leases of a worker that goes; a session that is gone already is fine."""
        await self._apply(
            machine.CloseSession(session_id=session_id, elapsed_ms=self._elapsed_ms())
        )

    async def submit_job(self, spec: JobSpec) -> JobState:
        """Ask for a range; asking again with the same id and values changes nothing.

        Raises:
            CommandRefusedError: A value is not allowed, a limit is reached, or the id belongs
                to another job.
        """
        command = machine.SubmitJob(spec=spec, elapsed_ms=self._elapsed_ms())
        return job_of(await self._apply(command))

    async def cancel_job(self, job_id: str) -> None:
        """Take a job back, finished or not: what no other job wants ends. Unknown is fine."""
        await self._apply(machine.CancelJob(job_id=job_id, elapsed_ms=self._elapsed_ms()))

    async def job(self, job_id: str) -> JobState | None:
        """Return how far a job is; None when it is not known."""
        command = machine.QueryJob(job_id=job_id, elapsed_ms=self._elapsed_ms())
        reply = await self._apply(command)
        return None if reply.code is Code.UNKNOWN_JOB else job_of(reply)

    async def resync(self, target: SeriesLane, covered: Sequence[Window], judged: int) -> None:
        """Tell what the ledger shows of a lane; what is done and should be there is undone."""
        command = machine.Resync(
            target=target, covered=tuple(covered), judged=judged, elapsed_ms=self._elapsed_ms()
        )
        obeyed(await self._apply(command))

    async def acquire(
        self, session_id: str, limit: int, wait_s: float = 0.0, *, lanes: Sequence[str] = ()
    ) -> tuple[HeldLease, ...]:
        """Take up to `limit` windows, of some lanes or of any, waiting `wait_s` for the first.

        Raises:
            SessionLostError: The session has expired.
        """
        until_s = self._clock.monotonic() + wait_s
        while True:
            asked_s = self._clock.monotonic()
            before = self._state
            command = machine.Acquire(
                session_id=session_id,
                limit=limit,
                lanes=tuple(lanes),
                elapsed_ms=self._elapsed_ms(),
            )
            reply = await self._apply(command)
            in_session(reply, session_id)
            seen = self._changes
            left_s = until_s - self._clock.monotonic()
            if reply.leases or left_s <= 0:
                ttl_ms = before.config.lease_ttl_ms
                return tuple(held(lease, ttl_ms, asked_s) for lease in reply.leases)
            due_s = left_s if reply.wait_ms is None else (reply.wait_ms + 1) / 1_000
            await self._until_changed(seen, min(left_s, due_s))

    async def renew(self, lease: HeldLease, *, published: bool = False) -> HeldLease:
        """Return the lease with another life.

        Raises:
            LeaseLostError: It is no longer in force.
        """
        asked_s = self._clock.monotonic()
        command = machine.Renew(
            session_id=lease.session_id,
            token=lease.token,
            published=published,
            elapsed_ms=self._elapsed_ms(),
        )
        in_force(await self._apply(command), lease.token)
        return replace(lease, asked_s=asked_s)

    async def progress(
        self, lease: HeldLease, done: tuple[Window, ...], brought: Brought | None = None
    ) -> HeldLease:
        """Tell that parts of the window are done; return the lease with what is left of it.

        Raises:
            LeaseLostError: It is no longer in force; nothing was changed.
            CommandRefusedError: `done` is not inside the window.
        """
        brought = brought or Brought()
        command = machine.Progress(
            session_id=lease.session_id,
            token=lease.token,
            done=done,
            chunk_offset=brought.chunk_offset,
            session_bars=brought.session_bars,
            elapsed_ms=self._elapsed_ms(),
        )
        reply = obeyed(in_force(await self._apply(command), lease.token))
        return replace(lease, done=reply.leases[0].done if reply.leases else (lease.window,))

    async def complete(self, lease: HeldLease, brought: Brought | None = None) -> None:
        """Tell that the verdict on the window's last chunk is committed.

        Raises:
            LeaseLostError: It is no longer in force; nothing was changed.
        """
        brought = brought or Brought()
        command = machine.Complete(
            session_id=lease.session_id,
            token=lease.token,
            chunk_offset=brought.chunk_offset,
            session_bars=brought.session_bars,
            elapsed_ms=self._elapsed_ms(),
        )
        in_force(await self._apply(command), lease.token)

    async def fail(self, lease: HeldLease, failure: LeaseFailure) -> bool:
        """Tell that the window could not be fetched; return whether it will be tried again.

        Raises:
            LeaseLostError: The lease is no longer in force; nothing was changed.
        """
        command = machine.Fail(
            session_id=lease.session_id,
            token=lease.token,
            error_class=failure.error_class,
            message=failure.message,
            retriable=failure.retriable,
            divisible=failure.divisible,
            rate_limited=failure.rate_limited,
            retry_after_ms=int(failure.retry_after_s * 1_000),
            chance_ppm=int(self._rng.random() * machine.PPM),
            chunk_partition=failure.chunk_partition,
            chunk_offset=failure.chunk_offset,
            elapsed_ms=self._elapsed_ms(),
        )
        return in_force(await self._apply(command), lease.token).code is Code.RETRY_LATER

    async def release(self, lease: HeldLease) -> None:
        """Give a window back untried; a lease that has ended already is fine."""
        await self._apply(
            machine.Release(
                session_id=lease.session_id, token=lease.token, elapsed_ms=self._elapsed_ms()
            )
        )

    async def _apply(self, command: machine.AnyCommand) -> Reply:
        applied = machine.apply(self._state, command)
        self._state = applied.state
        if applied.events or not isinstance(command, machine.Acquire):
            self._changes += 1
            async with self._changed:
                self._changed.notify_all()
        return applied.reply

    async def _until_changed(self, seen: int, seconds: float) -> None:
        """Return when another command may have put something into the queue, or time is up."""
        change = asyncio.ensure_future(self._change_after(seen))
        alarm = asyncio.ensure_future(self._clock.sleep(seconds))
        try:
            await asyncio.wait((change, alarm), return_when=asyncio.FIRST_COMPLETED)
        finally:
            change.cancel()
            alarm.cancel()
            await asyncio.wait((change, alarm))

    async def _change_after(self, seen: int) -> None:
        async with self._changed:
            await self._changed.wait_for(lambda: self._changes != seen)

    def _now_ms(self) -> int:
        return int(self._clock.monotonic() * 1_000)

    def _elapsed_ms(self) -> int:
        now_ms = self._now_ms()
        elapsed_ms, self._told_ms = now_ms - self._told_ms, now_ms
        return elapsed_ms
