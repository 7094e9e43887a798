"""Requests while something is away, comes back, or is brought by somebody else."""

from dataclasses import replace

import pytest

from avro_schemas import RequestState, Verdict
from bars.window import Window
from runtime.testing import ManualClock
from store import StoreUnavailableError
from tests.unit.worker_help import LIFE, MINUTE, SERIES, ask, working
from topics import DeliveryError, KafkaUnavailableError, RegistryUnavailableError
from worker.testing import MemoryRoad, StoredWindow


@pytest.mark.parametrize(
    ("what", "error"),
    [
        ("windows", StoreUnavailableError("x", "down")),
        ("tell", DeliveryError("status", "down")),
        ("tell", RegistryUnavailableError("id", "down")),
        ("publish", DeliveryError("chunks", "down")),
        ("poll", KafkaUnavailableError("poll", "down")),
        ("decode", RegistryUnavailableError("id", "down")),
        ("commit", KafkaUnavailableError("commit", "down")),
        ("poll_proofs", KafkaUnavailableError("poll", "down")),
    ],
)
async def test_whoever_is_away_is_waited_for_and_nothing_is_dropped(
    what: str, error: Exception
) -> None:
    async with working() as bench:
        bench.road.fail(what, *[error] * 5)
        bench.road.ask(ask("r", 0, 30))
        status = await bench.ends("r", within_s=60)
        assert (status.state, status.windows_done) == (RequestState.DONE, 3)
        await bench.run(5)
        assert bench.road.committed == {0: 1}


async def test_something_that_waiting_does_not_mend_ends_the_worker() -> None:
    clock = ManualClock()
    road = MemoryRoad()
    road.fail("publish", ZeroDivisionError())
    road.ask(ask("r", 0, 10))
    with pytest.raises(ZeroDivisionError):
        async with working(road=road, clock=clock) as bench:
            await bench.run(1)
    assert road.committed == {}


async def test_requests_that_end_behind_a_running_one_are_committed_with_it() -> None:
    async with working() as bench:
        bench.first.gate.clear()
        bench.road.ask(ask("long", 0, 20))
        await bench.run(1)
        bench.road.ask(ask("bad", 20, 10))
        await bench.ends("bad")
        await bench.run(2)
        assert bench.road.committed == {}
        bench.first.gate.set()
        await bench.ends("long")
        await bench.run(1)
        assert bench.road.committed == {0: 2}


async def test_a_restarted_worker_goes_on_from_the_ledger_under_a_higher_epoch() -> None:
    clock = ManualClock()
    road = MemoryRoad()
    road.judge = lambda chunk: Verdict.PASSED if chunk.start < 20 * MINUTE else None
    async with working(road=road, clock=clock, epoch=1) as bench:
        road.ask(ask("r", 0, 40))
        await bench.run(2)
        assert road.last("r").windows_done == 2
    assert road.committed == {}
    assert not road.last("r").state.final
    road.judge = lambda _chunk: Verdict.PASSED
    async with working(road=road, clock=clock, epoch=2) as bench:
        status = await bench.ends("r")
        assert (status.state, status.windows_total, status.session_bars_covered) == (
            RequestState.DONE,
            2,
            20,
        )
        assert [c.window for c in bench.first.calls] == [
            Window(20 * MINUTE, 30 * MINUTE),
            Window(30 * MINUTE, 40 * MINUTE),
        ]
    late = [c for _, c in road.chunks[4:]]
    assert {c.lease_token >> 40 for c in late} == {2}
    assert road.committed == {0: 1}


async def test_a_verdict_on_a_chunk_of_an_earlier_worker_says_nothing_about_ours() -> None:
    async with working(epoch=5) as bench:
        bench.road.judge = lambda _chunk: None
        bench.road.ask(ask("r", 0, 10))
        await bench.run(1)
        place, chunk = bench.road.chunks[0]
        old = replace(chunk, lease_token=3 << 40)
        bench.road.verdict(place._replace(offset=99), old, Verdict.BLOCKED)
        await bench.run(5)
        assert bench.road.last("r").state is RequestState.RUNNING
        bench.road.verdict(place, chunk, Verdict.NO_NEWS)
        assert (await bench.ends("r")).state is RequestState.DONE


async def test_stopping_gives_the_leases_back_and_tells_no_end() -> None:
    clock = ManualClock()
    road = MemoryRoad()
    async with working(road=road, clock=clock) as bench:
        bench.first.gate.clear()
        road.ask(ask("r", 0, 100))
        await bench.run(1)
        assert bench.leases.state.leases
        leases = bench.leases
    assert not leases.state.leases
    assert not leases.state.sessions
    assert road.last("r").state is RequestState.RUNNING
    assert road.committed == {}


async def test_records_that_come_again_after_a_rebalance_are_not_served_twice() -> None:
    async with working() as bench:
        bench.first.gate.clear()
        bench.road.ask(ask("r", 0, 20))
        await bench.run(1)
        bench.road.reread()
        await bench.run(1)
        bench.first.gate.set()
        await bench.ends("r")
        assert bench.road.states("r") == LIFE


async def test_the_topic_is_paused_while_very_many_requests_run() -> None:
    async with working() as bench:
        bench.first.gate.clear()
        for number in range(510):
            bench.road.ask(ask(f"r{number}", 0, 10))
        await bench.run(2)
        paused = [bool(bench.road.paused)]
        bench.first.gate.set()
        await bench.run(5)
        paused.append(bool(bench.road.paused))
        assert paused == [True, False]
        assert bench.road.committed == {0: 510}
        assert len(bench.first.calls) == 1


async def test_coverage_from_another_writer_completes_a_request() -> None:
    """Whoever fetched it: what the ledger covers need not be fetched to the end."""
    async with working() as bench:
        bench.first.gate.clear()
        bench.road.ask(ask("r", 0, 20))
        await bench.run(1)
        for window in (Window(0, 600), Window(600, 1_200)):
            bench.road.stored.append(
                StoredWindow(series=SERIES, lane="roll", window=window, token=0)
            )
        assert (await bench.ends("r")).windows_done == 2
        await bench.run(10)
        assert not bench.leases.state.leases


async def test_a_verdict_on_a_chunk_of_nobody_ends_nothing() -> None:
    """Anybody may publish one, with any token; it was blocked because its series is none."""
    async with working() as bench:
        bench.road.ask(ask("r", 0, 10))
        await bench.ends("r")
        place, chunk = bench.road.chunks[0]
        foreign = replace(chunk, node_id="a|b", lease_token=2**60)
        bench.road.verdict(place._replace(offset=7), foreign, Verdict.BLOCKED)
        bench.road.ask(ask("next", 10, 20))
        assert (await bench.ends("next")).state is RequestState.DONE


async def test_who_asks_for_what_passed_and_could_not_be_stored_is_not_kept_waiting() -> None:
    """The lease service takes it for done as long as somebody wants the lane."""
    async with working() as bench:
        bench.road.store_away = True
        bench.road.ask(ask("r", 0, 40))
        await bench.run(1)
        bench.road.verdict(*bench.road.chunks[0], Verdict.BLOCKED, error_class="unstorable")
        await bench.run(1)
        bench.road.ask(ask("late", 0, 10))
        status = await bench.ends("late")
        assert (status.state, status.windows_failed) == (RequestState.FAILED, 1)
        assert status.failures[0].error_class == "unstorable"


async def test_what_could_not_be_stored_and_has_passed_since_is_waited_for() -> None:
    async with working() as bench:
        bench.road.store_away = True
        bench.road.ask(ask("r", 0, 40))
        await bench.run(1)
        bench.road.verdict(*bench.road.chunks[0], Verdict.BLOCKED, error_class="unstorable")
        bench.road.ask(ask("again", 0, 10, refetch=True))
        await bench.run(1)
        bench.road.ask(ask("late", 0, 10))
        await bench.run(5)
        bench.road.bring_store_back()
        assert (await bench.ends("late")).state is RequestState.DONE
