"""Everything has a bound, and says so."""

from dataclasses import replace

from coordinator.machine import (
    Acquire,
    Code,
    MachineConfig,
    OpenSession,
    Policy,
    Release,
    SubmitJob,
)
from tests.unit.machine_help import Bench, spec, target


def test_a_job_of_more_windows_than_allowed_is_refused() -> None:
    bench = Bench(MachineConfig(windows_max=3))
    reply = bench.do(SubmitJob(spec=spec("job", 5, 36)))
    assert reply.code is Code.INVALID
    assert reply.message == "missing must be at most 3 windows of window_bars, was 4"
    bench.submit(spec("job", 5, 30))


def test_sessions_are_limited_in_number_and_an_open_one_may_be_opened_again() -> None:
    bench = Bench(MachineConfig(sessions_max=1))
    assert bench.do(OpenSession(session_id="x", ttl_ms=10_000)).code is Code.TOO_MANY
    bench.open("w")


def test_a_session_holds_no_more_leases_than_allowed() -> None:
    bench = Bench(MachineConfig(session_leases_max=2))
    bench.open("other")
    bench.submit(spec("job", 0, 100))
    leases = bench.acquire(limit=9)
    assert len(leases) == 2
    assert bench.acquire() == ()
    assert len(bench.acquire(session="other", limit=1)) == 1
    bench.complete(leases[0])
    assert len(bench.acquire(limit=9)) == 1


def test_a_source_is_asked_no_more_often_at_a_time_than_allowed_by_all_workers_together() -> None:
    bench = Bench(MachineConfig(source_requests_max=3))
    bench.open("other")
    bench.submit(spec("a", 0, 100))
    bench.submit(spec("b", 0, 100, node="other"))
    bench.submit(replace(spec("c", 0, 100), target=target(lane="bf:another")))
    first = bench.acquire(limit=2)
    assert [lease.job_ids for lease in first] == [("a",), ("b",)]
    assert [e.job_ids for e in bench.acquire("other", limit=3)] == [("c",), ("a",), ("c",)]
    bench.do(Release(session_id="w", token=first[0].token))
    assert {e.target.lane for e in bench.acquire("other", limit=9)} == {"bf:s", "bf:another"}


def test_a_holder_that_waits_for_a_verdict_asks_its_source_no_more() -> None:
    bench = Bench(MachineConfig(source_requests_max=1))
    bench.submit(spec("job", 0, 100))
    lease = bench.grant()
    assert bench.acquire() == ()
    bench.renew(lease, published=True)
    bench.renew(lease)
    assert len(bench.acquire(limit=9)) == 1
    bench.complete(lease)
    assert bench.acquire() == ()


def test_a_worker_is_granted_nothing_of_lanes_that_it_has_no_source_for() -> None:
    """What it could only give back would wait, and so would what it could have fetched."""
    bench = Bench()
    bench.submit(spec("a", 0, 100))
    bench.submit(replace(spec("c", 0, 20), target=target(lane="bf:another")))
    asked = Acquire(session_id="w", limit=9, lanes=("bf:another", "bf:unheard-of"))
    assert [lease.job_ids for lease in bench.do(asked).leases] == [("c",), ("c",)]
    assert bench.do(asked).leases == ()
    assert {lease.job_ids for lease in bench.acquire(limit=2)} == {("a",)}


def test_so_many_lanes_may_be_named_and_no_more() -> None:
    bench = Bench()
    lanes = tuple(f"bf:{number}" for number in range(1_001))
    assert bench.do(Acquire(session_id="w", lanes=lanes)).code is Code.INVALID
    assert bench.do(Acquire(session_id="w", lanes=lanes[1:])).code is Code.OK


def test_lanes_with_rules_are_limited_in_number() -> None:
    bench = Bench(MachineConfig(rules_max=1))
    version = bench.set_policy(Policy.NEWEST_FIRST).found
    assert bench.set_policy(Policy.NEWEST_FIRST, node="other").code is Code.TOO_MANY
    assert version is not None
    assert bench.set_policy(Policy.ANY, version=version).found == 0
    assert bench.set_policy(Policy.NEWEST_FIRST, node="other").code is Code.OK
