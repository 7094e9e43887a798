"""Jobs and windows: cutting, sharing, order, refetching, cancelling, staying small."""

from dataclasses import replace
from typing import Any

import pytest

from bars.window import Window
from coordinator.machine import (
    Code,
    JobFinished,
    LeaseEnd,
    MachineConfig,
    Renew,
    SubmitJob,
)
from tests.unit.machine_help import Bench, spec, target


def windows(bench: Bench, limit: int = 64) -> list[Window]:
    return [lease.window for lease in bench.acquire(limit=limit)]


def test_windows_lie_between_multiples_of_window_bars_clipped_to_what_is_missing() -> None:
    bench = Bench()
    missing = (Window(3, 18), Window(25, 42))
    bench.submit(replace(spec("job", 3, 42), missing=missing))
    assert windows(bench) == [
        Window(3, 10),
        Window(10, 18),
        Window(25, 30),
        Window(30, 40),
        Window(40, 42),
    ]


def test_a_job_over_ten_years_of_minutes_is_one_range_until_it_is_granted() -> None:
    bench = Bench()
    bench.submit(spec("job", 0, 5_256_000))
    assert len(windows(bench, limit=5)) == 5
    (lane,) = bench.state.lanes.values()
    assert len(lane.waiting) == 0
    assert len(lane.tokens) == 5
    assert bench.job("job").todo == (Window(0, 5_256_000),)


def test_no_more_than_the_limit_of_windows_is_live_in_one_lane() -> None:
    bench = Bench(MachineConfig(live_windows_max=3, grant_max=100))
    bench.submit(spec("job", 0, 100))
    leases = bench.acquire(limit=50)
    assert len(leases) == 3
    bench.fail(leases[0])
    assert bench.acquire() == (), "a window that waits for a retry is live"
    bench.complete(leases[1])
    assert bench.grant().window == Window(30, 40)


def test_what_is_done_folds_into_one_range_and_is_forgotten_with_the_last_job() -> None:
    bench = Bench()
    bench.submit(spec("job", 0, 100))
    for _ in range(7):
        bench.complete_next()
    (lane,) = bench.state.lanes.values()
    assert lane.done == (Window(0, 70),)
    bench.cancel("job")
    assert not bench.state.lanes
    assert not bench.state.jobs


def test_done_is_cut_to_the_jobs_that_are_left() -> None:
    bench = Bench()
    bench.submit(spec("long", 0, 50))
    bench.submit(spec("short", 10, 30))
    for _ in range(5):
        bench.complete_next()
    bench.cancel("long")
    (lane,) = bench.state.lanes.values()
    assert lane.done == (Window(10, 30),)


def test_a_job_that_has_nothing_to_fetch_says_so_at_once() -> None:
    bench = Bench()
    assert bench.submit(replace(spec("job", 0, 10), missing=())).todo == ()
    assert bench.acquire() == ()


# Sharing


def test_overlapping_jobs_fetch_no_bar_twice() -> None:
    bench = Bench()
    bench.submit(spec("a", 0, 30))
    bench.submit(spec("b", 15, 45))
    leases = bench.acquire(limit=64)
    assert [lease.window for lease in leases] == [
        Window(s, min(s + 10, 45)) for s in range(0, 45, 10)
    ]
    assert [lease.job_ids for lease in leases] == [
        ("a",),
        ("a", "b"),
        ("a", "b"),
        ("b",),
        ("b",),
    ]
    for lease in leases:
        bench.complete(lease)
    assert bench.job("a").todo == bench.job("b").todo == ()
    assert [e for e in bench.events if isinstance(e, JobFinished)] == [
        JobFinished(job_id="a"),
        JobFinished(job_id="b"),
    ]


def test_a_window_is_cut_for_all_its_jobs_together() -> None:
    """The first job's part alone would leave two more fetches to the second."""
    bench = Bench()
    bench.submit(spec("part", 3, 7, priority=1))
    bench.submit(spec("whole", 0, 10))
    assert windows(bench) == [Window(0, 10)]


def test_one_fetch_may_cover_many_pieces_of_another_job_and_does_not_hide_the_rest_of_it() -> None:
    bench = Bench()
    bench.submit(spec("whole", 0, 10))
    pieces = tuple(Window(start, start + 1) for start in (0, 2, 4, 6, 8, 50))
    bench.submit(replace(spec("pieces", 0, 60), missing=pieces))
    assert windows(bench) == [Window(0, 10), Window(50, 51)]


def test_a_job_that_joins_shares_a_window_that_is_being_fetched() -> None:
    bench = Bench()
    bench.submit(spec("a", 0, 10))
    lease = bench.grant()
    bench.submit(spec("b", 0, 10))
    assert bench.acquire() == ()
    bench.complete(lease)
    assert bench.job("b").todo == ()


def test_a_job_planned_before_the_ledger_shows_what_is_done_does_not_fetch_it_again() -> None:
    bench = Bench()
    bench.submit(spec("a", 0, 20))
    bench.complete_next()
    assert bench.submit(spec("b", 0, 20)).todo == (Window(10, 20),)


def test_lanes_of_one_series_do_not_share() -> None:
    bench = Bench()
    bench.submit(spec("a", 0, 10))
    bench.submit(replace(spec("b", 0, 10), target=target(lane="bf:other")))
    assert windows(bench) == [Window(0, 10), Window(0, 10)]


def test_a_failure_is_told_to_every_job_that_wanted_the_window() -> None:
    bench = Bench()
    bench.submit(spec("a", 0, 10))
    bench.submit(spec("b", 5, 10))
    bench.fail(bench.grant(), retriable=False)
    assert bench.job("a").failed == (Window(0, 10),)
    assert bench.job("b").failed == (Window(5, 10),)


def test_a_job_submitted_after_a_window_was_given_up_tries_it_again() -> None:
    bench = Bench()
    bench.submit(spec("a", 0, 10))
    bench.fail(bench.grant(), retriable=False)
    bench.submit(spec("b", 0, 10))
    assert bench.grant().attempts == 0


def test_failures_are_told_up_to_a_limit_and_their_ranges_all() -> None:
    bench = Bench(MachineConfig(failures_max=3))
    bench.submit(spec("job", 0, 100))
    for _ in range(10):
        bench.fail(bench.grant(), retriable=False)
    job = bench.job("job")
    assert len(job.failures) == 3
    assert job.failed == (Window(0, 100),)


# Refetching


def test_a_refetch_fetches_what_is_done() -> None:
    bench = Bench()
    bench.submit(spec("a", 0, 10))
    bench.complete_next()
    job = bench.submit(spec("again", 0, 10, refetch=True))
    assert job.todo == (Window(0, 10),)
    lease = bench.complete_next()
    assert lease.token > job.since
    assert bench.job("again").todo == ()


def test_a_refetch_does_not_share_a_fetch_that_began_before_it() -> None:
    """What that fetch brings may be older than the change that the refetch is about."""
    bench = Bench()
    bench.submit(spec("a", 0, 10))
    before = bench.grant()
    bench.submit(spec("again", 0, 10, refetch=True))
    assert bench.acquire() == (), "never two leases on one window: it waits for the first to end"
    bench.complete(before)
    assert bench.job("a").todo == ()
    assert bench.job("again").todo == (Window(0, 10),)
    bench.complete_next()
    assert bench.job("again").todo == ()


def test_a_refetch_shares_a_fetch_that_begins_after_it() -> None:
    bench = Bench()
    bench.submit(spec("again", 0, 10, refetch=True))
    bench.submit(spec("a", 0, 10))
    assert bench.complete_next().job_ids == ("again", "a")
    assert bench.job("again").todo == bench.job("a").todo == ()


def test_two_refetches_in_a_row_each_get_a_fetch_of_their_own() -> None:
    bench = Bench()
    bench.submit(spec("one", 0, 10, refetch=True))
    first = bench.grant()
    bench.submit(spec("two", 0, 10, refetch=True))
    bench.complete(first)
    assert (bench.job("one").todo, bench.job("two").todo) == ((), (Window(0, 10),))


def test_a_window_given_up_for_a_fetch_before_a_refetch_is_tried_afresh_for_it() -> None:
    bench = Bench()
    bench.submit(spec("a", 0, 10))
    lease = bench.grant()
    bench.submit(spec("again", 0, 10, refetch=True))
    bench.fail(lease, retriable=False)
    assert bench.job("a").failed == (Window(0, 10),)
    assert bench.job("again").failed == ()
    assert bench.grant().attempts == 0


# Cancelling


def test_a_window_is_cancelled_when_the_last_job_that_wants_it_goes() -> None:
    bench = Bench()
    bench.submit(spec("a", 0, 10))
    bench.submit(spec("b", 0, 20))
    shared, own = bench.acquire(limit=2)
    bench.cancel("b")
    assert bench.do(Renew(session_id="w", token=shared.token)).code is Code.OK
    reply = bench.do(Renew(session_id="w", token=own.token))
    assert (reply.code, reply.end) == (Code.LATE, LeaseEnd.CANCELLED)
    bench.cancel("a")
    assert bench.do(Renew(session_id="w", token=shared.token)).code is Code.LATE
    assert bench.acquire() == ()


def test_a_retry_is_cut_to_what_is_still_wanted() -> None:
    bench = Bench(MachineConfig(jitter_ppm=0))
    bench.submit(spec("whole", 0, 10))
    bench.submit(spec("part", 3, 7))
    lease = bench.grant()
    bench.cancel("whole")
    bench.fail(lease)
    bench.pass_ms(500)
    assert bench.grant().window == Window(3, 7)


def test_a_waiting_window_shrinks_when_a_job_goes() -> None:
    bench = Bench(MachineConfig(jitter_ppm=0))
    bench.submit(spec("whole", 0, 10))
    bench.submit(spec("part", 3, 7))
    bench.fail(bench.grant())
    bench.cancel("whole")
    bench.pass_ms(500)
    lease = bench.grant()
    assert (lease.window, lease.attempts) == (Window(3, 7), 1)


def test_an_old_fetch_is_cancelled_when_only_a_refetch_is_left() -> None:
    bench = Bench()
    bench.submit(spec("a", 0, 10))
    lease = bench.grant()
    bench.submit(spec("again", 0, 10, refetch=True))
    bench.cancel("a")
    assert bench.do(Renew(session_id="w", token=lease.token)).code is Code.LATE
    assert bench.grant().token > lease.token


def test_cancelling_what_is_not_known_is_answered() -> None:
    assert Bench().cancel("nobody").code is Code.UNKNOWN_JOB


# Submitting


def test_the_same_job_again_is_the_same_job() -> None:
    bench = Bench()
    bench.submit(spec("job", 0, 20))
    bench.complete_next()
    before = bench.state
    assert bench.submit(spec("job", 0, 20)).todo == (Window(10, 20),)
    assert bench.state == before


def test_another_job_under_a_known_id_is_refused() -> None:
    bench = Bench()
    bench.submit(spec("job", 0, 20))
    assert bench.do(SubmitJob(spec=spec("job", 0, 30))).code is Code.JOB_CONFLICT


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"job_id": ""}, "job_id"),
        ({"priority": 1_001}, "priority"),
        ({"window_bars": 0}, "window_bars"),
        ({"window_bars": 2_001}, "window_bars"),
        ({"missing": (Window(0, 11),)}, "missing"),
        ({"missing": tuple(Window(i, i + 1) for i in range(0, 10, 2)) * 2_001}, "missing"),
        ({"target": target(node="other")}, None),
    ],
)
def test_bad_jobs_are_refused_with_the_field(change: dict[str, Any], field: str | None) -> None:
    bench = Bench()
    reply = bench.do(SubmitJob(spec=replace(spec("job", 0, 10), **change)))
    if field is None:
        assert reply.code is Code.OK
        return
    assert reply.code is Code.INVALID
    assert reply.message.startswith(field)
    assert not bench.state.jobs


def test_jobs_are_limited_in_number() -> None:
    bench = Bench(MachineConfig(jobs_max=1))
    bench.submit(spec("one", 0, 10))
    assert bench.do(SubmitJob(spec=spec("two", 0, 10))).code is Code.TOO_MANY
