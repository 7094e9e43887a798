"""Windows in parts: what was brought is never fetched again, what fails is found by halves."""

import pytest

from bars.window import Window
from coordinator.machine import (
    Code,
    Lease,
    LeaseEnd,
    MachineConfig,
    Release,
    WindowDone,
    WindowFailed,
    WindowSplit,
    WindowWaits,
)
from coordinator.machine._windows import halves_of
from tests.unit.machine_help import Bench, spec


def bench_with(start: int = 0, end: int = 10, **config: int) -> tuple[Bench, Lease]:
    bench = Bench(MachineConfig(jitter_ppm=0, **config))
    bench.submit(spec("job", start, end))
    return bench, bench.grant()


# Partial completion


def test_a_part_that_is_done_is_off_every_job_while_the_lease_keeps_the_rest() -> None:
    bench, lease = bench_with()
    bench.submit(spec("other", 2, 30))
    reply = bench.progress(lease, (0, 4))
    assert reply.code is Code.OK
    assert reply.leases[0].done == (Window(0, 4),)
    assert bench.job("job").todo == (Window(4, 10),)
    assert bench.job("other").todo == (Window(4, 30),)
    assert bench.grant().window == Window(10, 20), "nobody else gets the rest meanwhile"


def test_the_next_holder_gets_only_what_is_missing_as_windows_of_its_own() -> None:
    bench, lease = bench_with()
    bench.progress(lease, (0, 2), (5, 6))
    bench.fail(lease)
    bench.pass_ms(500)
    again = bench.acquire(limit=8)
    assert [each.window for each in again] == [Window(2, 5), Window(6, 10)]
    assert [each.attempts for each in again] == [1, 1]
    for each in again:
        bench.complete(each)
    assert bench.job("job").todo == ()


@pytest.mark.parametrize("how", ["release", "expire"])
def test_what_was_brought_stays_done_however_the_lease_ends(how: str) -> None:
    bench, lease = bench_with()
    bench.progress(lease, (3, 7))
    if how == "release":
        bench.do(Release(session_id="w", token=lease.token))
    else:
        bench.pass_ms(bench.config.lease_ttl_ms)
    assert [each.window for each in bench.acquire(limit=8)] == [Window(0, 3), Window(7, 10)]


def test_progress_begins_the_attempts_anew() -> None:
    """What is left is another window than the one that failed before."""
    bench, lease = bench_with()
    for _ in range(5):
        bench.fail(lease)
        bench.ms_until_grantable()
        lease = bench.grant()
    assert lease.attempts == 5
    bench.progress(lease, (0, 9))
    assert bench.fail(lease).code is Code.RETRY_LATER
    bench.pass_ms(500)
    assert (bench.grant().window, bench.job("job").failed) == (Window(9, 10), ())


def test_a_lease_is_complete_when_progress_leaves_nothing() -> None:
    bench, lease = bench_with()
    bench.progress(lease, (5, 10))
    reply = bench.progress(lease, (0, 5))
    assert (reply.code, reply.leases) == (Code.OK, ())
    assert bench.job("job").todo == ()
    assert bench.complete(lease).end is LeaseEnd.COMPLETED


def test_the_same_progress_twice_changes_nothing() -> None:
    bench, lease = bench_with()
    bench.progress(lease, (0, 5))
    before = bench.state
    assert bench.progress(lease, (0, 3), (2, 5)).code is Code.OK
    assert bench.state == before


def test_complete_after_progress_tells_only_the_rest_as_done() -> None:
    bench, lease = bench_with()
    bench.progress(lease, (2, 4))
    bench.complete(lease)
    done = [event.window for event in bench.events if isinstance(event, WindowDone)]
    assert done == [Window(2, 4), Window(0, 2), Window(4, 10)]


@pytest.mark.parametrize("parts", [[], [(0, 11)], [(-1, 3)], [(0, 3), (20, 30)]])
def test_progress_outside_of_the_window_is_refused(parts: list[tuple[int, int]]) -> None:
    bench, lease = bench_with()
    before = bench.state
    reply = bench.progress(lease, *parts)
    assert reply.code is Code.INVALID
    assert "done must be parts of the lease's window [0, 10)" in reply.message
    assert bench.state == before


def test_progress_is_no_renewal() -> None:
    bench, lease = bench_with()
    bench.pass_ms(bench.config.lease_ttl_ms - 1)
    bench.progress(lease, (0, 5))
    bench.pass_ms(1)
    assert bench.complete(lease).end is LeaseEnd.EXPIRED


def test_a_refetch_of_a_part_that_is_done_waits_for_the_lease_to_end() -> None:
    bench, lease = bench_with()
    bench.progress(lease, (0, 5))
    bench.submit(spec("again", 0, 5, refetch=True))
    assert bench.acquire() == (), "the window is leased, all of it"
    bench.complete(lease)
    assert bench.grant().window == Window(0, 5)


def test_what_was_brought_and_a_refetch_wants_is_another_window_than_what_is_left() -> None:
    bench, lease = bench_with()
    bench.submit(spec("again", 0, 10, refetch=True))
    bench.progress(lease, (0, 5))
    bench.fail(lease)
    bench.pass_ms(500)
    again = bench.acquire(limit=2)
    assert [(each.window, each.attempts) for each in again] == [
        (Window(5, 10), 1),
        (Window(0, 5), 0),
    ]


# Halves


def test_a_window_that_keeps_failing_is_halved_and_only_the_bad_bar_is_given_up() -> None:
    bench = Bench(MachineConfig(jitter_ppm=0, max_attempts=2))
    bench.submit(spec("job", 0, 10))
    tries: list[Window] = []
    while bench.job("job").todo:
        bench.ms_until_grantable()
        lease = bench.grant()
        tries.append(lease.window)
        if 7 in lease.window:
            bench.fail(lease)
        else:
            bench.complete(lease)
    assert bench.job("job").failed == (Window(7, 8),)
    bad = [window for window in tries if 7 in window]
    assert bad == [
        Window(0, 10),
        Window(0, 10),
        Window(5, 10),
        Window(7, 10),
        Window(7, 8),
    ], "each half gets one more try"
    splits = [event.parts for event in bench.events if isinstance(event, WindowSplit)]
    assert splits[0] == (Window(0, 5), Window(5, 10))
    (failed,) = (event for event in bench.events if isinstance(event, WindowFailed))
    assert (failed.failure.window, failed.failure.attempts) == (Window(7, 8), 5)


def test_a_window_of_900_bars_with_one_bad_bar_takes_at_most_ten_halvings() -> None:
    window, halvings = Window(0, 900), 0
    while window.end - window.start > 1:
        window = max(halves_of(window, spec("x", 0, 1).grid), key=lambda w: w.end - w.start)
        halvings += 1
    assert halvings == 10


def test_halves_wait_like_a_retry() -> None:
    bench, lease = bench_with(max_attempts=1, retry_backoff_ms=700)
    assert bench.fail(lease).code is Code.RETRY_LATER
    assert bench.acquire() == ()
    assert bench.ms_until_grantable() == 700


def test_a_holder_that_vanishes_until_the_attempts_are_spent_halves_the_window() -> None:
    """One bar that kills whoever fetches it must not take 899 others with it."""
    bench, _ = bench_with(max_attempts=1)
    bench.pass_ms(bench.config.lease_ttl_ms)
    assert [each.window for each in bench.acquire(limit=8)] == [Window(0, 5), Window(5, 10)]


def test_a_permanent_failure_gives_all_of_the_window_up_at_once() -> None:
    bench, lease = bench_with()
    assert bench.fail(lease, retriable=False).code is Code.GIVEN_UP
    assert bench.job("job").failed == (Window(0, 10),)


def test_a_failure_that_no_part_can_escape_is_not_halved() -> None:
    bench, lease = bench_with(max_attempts=1)
    assert bench.fail(lease, divisible=False).code is Code.GIVEN_UP
    assert bench.job("job").failed == (Window(0, 10),)


def test_a_permanent_failure_after_progress_gives_up_the_rest_alone() -> None:
    bench, lease = bench_with()
    bench.progress(lease, (0, 2), (4, 6))
    bench.fail(lease, retriable=False)
    assert bench.job("job").failed == (Window(2, 4), Window(6, 10))
    told = [event.failure.window for event in bench.events if isinstance(event, WindowFailed)]
    assert told == [Window(2, 4), Window(6, 10)]


def test_a_rate_limited_half_is_not_halved_again() -> None:
    bench, lease = bench_with(max_attempts=1)
    bench.fail(lease)
    bench.ms_until_grantable()
    half = bench.grant()
    assert bench.fail(half, rate_limited=True).code is Code.RETRY_LATER
    waits = [event for event in bench.events if isinstance(event, WindowWaits)]
    assert (waits[-1].window, waits[-1].rate_limited) == (half.window, True)


def test_halves_lie_on_the_grid() -> None:
    grid = spec("x", 0, 1).grid
    assert halves_of(Window(0, 3), grid) == (Window(0, 1), Window(1, 3))
    minutes = type(grid)(60, 30)
    assert halves_of(Window(0, 240), minutes) == (Window(0, 150), Window(150, 240))
