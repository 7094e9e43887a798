"""Requests that come twice, are taken back, or have ended before."""

from avro_schemas import BackfillStatus, RequestState
from tests.unit.worker_help import NODE, ask, cancel, settings_of, working
from worker.testing import MemoryRoad


async def test_a_repeated_id_is_the_same_request() -> None:
    async with working() as bench:
        bench.first.gate.clear()
        bench.road.ask(ask("r", 0, 20))
        await bench.run(1)
        bench.road.ask(ask("r", 0, 20))
        await bench.run(1)
        bench.first.gate.set()
        done = await bench.ends("r")
        told = len(bench.road.statuses)
        bench.road.ask(ask("r", 0, 20))
        await bench.run(1)
        assert bench.road.statuses[told:] == [done]
        assert len(bench.first.calls) == 2


async def test_a_request_that_ended_before_a_restart_is_answered_as_it_ended() -> None:
    ended = BackfillStatus(request_id="r", state=RequestState.FAILED, message="as it was")
    road = MemoryRoad()
    road.statuses.append(ended)
    async with working(road=road) as bench:
        bench.road.ask(ask("r", 0, 20, refetch=True))
        assert await bench.ends("r") == ended
        assert not bench.first.calls


async def test_a_request_that_is_taken_back_fetches_no_more() -> None:
    async with working(settings_of(max_concurrent_requests=2)) as bench:
        bench.first.gate.clear()
        bench.road.ask(ask("r", 0, 1_000))
        await bench.run(1)
        bench.road.ask(cancel("r"))
        status = await bench.ends("r")
        assert (status.state, status.windows_total, status.windows_done) == (
            RequestState.CANCELLED,
            100,
            0,
        )
        bench.first.gate.set()
        await bench.run(10)
        assert not bench.road.chunks
        assert not bench.leases.state.jobs
        assert not bench.leases.state.leases
        assert bench.road.committed == {0: 2}


async def test_what_another_request_wants_goes_on_when_one_is_taken_back() -> None:
    async with working() as bench:
        bench.first.gate.clear()
        bench.road.ask(ask("a", 0, 20))
        bench.road.ask(ask("b", 0, 20))
        await bench.run(1)
        bench.road.ask(cancel("a"))
        await bench.ends("a")
        bench.first.gate.set()
        assert (await bench.ends("b")).windows_done == 2
        assert set(bench.first.asked(NODE).values()) == {1}


async def test_cancel_before_submit_and_after_the_end_are_answered() -> None:
    async with working() as bench:
        bench.road.ask(cancel("never"))
        assert (await bench.ends("never")).state is RequestState.CANCELLED
        bench.road.ask(ask("never", 0, 10))
        await bench.run(1)
        assert not bench.first.calls
        bench.road.ask(ask("r", 0, 10))
        done = await bench.ends("r")
        bench.road.ask(cancel("r"))
        await bench.run(1)
        assert bench.road.last("r") == done
