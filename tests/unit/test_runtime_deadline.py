"""Deadlines and clocks, on a clock that tests move."""

import asyncio
import math
import time

import pytest

from runtime.backoff import Backoff
from runtime.clock import SystemClock
from runtime.deadline import Deadline
from runtime.errors import DeadlineExceededError
from runtime.testing import ManualClock

US = 1_000_000


async def answer(clock: ManualClock, after_s: float, log: list[str]) -> str:
    try:
        await clock.sleep(after_s)
    except asyncio.CancelledError:
        log.append("cancelled")
        raise
    return "done"


async def test_work_that_ends_in_time_is_returned() -> None:
    clock = ManualClock()
    deadline = Deadline.after(clock, 0.05)
    task = asyncio.create_task(deadline.run(answer(clock, 0.04, []), "storage"))
    await clock.run(0.04)
    assert task.done()
    assert await task == "done"
    assert clock.sleeping == 0


async def test_work_that_takes_too_long_is_cancelled_when_the_budget_ends() -> None:
    """A source that takes 300 ms under a budget of 50 ms: the caller waits 50."""
    clock, log = ManualClock(), list[str]()
    deadline = Deadline.after(clock, 0.05)
    task = asyncio.create_task(deadline.run(answer(clock, 0.3, log), "storage"))
    await clock.run(0.05)
    with pytest.raises(DeadlineExceededError, match="storage: must end within 50 ms") as caught:
        await task
    assert (caught.value.phase, caught.value.budget_ms, caught.value.elapsed_ms) == (
        "storage",
        50,
        50,
    )
    assert caught.value.retriable is False
    assert log == ["cancelled"]


async def test_work_done_at_the_very_moment_counts_as_done() -> None:
    clock = ManualClock()
    task = asyncio.create_task(Deadline.after(clock, 1).run(answer(clock, 1, []), "x"))
    await clock.run(1)
    assert await task == "done"


async def test_a_budget_is_shared_by_what_runs_under_it() -> None:
    clock = ManualClock()
    deadline = Deadline.after(clock, 10)
    clock.advance(4)
    assert (deadline.remaining_s(), deadline.expired) == (6, False)
    clock.advance(7)
    assert (deadline.remaining_s(), deadline.expired) == (0, True)
    with pytest.raises(DeadlineExceededError, match="was not done after 11000 ms"):
        deadline.check("write")


async def test_nothing_is_begun_when_the_time_is_over() -> None:
    clock, log = ManualClock(), list[str]()
    with pytest.raises(DeadlineExceededError):
        await Deadline.after(clock, 0).run(answer(clock, 0, log), "x")
    assert log == []


async def test_without_a_limit_work_may_take_for_ever() -> None:
    clock = ManualClock()
    deadline = Deadline.after(clock, None)
    assert math.isinf(deadline.remaining_s())
    task = asyncio.create_task(deadline.run(answer(clock, 1e6, []), "x"))
    await clock.run(1e6)
    assert await task == "done"
    deadline.check("x")


async def test_an_error_of_the_work_comes_through() -> None:
    clock = ManualClock()

    async def broken() -> None:
        raise ValueError("broken")

    with pytest.raises(ValueError, match="broken"):
        await Deadline.after(clock, 1).run(broken(), "x")
    assert clock.sleeping == 0


async def test_an_error_while_the_work_is_cancelled_does_not_hide_the_deadline() -> None:
    clock = ManualClock()

    async def untidy() -> None:
        try:
            await clock.sleep(9)
        finally:
            raise ValueError("in the way")

    task = asyncio.create_task(Deadline.after(clock, 1).run(untidy(), "x"))
    await clock.run(1)
    with pytest.raises(DeadlineExceededError):
        await task


async def test_cancelling_the_caller_cancels_the_work() -> None:
    clock, log = ManualClock(), list[str]()
    task = asyncio.create_task(Deadline.after(clock, 5).run(answer(clock, 3, log), "x"))
    await clock.until_sleeping(2)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert log == ["cancelled"]
    assert clock.sleeping == 0


async def test_sleepers_wake_in_the_order_of_their_times() -> None:
    clock, woken = ManualClock(), list[tuple[str, float]]()

    async def sleeper(name: str, seconds: float) -> None:
        await clock.sleep(seconds)
        woken.append((name, clock.monotonic()))

    tasks = [asyncio.create_task(sleeper(n, s)) for n, s in (("c", 3), ("a", 1), ("b", 1))]
    await clock.until_sleeping(3)
    await clock.run(2.5)
    assert woken == [("a", 1), ("b", 1)]
    await clock.run(10)
    assert woken[2:] == [("c", 3)]
    await asyncio.gather(*tasks)


async def test_a_woken_sleeper_may_sleep_again_within_one_run() -> None:
    clock, beats = ManualClock(), list[float]()

    async def heart() -> None:
        for _ in range(3):
            await clock.sleep(2)
            beats.append(clock.monotonic())

    task = asyncio.create_task(heart())
    await clock.run(10)
    await task
    assert beats == [2, 4, 6]
    assert clock.monotonic() == 10


async def test_wall_time_can_step_back_while_the_other_goes_on() -> None:
    clock = ManualClock(wall_us=50 * US)
    clock.advance(2)
    clock.step_wall(-10 * US)
    assert (clock.wall_us(), clock.monotonic()) == (42 * US, 2)


async def test_sleeping_for_nothing_gives_others_a_turn() -> None:
    turn = asyncio.Event()

    async def other() -> None:
        turn.set()

    for clock in (ManualClock(), SystemClock()):
        turn.clear()
        task = asyncio.create_task(other())
        await clock.sleep(-1)
        assert turn.is_set()
        await task


def test_the_system_clock_tells_microseconds() -> None:
    clock = SystemClock()
    assert abs(clock.wall_us() - time.time() * US) < 60 * US
    assert clock.monotonic() <= clock.monotonic()


def test_delays_double_up_to_the_cap() -> None:
    delays = iter(Backoff(0.5, 3))
    assert [next(delays) for _ in range(5)] == [0.5, 1, 2, 3, 3]


def test_every_iteration_begins_anew() -> None:
    backoff = Backoff(1, 4)
    assert next(iter(backoff)) == next(iter(backoff)) == 1


def test_a_draw_adds_its_share_of_the_jitter() -> None:
    backoff = Backoff(1, 8, jitter_ratio=0.25)
    assert backoff.delay_s(3) == 4
    assert backoff.delay_s(3, draw=0.5) == 4.5


def test_very_late_retries_stay_at_the_cap() -> None:
    assert Backoff(1, 60).delay_s(100_000) == 60


@pytest.mark.parametrize(
    ("arguments", "field"),
    [
        ({"first_s": -1, "cap_s": 1}, "first_s"),
        ({"first_s": float("nan"), "cap_s": 1}, "first_s"),
        ({"first_s": 2, "cap_s": 1}, "cap_s"),
        ({"first_s": 1, "cap_s": 2, "factor": 0.5}, "factor"),
        ({"first_s": 1, "cap_s": 2, "jitter_ratio": 2}, "jitter_ratio"),
    ],
)
def test_delays_that_make_no_sense_are_refused(arguments: dict[str, float], field: str) -> None:
    with pytest.raises(ValueError, match=f"{field} must be"):
        Backoff(**arguments)
