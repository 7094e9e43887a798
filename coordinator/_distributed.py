"""The lease service over HTTP: a `LeaseClient` that finds the leader by itself."""

from collections.abc import Sequence
from dataclasses import replace
from types import TracebackType
from typing import Self, overload

from bars.errors import InvalidValueError
from bars.window import Window
from coordinator import machine
from coordinator._answers import in_force, in_session, job_of, obeyed
from coordinator._claims import Claim, Claims
from coordinator._cluster import Cluster, Told
from coordinator._http import ClientOptions, open_http
from coordinator.errors import CommandRefusedError, CoordinatorUnavailableError
from coordinator.lease import Brought, HeldLease, LeaseFailure, held
from coordinator.machine import Code, JobSpec, JobState, Lease, Reply, SeriesLane, wire
from coordinator.machine.values import MESSAGE_CHARS_MAX, NAME_CHARS_MAX

WAIT_MAX_S = 10.0
"""One question for leases waits no longer; a longer wait is several."""

CLOCK_RATE = 0.95
"""What a second of somebody else's clock is worth at least."""


class DistributedBackfillCoordinator:
    """Leases from the replicated service.

    Every change carries a key and is repeated with the same one until it is answered or its time
    is up: it happens once. When the time is up, `CoordinatorUnavailableError` says that nothing
    is known; a lease that somebody else holds is never told that way.
    """

    def __init__(self, urls: str | Sequence[str], options: ClientOptions | None = None) -> None:
        """Ask the nodes of a service; nothing is sent before the first call.

        Args:
            urls: API address of each node, in any order; one may stand alone.
            options: Token, trust, patience.
        """
        options = options or ClientOptions()
        self._clock = options.clock
        self._budget = options.budget
        self._http = open_http(options)
        self._cluster = Cluster(urls, self._http, options.clock, options.rng)
        self._claims = Claims(self._cluster, options.budget)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    # Sessions and jobs

    async def open_session(self, session_id: str, ttl_ms: int) -> None:
        """Say that a worker lives, for `ttl_ms` from now.

        Raises:
            CommandRefusedError: A value is not allowed.
        """
        command = machine.OpenSession(session_id=session_id, ttl_ms=ttl_ms)
        obeyed(await self._command("/v1/sessions", command))

    async def keep_session(self, session_id: str) -> None:
        """Say that the worker still lives.

        Raises:
            SessionLostError: It has been silent for too long.
        """
        command = machine.KeepSession(session_id=session_id)
        in_session(await self._command("/v1/sessions:keep", command), session_id)

    async def close_session(self, session_id: str) -> None:
        """Give back all leases of a worker that goes; a session that is gone already is fine."""
        await self._command("/v1/sessions:close", machine.CloseSession(session_id=session_id))

    async def submit_job(self, spec: JobSpec) -> JobState:
        """Ask for a range; asking again with the same id and values changes nothing.

        Raises:
            CommandRefusedError: A value is not allowed, a limit is reached, or the id belongs
                to another job.
        """
        return job_of(await self._command("/v1/jobs", machine.SubmitJob(spec=spec)))

    async def cancel_job(self, job_id: str) -> None:
        """Take a job back, finished or not: what no other job wants ends. Unknown is fine."""
        await self._command("/v1/jobs:cancel", machine.CancelJob(job_id=job_id))

    async def job(self, job_id: str) -> JobState | None:
        """Return how far a job is; None when it is not known."""
        told = await self._cluster.read("/v1/jobs", {"job_id": job_id}, self._budget)
        reply = _reply(told)
        return None if reply.code is Code.UNKNOWN_JOB else job_of(reply)

    async def resync(self, target: SeriesLane, covered: Sequence[Window], judged: int) -> None:
        """Tell what the ledger shows of a lane; what is done and should be there is undone.

        Args:
            target: The lane.
            covered: What the ledger covers, and where nothing trades.
            judged: What passed of the chunks below this offset is visible.
        """
        command = machine.Resync(target=target, covered=tuple(covered), judged=judged)
        obeyed(await self._command("/v1/lanes:resync", command))

    async def raise_epoch(self, above_token: int) -> int:
        """See to it that every token from now on is above one; return the epoch.

        A service that was made anew knows nothing of the tokens that are in the ledger. Who has
        read the ledger says so before the first lease; nothing happens when it is so already.
        """
        body = {"above_token": above_token}
        told = await self._cluster.change("/v1/epoch", body, self._budget)
        obeyed(_reply(told))
        return int(told.document["epoch"])

    # Leases

    async def acquire(
        self, session_id: str, limit: int, wait_s: float = 0.0, *, lanes: Sequence[str] = ()
    ) -> tuple[HeldLease, ...]:
        """Take up to `limit` windows, of some lanes or of any, waiting `wait_s` for the first.

        Raises:
            SessionLostError: The session has expired.
        """
        until_s = self._clock.monotonic() + wait_s
        command = machine.Acquire(session_id=session_id, limit=limit, lanes=tuple(lanes))
        while True:
            left_s = max(0.0, until_s - self._clock.monotonic())
            told = await self._ask_for_leases(command, min(left_s, WAIT_MAX_S))
            reply = in_session(_reply(told), session_id)
            if reply.leases or self._clock.monotonic() >= until_s:
                asked_s = _asked_s(told)
                return tuple(held(lease, _ttl_ms(lease), asked_s) for lease in reply.leases)

    async def _ask_for_leases(self, command: machine.Acquire, wait_s: float) -> Told:
        """Ask once; who gets no answer asks for that answer, and waits no more."""
        patient = replace(
            self._budget,
            whole_s=self._budget.whole_s + wait_s,
            attempt_s=self._budget.attempt_s + wait_s,
        )
        body = _body(command)
        waiting = {**body, "wait_s": wait_s} if wait_s > 0 else body
        return await self._cluster.change("/v1/leases:acquire", waiting, patient, again=body)

    async def renew(self, lease: HeldLease, *, published: bool = False) -> HeldLease:
        """Return the lease with another life.

        Args:
            lease: The lease.
            published: Whether the source has answered: broker and verdict are waited for.

        Raises:
            LeaseLostError: It is no longer in force.
        """
        command = machine.Renew(session_id=lease.session_id, token=lease.token, published=published)
        told = await self._cluster.change("/v1/leases:renew", _body(command), self._budget)
        reply = obeyed(in_force(_reply(told), lease.token))
        return replace(lease, asked_s=told.asked_s, ttl_ms=_life_ms(reply, told, lease.ttl_ms))

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
        )
        answer = await self._command("/v1/leases:progress", command)
        reply = obeyed(in_force(answer, lease.token))
        return replace(lease, done=reply.leases[0].done if reply.leases else (lease.window,))

    @overload
    async def complete(self, lease: HeldLease, brought: Brought | None = None) -> None: ...
    @overload
    async def complete(self, lease: Claim) -> None: ...
    async def complete(self, lease: HeldLease | Claim, brought: Brought | None = None) -> None:
        """Tell that the verdict on the window's last chunk is committed, or that a claim is done.

        Raises:
            LeaseLostError: The lease is no longer in force; nothing was changed.
        """
        if isinstance(lease, Claim):
            await self._claims.complete(lease)
            return
        brought = brought or Brought()
        command = machine.Complete(
            session_id=lease.session_id,
            token=lease.token,
            chunk_offset=brought.chunk_offset,
            session_bars=brought.session_bars,
        )
        obeyed(in_force(await self._command("/v1/leases:complete", command), lease.token))

    @overload
    async def fail(self, lease: HeldLease, failure: LeaseFailure) -> bool: ...
    @overload
    async def fail(self, lease: Claim, failure: str) -> bool: ...
    async def fail(self, lease: HeldLease | Claim, failure: LeaseFailure | str) -> bool:
        """Tell that the window could not be fetched; return whether it will be tried again.

        Raises:
            LeaseLostError: The lease is no longer in force; nothing was changed.
        """
        if isinstance(lease, Claim):
            await self._claims.fail(lease, str(failure))
            return True
        assert isinstance(failure, LeaseFailure)  # noqa: S101  # as the overloads say
        command = machine.Fail(
            session_id=lease.session_id,
            token=lease.token,
            error_class=failure.error_class[:NAME_CHARS_MAX],
            message=failure.message[:MESSAGE_CHARS_MAX],
            retriable=failure.retriable,
            divisible=failure.divisible,
            rate_limited=failure.rate_limited,
            retry_after_ms=int(failure.retry_after_s * 1_000),
            chunk_partition=failure.chunk_partition,
            chunk_offset=failure.chunk_offset,
        )
        reply = in_force(await self._command("/v1/leases:fail", command), lease.token)
        if reply.code not in {Code.RETRY_LATER, Code.GIVEN_UP}:
            raise CommandRefusedError(reply.code.value, reply.why)
        return reply.code is Code.RETRY_LATER

    async def release(self, lease: HeldLease) -> None:
        """Give a window back untried; a lease that has ended already is fine."""
        command = machine.Release(session_id=lease.session_id, token=lease.token)
        await self._command("/v1/leases:release", command)

    async def claim(self, key: str, lease_ms: int) -> Claim | None:
        """Return the right to a key, or None when somebody else has it.

        Args:
            key: `node:interval:start:end:world:as_of`.
            lease_ms: How long it lasts.
        """
        return await self._claims.claim(key, lease_ms)

    async def keep(self, claim: Claim) -> None:
        """Let a claim live on, for as long as it was claimed for.

        Raises:
            LeaseLostError: It has ended; somebody else may have the key.
        """
        await self._claims.keep(claim)

    async def _command(self, path: str, command: machine.AnyCommand) -> Reply:
        return _reply(await self._cluster.change(path, _body(command), self._budget))


def _body(command: machine.AnyCommand) -> dict[str, object]:
    return {name: value for name, value in wire.command_document(command).items() if name != "op"}


def _reply(told: Told) -> Reply:
    try:
        return wire.reply_of(told.document["reply"], "reply")
    except (KeyError, InvalidValueError) as error:
        reason = f"status {told.status} without a reply that this program knows: {error}"
        raise CoordinatorUnavailableError(reason) from None


def _asked_s(told: Told) -> float:
    """Return from when on the life of what was granted counts.

    The node that granted has measured how long it waited before it asked its log: only what came
    after that may be part of the lease's life. Of an answer that may be to an earlier attempt
    nothing of the kind is known.
    """
    waited_ms = told.document.get("waited_ms", 0)
    if told.attempts > 1 or not isinstance(waited_ms, int):
        return told.asked_s
    return told.asked_s + waited_ms / 1_000 * CLOCK_RATE


def _life_ms(reply: Reply, told: Told, known_ms: int) -> int:
    """Return the life that a renewal gave, which differs when the service was configured anew.

    An answer that was given before and is told again shows less of it, never more.
    """
    clock_ms = told.document.get("clock_ms")
    if not reply.leases or not isinstance(clock_ms, int):
        return known_ms
    return max(0, reply.leases[0].expires_ms - clock_ms)


def _ttl_ms(lease: Lease) -> int:
    return lease.expires_ms - lease.granted_ms
