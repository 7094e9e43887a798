"""What a command costs and how big the state is, with thousands of lanes and years of minutes.

Cost is counted in calls of Python functions, which no other load on the machine changes.
"""

import sys
from collections.abc import Callable
from functools import cache
from types import FrameType

from bars.series import Series
from bars.window import Grid, Window
from coordinator.machine import (
    Acquire,
    AnyCommand,
    Complete,
    JobSpec,
    KeepSession,
    MachineConfig,
    OpenSession,
    Progress,
    Renew,
    SeriesLane,
    State,
    SubmitJob,
    Tick,
    apply,
    initial,
)
from coordinator.machine.replica import Replica

TEN_YEARS = Window(0, 10 * 365 * 86_400)
WINDOW_S = 900 * 60


def job(number: int, window: Window = TEN_YEARS) -> SubmitJob:
    """Return a job for a lane of its own, minutes."""
    return SubmitJob(
        spec=JobSpec(
            job_id=f"job-{number:06d}",
            target=SeriesLane(Series(f"ohlcv:venue:SYM{number:05d}:1m", 60), "bf:source"),
            window=window,
            missing=(window,),
            grid=Grid(60),
            window_bars=900,
            priority=number % 5,
        )
    )


@cache
def busy(lanes: int) -> State:
    """Return a machine with that many lanes, each with a job, and 64 leases in force."""
    state = initial(1, MachineConfig())
    state = apply(state, OpenSession(session_id="w", ttl_ms=3_600_000)).state
    for number in range(lanes):
        state = apply(state, job(number)).state
    return apply(state, Acquire(session_id="w", limit=64)).state


def calls(act: Callable[[], object]) -> int:
    """Return how many functions of Python an act calls."""
    count = 0

    def counted(_frame: FrameType, event: str, _arg: object) -> None:
        nonlocal count
        count += event == "call"

    before = sys.getprofile()
    sys.setprofile(counted)
    try:
        act()
    finally:
        sys.setprofile(before)
    return count


def commands(state: State) -> dict[str, AnyCommand]:
    """Return one command of each kind that a working fleet sends all the time."""
    lease = next(iter(state.leases.values()))
    part = Window(lease.window.start, lease.window.start + 60)
    return {
        "acquire": Acquire(session_id="w", elapsed_ms=1),
        "renew": Renew(session_id="w", token=lease.token, elapsed_ms=1),
        "progress": Progress(session_id="w", token=lease.token, done=(part,), elapsed_ms=1),
        "complete": Complete(session_id="w", token=lease.token, elapsed_ms=1),
        "keep": KeepSession(session_id="w", elapsed_ms=1),
        "tick": Tick(elapsed_ms=1),
        "submit": job(99_999),
    }


def test_no_command_costs_more_in_a_machine_with_thirty_times_the_lanes() -> None:
    few, many = busy(100), busy(3_000)
    for name, command in commands(few).items():
        cost = calls(lambda command=command: apply(few, command))  # type: ignore[misc]
        other = commands(many)[name]
        dear = calls(lambda other=other: apply(many, other))  # type: ignore[misc]
        assert dear < 1.5 * cost + 20, f"{name}: {cost} calls with 100 lanes, {dear} with 3,000"


def test_what_ages_or_expires_costs_only_what_has_aged_or_expired() -> None:
    few, many = busy(100), busy(3_000)
    expiry = MachineConfig().lease_ttl_ms
    cost = calls(lambda: apply(few, Tick(elapsed_ms=expiry)))
    dear = calls(lambda: apply(many, Tick(elapsed_ms=expiry)))
    assert dear < 1.5 * cost, "64 leases end in both"


def test_a_digest_writes_down_what_has_changed_since_the_one_before() -> None:
    """It was half a second, a third of it in one piece in which nothing else could run."""
    node = Replica(busy(3_000))
    whole = calls(node.digest)
    part = calls(node.digest)
    node.state = apply(node.state, Acquire(session_id="w")).state
    changed = calls(node.digest)
    assert part < whole / 10, f"{part} of {whole}"
    assert changed < part + 200, f"{changed} after {part}"


def test_5_000_lanes_of_ten_years_of_minutes_are_a_small_state() -> None:
    """A window that was not tried is no state, and what is done is one range."""
    state = busy(5_000)
    for lease in tuple(state.leases.values()):
        state = apply(state, Complete(session_id="w", token=lease.token)).state
    assert sum(len(lane.waiting) + len(lane.tokens) for lane in state.lanes.values()) == 0
    assert all(len(each.todo) == 1 for each in state.jobs.values())
    size = len(Replica(state).snapshot())
    assert size < 5_000 * 600, f"{size} bytes, {size // 5_000} a lane"


def test_a_lane_is_as_small_when_it_is_half_done_as_when_it_began() -> None:
    state = apply(initial(1, MachineConfig()), OpenSession(session_id="w", ttl_ms=3_600_000)).state
    state = apply(state, job(0)).state
    sizes = []
    for number in range(400):
        applied = apply(state, Acquire(session_id="w"))
        (lease,) = applied.reply.leases
        done = Complete(session_id="w", token=lease.token, chunk_offset=number)
        state = apply(applied.state, done).state
        (lane,) = state.lanes.values()
        sizes.append(len(lane.done) + len(lane.fresh) + len(lane.forced))
    assert (lane.done, max(sizes)) == ((Window(0, 400 * WINDOW_S),), 17)
    assert len(Replica(state).snapshot()) < 100_000, "the ends of the last leases, most of all"
