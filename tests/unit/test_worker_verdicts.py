"""What a verdict makes of a window, and how its lease lives until then."""

import pytest

from avro_schemas import RequestState, Verdict
from coordinator.client import LeaseEnd
from sources import SourceError
from tests.unit.worker_help import NODE, ask, failed, settings_of, working
from topics import DeliveryError


async def test_a_blocked_window_is_failed_and_points_to_its_chunk_and_report() -> None:
    async with working() as bench:
        bench.road.judge = lambda chunk: Verdict.BLOCKED if chunk.start == 0 else Verdict.PASSED
        bench.road.ask(ask("r", 0, 20))
        status = await bench.ends("r")
        assert (status.state, status.windows_done, status.windows_failed) == (
            RequestState.FAILED,
            1,
            1,
        )
        (failure,) = status.failures
        assert (failure.error_class, failure.chunk_partition, failure.chunk_offset) == (
            "blocked",
            0,
            bench.road.chunks[0][0].offset,
        )
        assert f"qmtl://observability/seamless/{NODE}" in failure.message
        assert len(bench.first.calls) == 2


async def test_a_window_that_passed_and_could_not_be_stored_is_failed_later() -> None:
    async with working() as bench:
        bench.road.store_away = True
        bench.road.ask(ask("r", 0, 10))
        await bench.run(5)
        assert bench.road.last("r").state is RequestState.RUNNING
        place, chunk = bench.road.chunks[0]
        bench.road.verdict(place, chunk, Verdict.BLOCKED, error_class="unstorable", message="bad")
        status = await bench.ends("r")
        assert failed(status) == [(0, 10, "unstorable")]


@pytest.mark.parametrize("verdict", [Verdict.STALE, Verdict.EXPIRED])
async def test_a_stale_or_expired_chunk_is_fetched_again_under_a_higher_token(
    verdict: Verdict,
) -> None:
    verdicts = iter([verdict, Verdict.PASSED])
    async with working() as bench:
        bench.road.judge = lambda _chunk: next(verdicts)
        bench.road.ask(ask("r", 0, 10))
        assert (await bench.ends("r")).state is RequestState.DONE
        first, second = (chunk for _, chunk in bench.road.chunks)
        assert second.lease_token > first.lease_token


async def test_a_window_that_is_stale_again_and_again_is_failed_in_the_end() -> None:
    async with working(settings_of(max_attempts=3)) as bench:
        bench.road.judge = lambda _chunk: Verdict.STALE
        bench.road.ask(ask("r", 0, 10))
        assert failed(await bench.ends("r")) == [(0, 10, "stale_token")]
        assert len(bench.road.chunks) == 3


async def test_a_failure_is_told_to_every_request_that_waits_for_the_window() -> None:
    async with working() as bench:
        bench.first.gate.clear()
        bench.first.fail(SourceError("first", "gone"))
        bench.road.ask(ask("a", 0, 10))
        await bench.run(1)
        bench.road.ask(ask("b", 0, 10))
        await bench.run(1)
        bench.first.gate.set()
        assert failed(await bench.ends("a", within_s=3)) == [(0, 10, "source")]
        assert failed(await bench.ends("b", within_s=3)) == [(0, 10, "source")]


async def test_very_many_failures_are_counted_all_and_listed_in_part() -> None:
    """A status must fit into a record."""
    async with working(settings_of(max_concurrent_requests=64)) as bench:
        bench.road.judge = lambda _chunk: Verdict.BLOCKED
        bench.road.ask(ask("r", 0, 1_500))
        status = await bench.ends("r")
        assert (status.windows_failed, len(status.failures)) == (150, 100)
        assert "150 of 150 windows failed" in status.message


async def test_a_lease_lives_as_long_as_its_verdict_takes() -> None:
    async with working(settings_of(lease_ttl_ms=10_000)) as bench:
        bench.road.judge = lambda _chunk: None
        bench.road.ask(ask("r", 0, 10))
        await bench.run(300)
        ((place, chunk),) = bench.road.chunks
        bench.road.verdict(place, chunk, Verdict.NO_NEWS)
        assert (await bench.ends("r")).state is RequestState.DONE
        assert {each.end for each in bench.leases.state.ended.values()} == {LeaseEnd.COMPLETED}
        assert len(bench.road.chunks) == 1
        (lease,) = bench.leases.state.ended
        assert lease == chunk.lease_token, "one lease, for thirty lives of it"


async def test_a_chunk_that_the_broker_does_not_take_keeps_its_lease() -> None:
    """Nobody else could publish it either, and each lost lease would count as an attempt."""
    async with working(settings_of(lease_ttl_ms=20_000)) as bench:
        away = [DeliveryError("chunks", "down") for _ in range(50)]
        bench.road.fail("publish", *away)
        bench.road.ask(ask("r", 0, 10))
        await bench.run(180)
        assert bench.road.chunks == []
        assert (await bench.ends("r", within_s=300)).state is RequestState.DONE
        # Cancelled: the receipt was there before the lease was complete.
        ends = {each.end for each in bench.leases.state.ended.values()}
        assert ends <= {LeaseEnd.COMPLETED, LeaseEnd.CANCELLED}
        assert len(bench.first.calls) == 1


async def test_a_worker_that_slept_too_long_publishes_nothing_under_its_old_lease() -> None:
    async with working(settings_of(lease_ttl_ms=20_000)) as bench:
        bench.first.gate.clear()
        bench.road.ask(ask("r", 0, 10))
        await bench.run(1)
        bench.clock.advance(60)  # stopped: nobody ran meanwhile
        bench.first.gate.set()
        status = await bench.ends("r")
        assert status.state is RequestState.DONE
        ((_, chunk),) = bench.road.chunks
        assert chunk.lease_token == (1 << 40) + 2


async def test_a_session_that_was_lost_is_opened_again() -> None:
    async with working(settings_of(lease_ttl_ms=20_000)) as bench:
        await bench.run(1)
        bench.clock.advance(100)
        await bench.run(1)
        bench.road.ask(ask("r", 0, 10))
        assert (await bench.ends("r")).state is RequestState.DONE
