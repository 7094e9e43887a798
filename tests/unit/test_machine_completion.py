"""How much is done, in bars that there should be."""

from dataclasses import replace

import pytest

from bars.window import Window
from coordinator.machine import Code, SubmitJob
from coordinator.machine.views import Completion, completion, job_state, jobs_in_progress, total
from tests.unit.machine_help import Bench, spec, target


def ratio(bench: Bench) -> float:
    return total(completion(bench.state).values()).ratio


def test_bars_count_as_slots_of_the_grid_unless_somebody_knows_better() -> None:
    bench = Bench()
    bench.submit(spec("job", 0, 40))
    assert ratio(bench) == 0.0
    bench.complete_next()
    assert ratio(bench) == 0.25


def test_bars_are_those_of_the_sessions_where_holders_tell_them() -> None:
    """A night and a weekend are no progress."""
    bench = Bench()
    bench.submit(replace(spec("job", 0, 30), session_bars=12))
    bench.complete(bench.grant(), session_bars=0)
    assert ratio(bench) == 0.0
    bench.complete(bench.grant(), session_bars=9)
    assert ratio(bench) == 0.75
    bench.complete(bench.grant(), session_bars=3)
    assert ratio(bench) == 1.0


def test_where_holders_do_not_tell_them_the_jobs_bars_are_spread_evenly() -> None:
    bench = Bench()
    bench.submit(replace(spec("job", 0, 40), session_bars=20))
    bench.complete_next()
    assert bench.job("job").bars_done == 5


def test_a_job_that_wants_a_part_of_a_window_counts_its_share() -> None:
    bench = Bench()
    bench.submit(spec("whole", 0, 10))
    bench.submit(replace(spec("part", 5, 20), session_bars=15))
    bench.complete(bench.grant(), session_bars=10)
    assert bench.job("part").bars_done == 5


def test_parts_of_a_window_count_as_they_come() -> None:
    bench = Bench()
    bench.submit(replace(spec("job", 0, 10), session_bars=8))
    lease = bench.grant()
    bench.progress(lease, (0, 5), session_bars=3)
    assert ratio(bench) == 0.375
    bench.complete(lease, session_bars=5)
    assert ratio(bench) == 1.0


def test_what_was_given_up_is_not_done() -> None:
    bench = Bench()
    bench.submit(spec("job", 0, 20))
    bench.complete_next()
    bench.fail(bench.grant(), retriable=False)
    assert ratio(bench) == 0.5
    assert jobs_in_progress(bench.state) == 0


def test_a_job_that_ends_without_failure_is_complete_whatever_was_told() -> None:
    bench = Bench()
    bench.submit(replace(spec("job", 0, 30), session_bars=7))
    for _ in range(3):
        bench.complete(bench.grant(), session_bars=1)
    assert ratio(bench) == 1.0


def test_more_bars_than_there_can_be_are_not_believed() -> None:
    bench = Bench()
    bench.submit(spec("job", 0, 40))
    bench.complete(bench.grant(), session_bars=10**9)
    bench.complete(bench.grant(), session_bars=-5)
    assert ratio(bench) == 0.25


def test_what_is_done_when_a_job_comes_counts_as_done() -> None:
    bench = Bench()
    bench.submit(spec("first", 0, 40))
    bench.complete_next()
    bench.submit(spec("second", 0, 40))
    assert bench.job("second").bars_done == 10
    bench.submit(replace(spec("nothing", 0, 40), missing=(), session_bars=0))
    assert completion(bench.state) == {target().key: Completion(bars=80, bars_done=20)}


def test_lanes_are_told_apart_and_where_nothing_is_wanted_all_is_done() -> None:
    bench = Bench()
    assert ratio(bench) == 1.0
    bench.submit(spec("a", 0, 10, node="a"))
    bench.submit(spec("b", 0, 30, node="b"))
    bench.complete_next()
    assert [each.ratio for each in completion(bench.state).values()] == [1.0, 0.0]
    assert ratio(bench) == 0.25
    assert jobs_in_progress(bench.state) == 1
    told = job_state(bench.state, "b")
    assert told is not None
    assert (told.bars, told.bars_done) == (30, 0)
    assert job_state(bench.state, "c") is None


@pytest.mark.parametrize("bars", [-1, 21])
def test_a_job_cannot_want_more_bars_than_slots(bars: int) -> None:
    bench = Bench()
    job = replace(spec("job", 0, 30), missing=(Window(0, 10), Window(20, 30)), session_bars=bars)
    reply = bench.do(SubmitJob(spec=job))
    assert reply.code is Code.INVALID
    assert reply.message == f"session_bars must be 0 to 20, the slots of missing, was {bars}"
