"""Several workers, one lease service: who fetches, who answers, and what becomes of who goes."""

import asyncio
from dataclasses import replace

from avro_schemas import RequestState
from bars.series import Series
from bars.window import Window
from coordinator.client import LeaseEnd
from sources import SourceUnavailableError
from tests.unit.worker_help import (
    LIFE,
    MINUTE,
    SERIES,
    Hired,
    ask,
    cancel,
    fetched_once,
    fleet_of,
    settings_of,
)
from worker.testing import MemoryRoad


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
