"""Requests that move to another worker, or are read again there: answered once, nothing anew."""

from dataclasses import replace

import pytest

from avro_schemas import BackfillStatus, RequestState, Verdict
from bars.window import Window, merge
from runtime.testing import ManualClock
from tests.unit.worker_help import MINUTE, SERIES, ask, cancel, fetched_once, fleet_of, settings_of
from worker.testing import StoredWindow


async def test_a_request_that_moves_to_another_worker_goes_on_there() -> None:
    """What the first one's leases bring still counts, and the first says nothing more."""
    fleet = fleet_of(settings_of(max_concurrent_requests=2))
    a, b = fleet.hire("a", [0]), fleet.hire("b", [])
    async with fleet.running(a, b):
        a.first.gate.clear()
        b.first.gate.clear()
        fleet.road.ask(ask("r", 0, 60))
        await fleet.run(1)
        a.inbox.take(0)
        b.inbox.give(0)
        await fleet.run(1)
        a.first.gate.set()
        b.first.gate.set()
        status = await fleet.ends("r")
        await fleet.run(1)
    assert (status.state, status.bars_fetched) == (RequestState.DONE, 60)
    assert [s.state for s in fleet.road.statuses if s.state.final] == [RequestState.DONE]
    assert fleet.road.committed == {0: 1}
    assert not fleet.leases.state.jobs
    fetched_once(fleet, 60)


async def test_a_refetch_that_moves_is_not_begun_anew() -> None:
    fleet = fleet_of(settings_of(max_concurrent_requests=1))
    for start in range(0, 40, 10):
        window = Window(start * MINUTE, (start + 10) * MINUTE)
        fleet.road.stored.append(
            StoredWindow(series=SERIES, lane="bf:first", window=window, token=1)
        )
    a, b = fleet.hire("a", [0]), fleet.hire("b", [])
    async with fleet.running(a, b):
        fleet.road.judge = lambda chunk: Verdict.PASSED if chunk.start < 20 * MINUTE else None
        fleet.road.ask(ask("r", 0, 40, refetch=True))
        await fleet.run(2)
        a.inbox.take(0)
        b.inbox.give(0)
        await fleet.run(1)
        for place, chunk in fleet.road.chunks[2:]:
            fleet.road.verdict(place, chunk, Verdict.NO_NEWS)
        assert (await fleet.ends("r")).state is RequestState.DONE
    fetched_once(fleet, 40)


async def test_a_request_cancelled_where_it_has_moved_is_not_taken_up_again() -> None:
    """The first worker does not know yet that the group has given its partition away."""
    fleet = fleet_of()
    a, b = fleet.hire("a", [0]), fleet.hire("b", [])
    async with fleet.running(a, b):
        a.first.gate.clear()
        b.first.gate.clear()
        fleet.road.ask(ask("r", 0, 20))
        await fleet.run(1)
        fleet.road.ask(cancel("r"))
        a.inbox.take(0)
        a.inbox.moved()  # and it is not told
        b.inbox.give(0)
        assert (await fleet.ends("r")).state is RequestState.CANCELLED
        await fleet.run(12)
        assert not fleet.leases.state.jobs
        a.inbox.give(0)
        a.inbox.take(0)
        await fleet.run(60)
        assert not fleet.leases.state.jobs
    assert fleet.road.states("r")[-1] is RequestState.CANCELLED


async def test_what_others_have_answered_is_known_before_their_requests_are_read() -> None:
    """Told and not committed: it is read again, and must not be served again."""
    fleet = fleet_of()
    a, b = fleet.hire("a", []), fleet.hire("b", [])
    async with fleet.running(a, b):
        a.inbox.give(0)
        fleet.road.ask(ask("r", 0, 20, refetch=True))
        done = await fleet.ends("r")
        fleet.road.committed.clear()
        a.inbox.take(0)
        b.inbox.give(0)
        await fleet.run(2)
    assert fleet.road.statuses[-1] == done
    assert len(a.first.calls + b.first.calls) == 2


async def test_a_partition_that_comes_back_after_others_had_it_begins_anew() -> None:
    fleet = fleet_of()
    a = fleet.hire("a", [0])
    async with fleet.running(a):
        a.first.gate.clear()
        fleet.road.ask(ask("gone", 0, 20))
        fleet.road.ask(ask("here", 20, 40))
        await fleet.run(1)
        fleet.road.statuses.append(
            BackfillStatus(request_id="gone", state=RequestState.CANCELLED, message="elsewhere")
        )
        fleet.road.committed = {0: 1}
        a.inbox.take(0)
        a.inbox.give(0)
        await fleet.run(1)
        a.first.gate.set()
        assert (await fleet.ends("here")).state is RequestState.DONE
        await fleet.run(1)
    assert fleet.road.last("gone").message == "elsewhere"
    assert fleet.road.committed == {0: 2}


async def test_a_request_read_again_when_more_bars_have_closed_is_for_those_too() -> None:
    """The job of the first reader ends earlier than what is asked for now."""
    clock = ManualClock(wall_us=20 * MINUTE * 1_000_000)
    fleet = fleet_of(clock=clock)
    a, b = fleet.hire("a", [0]), fleet.hire("b", [])
    async with fleet.running(a, b):
        fleet.road.judge = lambda _chunk: None
        fleet.road.ask(ask("r", 0, 40))
        await fleet.run(1)
        assert fleet.road.last("r").session_bars == 20
        clock.step_wall(10 * MINUTE * 1_000_000)
        a.inbox.take(0)
        b.inbox.give(0)
        await fleet.run(1)
        fleet.road.judge = lambda _chunk: Verdict.PASSED
        for place, chunk in tuple(fleet.road.chunks):
            fleet.road.verdict(place, chunk, Verdict.NO_NEWS)
        status = await fleet.ends("r", within_s=90)
    assert (status.state, status.session_bars) == (RequestState.DONE, 30)
    assert not fleet.leases.state.jobs


@pytest.mark.parametrize("window_bars", [7, 25])
async def test_a_request_that_moves_to_a_worker_of_another_window_size_goes_on_there(
    window_bars: int,
) -> None:
    """Its job is there with the old size: it makes way, and what is stored is kept."""
    fleet = fleet_of(settings_of(max_concurrent_requests=1))
    a = fleet.hire("a", [0])
    async with fleet.running(a):
        fleet.road.judge = lambda chunk: Verdict.PASSED if chunk.start < 20 * MINUTE else None
        fleet.road.ask(ask("r", 0, 60))
        await fleet.run(2)
        assert set(fleet.leases.state.jobs) == {"r"}
    fleet.road.judge = lambda _chunk: Verdict.PASSED
    b = fleet.hire("b", [0], settings=settings_of(window_bars=window_bars))
    async with fleet.running(b):
        await fleet.run(1)
        status = await fleet.ends("r", within_s=90)
        await fleet.run(1)
    assert status.state is RequestState.DONE
    assert not fleet.leases.state.jobs
    stored = merge([each.window for each in fleet.road.stored])
    assert stored == (Window(0, 60 * MINUTE),)
    assert all(each.window.start >= 20 * MINUTE for each in b.first.calls), "what is stored stays"


async def test_an_earlier_reader_that_asks_again_just_then_does_not_end_the_one_that_has_it() -> (
    None
):
    """It misses its job, which has made way, and does not know yet that the request has moved.

    After an outage of the service both come at once. The second refusal ended the process, and
    as one that another start would meet again.
    """
    fleet = fleet_of(settings_of(max_concurrent_requests=1))
    a = fleet.hire("a", [0])
    async with fleet.running(a):
        fleet.road.judge = lambda _chunk: None
        fleet.road.ask(ask("r", 0, 60))
        await fleet.run(2)
        old = fleet.leases.state.jobs["r"].spec
    asked_again = 0

    async def ask_again() -> None:
        nonlocal asked_again
        if "r" not in fleet.leases.state.jobs and asked_again < 3:
            asked_again += 1
            await fleet.leases.submit_job(replace(old, missing=(old.window,)))

    fleet.road.judge = lambda _chunk: Verdict.PASSED
    b = fleet.hire("b", [0], settings=settings_of(window_bars=25))
    b.line.after["cancel_job"] = ask_again
    async with fleet.running(b):
        await fleet.run(1)
        status = await fleet.ends("r", within_s=90)
        del b.line.after["cancel_job"]
    assert (status.state, asked_again) == (RequestState.DONE, 3)
