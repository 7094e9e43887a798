"""A machine on a bench: the noise of commands, so that a test reads as what happens."""

from bars.series import Series
from bars.window import Grid, Window
from coordinator.machine import (
    Acquire,
    AnyCommand,
    CancelJob,
    Code,
    Complete,
    Event,
    Fail,
    JobSpec,
    JobState,
    Lease,
    MachineConfig,
    OpenSession,
    Policy,
    Progress,
    QueryJob,
    Renew,
    Reply,
    SeriesLane,
    SetPolicy,
    StaleClaim,
    StaleKind,
    SubmitJob,
    Tick,
    apply,
    initial,
)

BARS = 10


def target(node: str = "n", lane: str = "bf:s") -> SeriesLane:
    """Return a lane of a series with bars of one second."""
    return SeriesLane(Series(node, 1), lane)


def spec(
    job_id: str, start: int, end: int, *, node: str = "n", priority: int = 0, refetch: bool = False
) -> JobSpec:
    """Return a job for all of `[start, end)`, in windows of 10 bars."""
    return JobSpec(
        job_id=job_id,
        target=target(node),
        window=Window(start, end),
        missing=(Window(start, end),),
        grid=Grid(1),
        window_bars=BARS,
        priority=priority,
        refetch=refetch,
    )


class Bench:
    """A machine with one session `w` open."""

    def __init__(
        self,
        config: MachineConfig | None = None,
        *,
        epoch: int = 1,
        session_ttl_ms: int = 3_600_000,
    ) -> None:
        self.config = config or MachineConfig()
        self.state = initial(epoch, self.config)
        self.events: list[Event] = []
        self.open("w", ttl_ms=session_ttl_ms)

    def do(self, command: AnyCommand) -> Reply:
        applied = apply(self.state, command)
        self.state = applied.state
        self.events.extend(applied.events)
        return applied.reply

    def pass_ms(self, elapsed_ms: int) -> None:
        self.do(Tick(elapsed_ms=elapsed_ms))

    def open(self, session: str, *, ttl_ms: int = 3_600_000) -> None:
        assert self.do(OpenSession(session_id=session, ttl_ms=ttl_ms)).code is Code.OK

    def submit(self, job: JobSpec) -> JobState:
        reply = self.do(SubmitJob(spec=job))
        assert reply.code is Code.OK, reply
        assert reply.job is not None
        return reply.job

    def cancel(self, job_id: str) -> Reply:
        return self.do(CancelJob(job_id=job_id))

    def job(self, job_id: str) -> JobState:
        reply = self.do(QueryJob(job_id=job_id))
        assert reply.job is not None
        return reply.job

    def acquire_reply(self, session: str = "w", limit: int = 1) -> Reply:
        return self.do(Acquire(session_id=session, limit=limit))

    def acquire(self, session: str = "w", limit: int = 1) -> tuple[Lease, ...]:
        reply = self.acquire_reply(session, limit)
        assert reply.code is Code.OK
        return reply.leases

    def grant(self, session: str = "w") -> Lease:
        (lease,) = self.acquire(session)
        return lease

    def complete(
        self, lease: Lease, *, chunk_offset: int = -1, session_bars: int | None = None
    ) -> Reply:
        return self.do(
            Complete(
                session_id=lease.session_id,
                token=lease.token,
                chunk_offset=chunk_offset,
                session_bars=session_bars,
            )
        )

    def progress(
        self, lease: Lease, *parts: tuple[int, int], session_bars: int | None = None
    ) -> Reply:
        return self.do(
            Progress(
                session_id=lease.session_id,
                token=lease.token,
                done=tuple(Window(*part) for part in parts),
                session_bars=session_bars,
            )
        )

    def renew(self, lease: Lease, *, published: bool = False) -> Reply:
        return self.do(Renew(session_id=lease.session_id, token=lease.token, published=published))

    def set_policy(self, policy: Policy, *, node: str = "n", version: int = 0) -> Reply:
        return self.do(
            SetPolicy(target=target(node), version=version, policy=policy, reason="a test")
        )

    def stale(self) -> list[tuple[StaleKind, int]]:
        """Return the stale claims so far."""
        return [(e.kind, e.token) for e in self.events if isinstance(e, StaleClaim)]

    def complete_next(self) -> Lease:
        lease = self.grant()
        assert self.complete(lease).code is Code.OK
        return lease

    def fail(
        self,
        lease: Lease,
        *,
        error_class: str = "source",
        message: str = "",
        retriable: bool = True,
        divisible: bool = True,
        rate_limited: bool = False,
        retry_after_ms: int = 0,
        chunk_offset: int = -1,
    ) -> Reply:
        return self.do(
            Fail(
                session_id=lease.session_id,
                token=lease.token,
                error_class=error_class,
                message=message,
                retriable=retriable,
                divisible=divisible,
                rate_limited=rate_limited,
                retry_after_ms=retry_after_ms,
                chunk_offset=chunk_offset,
            )
        )

    def ms_until_grantable(self) -> int:
        """Pass time as the machine says, until it would grant something; return how much."""
        passed_ms = 0
        for _ in range(10):
            peek = apply(self.state, Acquire(session_id="w")).reply
            if peek.leases:
                return passed_ms
            assert peek.wait_ms is not None
            self.pass_ms(peek.wait_ms)
            passed_ms += peek.wait_ms
        raise AssertionError("the machine wakes its callers for nothing")
