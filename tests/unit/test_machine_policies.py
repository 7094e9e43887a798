"""What a lane's policy does to the order of its windows, and what its watermark says."""

from dataclasses import replace

import pytest

from bars.window import Window
from coordinator.machine import (
    Code,
    MachineConfig,
    PauseLane,
    Policy,
    Release,
    ResumeLane,
)
from tests.unit.machine_help import Bench, spec, target


def granted(bench: Bench, limit: int = 3) -> list[Window]:
    return [lease.window for lease in bench.acquire(limit=limit)]


def test_newest_first_takes_the_edge_next_to_live() -> None:
    bench = Bench()
    bench.set_policy(Policy.NEWEST_FIRST)
    bench.submit(spec("job", 0, 34))
    assert granted(bench) == [Window(30, 34), Window(20, 30), Window(10, 20)]


def test_newest_first_takes_a_retry_before_what_is_older_and_after_what_is_newer() -> None:
    bench = Bench(MachineConfig(jitter_ppm=0))
    bench.set_policy(Policy.NEWEST_FIRST)
    bench.submit(spec("job", 0, 30))
    newest, middle = bench.acquire(limit=2)
    bench.fail(middle)
    bench.fail(newest)
    bench.pass_ms(500)
    assert granted(bench) == [Window(20, 30), Window(10, 20), Window(0, 10)]


def test_newest_first_takes_what_was_given_back_before_an_older_retry() -> None:
    bench = Bench(MachineConfig(jitter_ppm=0))
    bench.set_policy(Policy.NEWEST_FIRST)
    bench.submit(spec("job", 0, 30))
    newest, middle = bench.acquire(limit=2)
    bench.fail(middle)
    bench.do(Release(session_id="w", token=newest.token))
    bench.pass_ms(500)
    assert granted(bench) == [Window(20, 30), Window(10, 20), Window(0, 10)]


def test_strict_takes_one_at_a_time_in_the_order_of_time_whatever_the_priority() -> None:
    bench = Bench()
    bench.set_policy(Policy.STRICT_OLDEST_FIRST)
    bench.submit(spec("late", 20, 30, priority=9))
    bench.submit(spec("early", 0, 20))
    order = []
    for _ in range(3):
        (lease,) = bench.acquire(limit=8)
        order.append(lease.window)
        bench.complete(lease)
    assert order == [Window(0, 10), Window(10, 20), Window(20, 30)]


def test_strict_lets_a_retry_hold_up_what_is_behind_it() -> None:
    bench = Bench(MachineConfig(jitter_ppm=0))
    bench.set_policy(Policy.STRICT_OLDEST_FIRST)
    bench.submit(spec("job", 0, 20))
    bench.fail(bench.grant())
    assert bench.acquire() == ()
    assert bench.ms_until_grantable() == 500
    assert bench.grant().window == Window(0, 10)


def test_strict_goes_on_behind_a_window_that_was_given_up() -> None:
    """Every job ends: the watermark tells those who need all of it that something is missing."""
    bench = Bench()
    bench.set_policy(Policy.STRICT_OLDEST_FIRST)
    bench.submit(spec("job", 0, 30))
    bench.complete_next()
    bench.fail(bench.grant(), retriable=False)
    assert bench.complete_next().window == Window(20, 30)
    assert watermark(bench) == 10


def test_a_strict_lane_has_the_priority_of_the_most_urgent_of_its_jobs() -> None:
    """What is urgent in it cannot come before what is old."""
    bench = Bench()
    bench.set_policy(Policy.STRICT_OLDEST_FIRST)
    bench.submit(spec("other", 0, 10, node="other", priority=3))
    bench.submit(spec("old", 0, 10))
    bench.submit(spec("urgent", 10, 20, priority=5))
    assert bench.grant().job_ids == ("old",)


def test_a_policy_that_becomes_strict_waits_for_the_leases_in_force() -> None:
    bench = Bench()
    bench.submit(spec("job", 0, 30))
    leases = bench.acquire(limit=2)
    bench.set_policy(Policy.STRICT_OLDEST_FIRST)
    assert bench.acquire() == ()
    bench.complete(leases[1])
    assert bench.acquire() == ()
    bench.complete(leases[0])
    assert bench.grant().window == Window(20, 30)


def test_a_policy_outlives_the_jobs_of_its_lane() -> None:
    bench = Bench()
    version = bench.set_policy(Policy.NEWEST_FIRST).found
    bench.submit(spec("job", 0, 20))
    bench.cancel("job")
    bench.submit(spec("again", 0, 20))
    assert bench.grant().window == Window(10, 20)
    assert version
    bench.set_policy(Policy.ANY, version=version)
    assert not bench.state.rules, "a lane with nothing special has no rule"


# Pauses


def test_a_paused_lane_is_granted_nothing_and_its_leases_go_on() -> None:
    bench = Bench()
    bench.submit(spec("job", 0, 20))
    bench.submit(spec("other", 0, 10, node="other"))
    lease = bench.grant()
    reply = bench.do(PauseLane(target=target(), version=0, reason="maintenance"))
    assert reply.code is Code.OK
    assert bench.grant().job_ids == ("other",)
    assert bench.acquire_reply().leases == ()
    assert bench.complete(lease).code is Code.OK
    assert reply.found is not None
    bench.do(ResumeLane(target=target(), version=reply.found, reason="over"))
    assert bench.grant().window == Window(10, 20)


def test_a_paused_lane_wakes_nobody() -> None:
    bench = Bench(session_ttl_ms=3_600_000)
    bench.submit(spec("job", 0, 10))
    bench.fail(bench.grant())
    bench.do(PauseLane(target=target(), version=0, reason="x"))
    assert bench.acquire_reply().wait_ms == 3_600_000, "only the session's own end is due"


def test_a_source_that_asks_for_a_pause_is_left_alone_in_every_lane() -> None:
    """Or a fleet goes on asking it for other series."""
    bench = Bench()
    bench.submit(spec("job", 0, 10))
    bench.submit(spec("same source", 0, 10, node="other"))
    bench.fail(bench.grant(), rate_limited=True, retry_after_ms=20_000)
    assert bench.acquire() == ()
    assert bench.ms_until_grantable() == 20_000


def test_resuming_a_lane_lifts_the_pause_of_its_source() -> None:
    bench = Bench()
    bench.submit(spec("job", 0, 20))
    bench.fail(bench.grant(), rate_limited=True, retry_after_ms=3_600_000)
    bench.do(ResumeLane(target=target(), version=0, reason="they are back"))
    assert bench.grant().window == Window(10, 20), "the window itself waits for its own retry"


# Watermarks


def watermark(bench: Bench) -> int | None:
    return bench.state.lanes[target().key].watermark


def test_the_watermark_is_where_the_first_thing_begins_that_a_job_lacks() -> None:
    bench = Bench()
    bench.submit(spec("job", 0, 30))
    assert watermark(bench) == 0
    first, second, third = bench.acquire(limit=3)
    bench.complete(second)
    assert watermark(bench) == 0
    bench.progress(first, (0, 4))
    assert watermark(bench) == 4
    bench.complete(first)
    assert watermark(bench) == 20
    bench.complete(third)
    assert watermark(bench) == 30


def test_the_watermark_does_not_pass_what_was_given_up_until_somebody_brings_it() -> None:
    bench = Bench()
    bench.submit(spec("job", 0, 20))
    bench.fail(bench.grant(), retriable=False)
    bench.complete_next()
    assert watermark(bench) == 0
    bench.submit(spec("again", 0, 10))
    bench.complete_next()
    assert watermark(bench) == 20


def test_the_watermark_never_goes_back() -> None:
    bench = Bench()
    bench.submit(spec("job", 50, 60))
    bench.complete_next()
    bench.submit(spec("earlier", 0, 10))
    assert watermark(bench) == 60


@pytest.mark.parametrize("policy", list(Policy))
def test_every_policy_ends_every_job(policy: Policy) -> None:
    bench = Bench()
    bench.set_policy(policy)
    bench.submit(spec("a", 0, 95))
    bench.submit(spec("b", 33, 120, priority=2, refetch=True))
    for _ in range(40):
        for lease in bench.acquire(limit=2):
            bench.complete(lease)
    assert bench.job("a").todo == bench.job("b").todo == ()


def test_a_job_for_nothing_moves_no_watermark() -> None:
    """Who only wants to be remembered for what is done has nothing to say of it."""
    bench = Bench()
    bench.submit(replace(spec("hold", 0, 100), missing=()))
    assert watermark(bench) is None
    bench.submit(spec("job", 0, 20))
    assert watermark(bench) == 0
    for lease in bench.acquire("w", 2):
        bench.complete(lease)
    assert watermark(bench) == 20
