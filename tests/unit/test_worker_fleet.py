"""Several workers, one lease service: who fetches, who answers, and what becomes of who goes."""

import asyncio
from dataclasses import replace

import pytest

from avro_schemas import BackfillStatus, RequestState, Verdict
from bars.series import Series
from bars.window import Window, merge
from coordinator.client import LeaseEnd
from runtime.testing import ManualClock
from sources import SourceUnavailableError
from tests.unit.worker_help import (
    LIFE,
    MINUTE,
    SERIES,
    Fleet,
    Hired,
    ask,
    cancel,
    fleet_of,
    settings_of,
)
from worker.testing import MemoryRoad, StoredWindow


def fetched_once(fleet: Fleet, bars: int) -> None:
    """Check that every bar was asked for, and published, exactly once."""
    times = [ts for _, chunk in fleet.road.chunks for ts in chunk.ts.tolist()]
    assert sorted(times) == [MINUTE * i for i in range(bars)]


async def test_windows_of_one_request_are_fetched_by_all_workers() -> None:
    """The one that answers it counts what the others brought: it is told with every chunk."""
    fleet = fleet_of(settings_of(max_concurrent_requests=2))
    a, b = fleet.hire("a", [0]), fleet.hire("b", [1])
    async with fleet.running(a, b):
        a.first.gate.clear()
        b.first.gate.clear()
        fleet.road.ask(ask("r", 0, 80))
        await fleet.run(1)
        assert (a.first.waiting, b.first.waiting) == (2, 2)
        a.first.gate.set()
        b.first.gate.set()
        status = await fleet.ends("r")
    assert (status.state, status.bars_fetched, status.windows_done) == (RequestState.DONE, 80, 8)
    assert fleet.road.states("r") == LIFE
    assert a.first.calls
    assert b.first.calls
    fetched_once(fleet, 80)


async def test_a_worker_without_requests_of_its_own_fetches_for_others() -> None:
    fleet = fleet_of()
    a, b = fleet.hire("a", [0]), fleet.hire("b", [])
    async with fleet.running(a, b):
        a.first.gate.clear()
        fleet.road.ask(ask("r", 0, 300))
        await fleet.run(5)
        assert len(b.first.calls) == 22
        assert a.first.waiting == 8
        a.first.gate.set()
        assert (await fleet.ends("r")).bars_fetched == 300
    assert {c.request_ids for _, c in fleet.road.chunks} == {("r",)}


async def test_a_chunk_names_every_request_that_it_was_fetched_for() -> None:
    fleet = fleet_of()
    a, b, c = (fleet.hire(name, [i]) for i, name in enumerate("abc"))
    async with fleet.running(a, b, c):
        for each in (a, b, c):
            each.first.gate.clear()
        fleet.road.ask(ask("blocker", 500, 740))
        await fleet.run(1)
        fleet.road.ask(ask("r1", 0, 10), 0)
        fleet.road.ask(ask("r2", 5, 10), 1)
        await fleet.run(1)
        for each in (a, b, c):
            each.first.gate.set()
        one, two = await fleet.ends("r1"), await fleet.ends("r2")
    assert (one.bars_fetched, two.bars_fetched) == (10, 10)
    named = [chunk.request_ids for _, chunk in fleet.road.chunks if chunk.start < 600]
    assert named == [("r1", "r2")]


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


async def test_what_a_dead_worker_held_is_fetched_by_another() -> None:
    """Its session ends, its leases with it; waking up it publishes nothing under them."""
    fleet = fleet_of()
    a, b = fleet.hire("a", [0]), fleet.hire("b", [])
    async with fleet.running(a, b):
        a.first.gate.clear()
        fleet.road.ask(ask("r", 0, 200))
        await fleet.run(1)
        held = a.first.waiting
        assert held == 8
        a.line.cut = True
        a.inbox.take(0)
        b.inbox.give(0)
        status = await fleet.ends("r", within_s=90)
        a.line.cut = False
        a.first.gate.set()
        await fleet.run(10)
    assert status.state is RequestState.DONE
    assert len(b.first.calls) == 20
    fetched_once(fleet, 200)
    ends = [ended.end for ended in fleet.leases.state.ended.values()]
    assert ends.count(LeaseEnd.ORPHANED) == held


async def test_a_cancel_ends_the_work_of_other_workers() -> None:
    fleet = fleet_of()
    a, b = fleet.hire("a", [0]), fleet.hire("b", [])
    async with fleet.running(a, b):
        a.first.gate.clear()
        b.first.gate.clear()
        fleet.road.ask(ask("r", 0, 300))
        await fleet.run(1)
        assert b.first.waiting == 8
        fleet.road.ask(cancel("r"))
        status = await fleet.ends("r")
        await fleet.run(60)
        assert (a.first.waiting, b.first.waiting) == (0, 0)
    assert status.state is RequestState.CANCELLED
    assert not fleet.leases.state.leases
    assert not fleet.leases.state.jobs


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


async def test_what_is_stored_while_a_request_is_planned_is_not_fetched_again() -> None:
    """It reads a ledger without the windows, and submits when whoever had them fetched is gone."""

    class SlowLedger(MemoryRoad):
        slow = False

        async def windows(
            self, series: Series, lanes: tuple[str, ...] | None, window: Window
        ) -> tuple[Window, ...]:
            found = await super().windows(series, lanes, window)
            if self.slow:
                await slow.wait()
            return found

    slow, road = asyncio.Event(), SlowLedger()
    fleet = fleet_of(road=road)
    a, b = fleet.hire("a", [0]), fleet.hire("b", [1])
    async with fleet.running(a, b):
        a.first.gate.clear()
        b.first.gate.clear()
        road.ask(ask("first", 0, 20), 0)
        await fleet.run(1)
        road.slow = True
        road.ask(ask("second", 0, 20), 1)
        await fleet.run(1)
        road.slow, road.store_away = False, True
        a.first.gate.set()
        b.first.gate.set()
        await fleet.run(1)
        road.bring_store_back()
        await fleet.ends("first")
        slow.set()
        assert (await fleet.ends("second")).state is RequestState.DONE
        await fleet.run(1)
    fetched_once(fleet, 20)
    assert not fleet.leases.state.jobs


async def test_a_lease_for_what_only_others_are_configured_for_finds_its_worker() -> None:
    fleet = fleet_of(settings_of(retry_backoff_ms=100))
    whole = fleet.settings
    (node,) = whole.nodes.values()
    less = replace(
        whole,
        sources={"first": whole.sources["first"]},
        nodes={SERIES: replace(node, sources=("first",))},
        ranks={},
    )
    a, b = fleet.hire("a", [0], settings=less), fleet.hire("b", [1])
    async with fleet.running(a, b):
        b.second.gate.clear()
        fleet.road.ask(ask("blocker", 500, 580, source="second"), 1)
        await fleet.run(1)
        fleet.road.ask(ask("r", 0, 10, source="second"), 1)
        await fleet.run(1)
        b.second.gate.set()
        assert (await fleet.ends("r")).state is RequestState.DONE
        assert (await fleet.ends("blocker")).state is RequestState.DONE


async def test_a_completion_whose_answer_was_lost_is_one() -> None:
    fleet = fleet_of()
    a = fleet.hire("a", [0])
    async with fleet.running(a):
        fleet.road.store_away = True
        a.line.loses.add("complete")
        fleet.road.ask(ask("r", 0, 10))
        await fleet.run(5)
        assert not a.line.loses
        assert windows(a) == {"done": 1.0}
        fleet.road.bring_store_back()
        assert (await fleet.ends("r")).windows_done == 1


async def test_a_failure_whose_answer_was_lost_reaches_the_request() -> None:
    """Whether the window is tried again, only the service knows: it is asked."""
    fleet = fleet_of(settings_of(max_attempts=1, window_bars=1))
    a = fleet.hire("a", [0])
    async with fleet.running(a):
        a.line.loses.add("fail")
        a.first.fail(SourceUnavailableError("first", "not now"))
        fleet.road.ask(ask("r", 0, 1))
        status = await fleet.ends("r", within_s=5)
        assert not a.line.loses
    assert [failure.error_class for failure in status.failures] == ["source"]
    assert "lost" not in windows(a)


def windows(hired: Hired) -> dict[str, float]:
    """Return what a worker has counted of its windows, by state."""
    return {
        sample.labels["state"]: sample.value
        for family in hired.metrics.registry.collect()
        for sample in family.samples
        if sample.name == "seamless_windows_total" and sample.value
    }


async def test_a_service_that_has_lost_its_memory_is_told_again() -> None:
    fleet = fleet_of()
    a = fleet.hire("a", [0])
    async with fleet.running(a):
        a.first.gate.clear()
        fleet.road.ask(ask("r", 0, 20))
        await fleet.run(1)
        await fleet.leases.cancel_job("r")
        await fleet.run(60)
        a.first.gate.set()
        assert (await fleet.ends("r")).state is RequestState.DONE


async def test_what_the_store_has_lost_is_fetched_again() -> None:
    """It passed, the mark says that it is visible, and the ledger does not show it."""
    fleet = fleet_of()
    a = fleet.hire("a", [0])
    async with fleet.running(a):
        fleet.road.store_away = True
        fleet.road.ask(ask("r", 0, 20))
        await fleet.run(60)
        fleet.road.mark = 1  # the first chunk, not the second
        fleet.road.lose_store()
        await fleet.run(90)
        asked = sorted(call.window.start // MINUTE for call in a.first.calls)
        assert asked == [0, 0, 10]
        fleet.road.mark = 3
        status = await fleet.ends("r", within_s=120)
    assert (status.state, status.windows_done) == (RequestState.DONE, 2)
    assert len(a.first.calls) == 4
    assert sorted(fleet.road.chunks[-1][1].ts.tolist()) == [MINUTE * i for i in range(10, 20)]
