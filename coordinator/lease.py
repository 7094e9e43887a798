"""A lease as its holder sees it: how long it may write, when to renew."""

from dataclasses import dataclass

from bars.errors import InvalidValueError
from bars.window import Window, subtract
from coordinator.machine.state import Lease
from coordinator.machine.values import SeriesLane

STOP_BEFORE_S = 5.0
"""A holder stops at least so long before the end."""

STOP_BEFORE_RATIO = 0.1
"""And at least this share of the life before it: two clocks may differ in rate by some percent."""

RENEWALS_A_LIFE = 4
"""Renewals are due at every quarter, so three may be lost."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldLease:
    """The right to fetch one window, with its end by the holder's own clock."""

    token: int
    """Fencing token: goes with everything that is published under the lease."""

    session_id: str
    target: SeriesLane
    window: Window
    job_ids: tuple[str, ...]
    """The jobs that wanted it when it was granted, in order of submission."""

    attempts: int
    """Fetches of the window that failed before."""

    ttl_ms: int
    """Life of the lease from when it was asked for."""

    asked_s: float
    """When it was asked for, or last renewed, by the holder's monotonic clock."""

    done: tuple[Window, ...] = ()
    """Parts of the window that are done already, ascending."""

    @property
    def left(self) -> tuple[Window, ...]:
        """What is still to be done, ascending; empty: the lease is complete."""
        return subtract((self.window,), self.done)

    @property
    def renew_s(self) -> float:
        """When to renew, monotonic."""
        return self.asked_s + self.ttl_ms / 1_000 / RENEWALS_A_LIFE

    @property
    def stop_s(self) -> float:
        """From when on nothing may be published under it, monotonic."""
        return stop_s(self.asked_s, self.ttl_ms)


@dataclass(frozen=True, slots=True, kw_only=True)
class Brought:
    """What a holder tells of something that is done."""

    chunk_offset: int = -1
    """Where the last chunk stands that was published for it, in the partition of the series; -1:
    there was nothing to publish, because nothing trades in it."""

    session_bars: int | None = None
    """Bars that there should be in it; None: as many as slots of the grid."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LeaseFailure:
    """Why a window could not be fetched."""

    error_class: str
    """A word for programs."""

    message: str = ""
    """For people."""

    retriable: bool = True
    """False: give the window up at once."""

    divisible: bool = True
    """Whether a part of the window might succeed: then its halves are tried when it has failed
    as often as it may."""

    rate_limited: bool = False
    """The source asked for a pause: counts as no attempt."""

    retry_after_s: float = 0.0
    """The pause it asked for."""

    chunk_partition: int = -1
    """Where the chunk stands that was published for it, -1 without one."""

    chunk_offset: int = -1
    """The same."""


def stop_s(asked_s: float, ttl_ms: int) -> float:
    """Return from when on nothing may be published under a lease that was asked for then."""
    ttl_s = ttl_ms / 1_000
    return asked_s + ttl_s - max(STOP_BEFORE_S, ttl_s * STOP_BEFORE_RATIO)


def held(lease: Lease, ttl_ms: int, asked_s: float) -> HeldLease:
    """Return a grant as its holder sees it."""
    return HeldLease(
        token=lease.token,
        session_id=lease.session_id,
        target=lease.target,
        window=lease.window,
        job_ids=lease.job_ids,
        attempts=lease.attempts,
        ttl_ms=ttl_ms,
        asked_s=asked_s,
        done=lease.done,
    )


def check_ttl_ms(ttl_ms: int, field: str = "lease_ttl_ms") -> int:
    """Return a life that leaves its holder time to write.

    Raises:
        InvalidValueError: It is no longer than the time that a holder stops before its end.
    """
    least = int(STOP_BEFORE_S * 1_000)
    if ttl_ms <= least:
        raise InvalidValueError(field, ttl_ms, f"above {least}: holders stop so long before it")
    return ttl_ms
