"""Stale claims: four kinds, each counted once where it is found."""

import pytest

from coordinator.machine import (
    Code,
    LeaseEnd,
    MachineConfig,
    Release,
    Revoke,
    StaleClaim,
    StaleKind,
)
from tests.unit.machine_help import Bench, spec, target

TTL_MS = MachineConfig().lease_ttl_ms


def test_a_lease_that_nobody_renews_is_expired() -> None:
    bench = Bench()
    bench.submit(spec("job", 0, 10))
    lease = bench.grant()
    bench.pass_ms(TTL_MS)
    assert bench.stale() == [(StaleKind.EXPIRED, lease.token)]


def test_the_leases_of_a_session_that_is_silent_are_orphaned_at_once() -> None:
    bench = Bench(session_ttl_ms=10_000)
    bench.submit(spec("job", 0, 20))
    leases = bench.acquire(limit=2)
    bench.pass_ms(10_000)
    assert bench.stale() == [(StaleKind.ORPHANED, lease.token) for lease in leases]


def test_a_lease_that_is_renewed_without_progress_for_three_lives_is_stalled() -> None:
    bench = Bench()
    bench.submit(spec("job", 0, 10))
    lease = bench.grant()
    for _ in range(5):
        bench.pass_ms(TTL_MS // 2)
        assert bench.renew(lease).code is Code.OK
    bench.pass_ms(TTL_MS // 2)
    assert bench.stale() == [(StaleKind.STALLED, lease.token)]
    reply = bench.renew(lease)
    assert (reply.code, reply.end) == (Code.LATE, LeaseEnd.STALLED)
    assert bench.grant().attempts == 1, "it counts as an attempt"


def test_progress_begins_the_three_lives_anew() -> None:
    bench = Bench()
    bench.submit(spec("job", 0, 10))
    lease = bench.grant()
    for done in range(1, 10):
        bench.pass_ms(TTL_MS - 1)
        bench.renew(lease)
        bench.progress(lease, (0, done))
    assert bench.stale() == []


def test_progress_that_brings_nothing_new_is_none() -> None:
    bench = Bench()
    bench.submit(spec("job", 0, 10))
    lease = bench.grant()
    for _ in range(5):
        bench.pass_ms(TTL_MS - 1)
        bench.renew(lease)
        bench.progress(lease, (0, 1))
    assert bench.stale()[0] == (StaleKind.STALLED, lease.token)


def test_a_holder_that_waits_for_a_verdict_is_not_stalled() -> None:
    """An outage behind the holder, of the judge or of the store, is none of its fault."""
    bench = Bench()
    bench.submit(spec("job", 0, 10))
    lease = bench.grant()
    for _ in range(20):
        bench.pass_ms(TTL_MS - 1)
        assert bench.renew(lease, published=True).code is Code.OK
    assert bench.stale() == []


@pytest.mark.parametrize("end", ["expired", "revoked", "forgotten"])
def test_a_holder_that_comes_after_its_lease_was_lost_is_late(end: str) -> None:
    bench = Bench(MachineConfig(ended_max=1))
    bench.submit(spec("job", 0, 20))
    lease = bench.grant()
    if end == "revoked":
        bench.do(Revoke(token=lease.token, window=lease.window, reason="hangs"))
    else:
        bench.pass_ms(TTL_MS)
    if end == "forgotten":
        bench.complete_next()
    bench.events.clear()
    bench.do(Release(session_id="w", token=lease.token))
    (claim,) = (event for event in bench.events if isinstance(event, StaleClaim))
    assert (claim.kind, claim.token, claim.session_id) == (StaleKind.LATE, lease.token, "w")
    assert claim.target == (None if end == "forgotten" else target())


@pytest.mark.parametrize("end", ["completed", "cancelled", "never granted"])
def test_who_repeats_itself_or_was_cancelled_is_not_stale(end: str) -> None:
    bench = Bench()
    bench.submit(spec("job", 0, 10))
    lease = bench.grant()
    if end == "completed":
        bench.complete(lease)
    elif end == "cancelled":
        bench.cancel("job")
    token = lease.token + (end == "never granted")
    bench.do(Release(session_id="w", token=token))
    assert bench.stale() == []
