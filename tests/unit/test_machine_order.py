"""Which window is granted next: priorities, age, turns, and time within a lane."""

from bars.window import Window
from coordinator.machine import MachineConfig
from tests.unit.machine_help import Bench, spec


def test_higher_priority_goes_first_and_then_who_came_first() -> None:
    bench = Bench()
    bench.submit(spec("low", 0, 10, node="low"))
    bench.submit(spec("mid1", 0, 10, node="mid1", priority=5))
    bench.submit(spec("mid2", 0, 10, node="mid2", priority=5))
    bench.submit(spec("high", 0, 10, node="high", priority=9))
    order = [lease.job_ids[0] for lease in bench.acquire(limit=4)]
    assert order == ["high", "mid1", "mid2", "low"]


def test_a_window_has_the_highest_priority_of_its_jobs() -> None:
    bench = Bench()
    bench.submit(spec("other", 0, 10, node="other", priority=3))
    bench.submit(spec("low", 0, 10))
    bench.submit(spec("high", 0, 10, priority=4))
    assert bench.grant().job_ids == ("low", "high")


def test_series_take_turns_so_that_none_starves_the_others() -> None:
    bench = Bench()
    bench.submit(spec("big", 0, 1_000, node="big"))
    bench.submit(spec("small", 0, 20, node="small"))
    assert [lease.target.series.node for lease in bench.acquire(limit=5)] == [
        "big",
        "small",
        "big",
        "small",
        "big",
    ]


def test_a_job_that_is_passed_over_ages_until_it_is_served() -> None:
    bench = Bench(session_ttl_ms=3_600_000)
    bench.submit(spec("old", 0, 1_000, node="old"))
    bench.pass_ms(bench.config.ageing_ms * 2)
    bench.submit(spec("new", 0, 1_000, node="new", priority=1))
    first, second = bench.acquire(limit=2)
    assert first.job_ids == ("old",), "two priorities older"
    assert second.job_ids == ("new",), "served: its age begins anew"


def test_a_lane_ages_with_the_oldest_of_its_jobs() -> None:
    bench = Bench()
    bench.submit(spec("old", 0, 10, node="x"))
    bench.pass_ms(bench.config.ageing_ms - 1)
    bench.submit(spec("young", 0, 100, node="x"))
    bench.submit(spec("other", 0, 10, node="y", priority=1))
    bench.pass_ms(1)
    assert bench.grant().job_ids[0] == "old"


def test_every_job_that_shares_a_grant_is_served_by_it() -> None:
    bench = Bench()
    bench.submit(spec("a", 0, 10))
    bench.submit(spec("b", 0, 30))
    bench.pass_ms(bench.config.ageing_ms)
    assert bench.grant().job_ids == ("a", "b")
    bench.submit(spec("other", 0, 10, node="other"))
    assert bench.grant().job_ids == ("other",)


def test_within_a_job_the_oldest_window_that_is_due_comes_first() -> None:
    bench = Bench(MachineConfig(jitter_ppm=0))
    bench.submit(spec("job", 0, 40))
    bench.fail(bench.grant())
    assert bench.grant().window == Window(10, 20)
    bench.pass_ms(500)
    assert bench.grant().window == Window(0, 10)
    assert bench.grant().window == Window(20, 30)
