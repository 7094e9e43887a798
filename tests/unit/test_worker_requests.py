"""What becomes of requests, with everything outside in memory."""

from dataclasses import replace

import pytest

from avro_schemas import RequestKind, RequestState, Verdict
from bars.fingerprint import content_hash
from bars.records import bars_of
from runtime.testing import ManualClock
from tests.unit.worker_help import LIFE, MINUTE, NODE, ask, settings_of, working


async def test_a_request_becomes_one_chunk_a_window_and_is_done() -> None:
    async with working() as bench:
        bench.road.ask(ask("r", 3, 25))
        status = await bench.ends("r")
        assert bench.road.states("r") == LIFE
        assert (status.windows_total, status.windows_done, status.windows_failed) == (3, 3, 0)
        assert (status.session_bars, status.bars_fetched) == (22, 22)
        assert (status.start, status.end) == (3 * MINUTE, 25 * MINUTE)
        chunks = [chunk for _, chunk in bench.road.chunks]
        assert [(c.start // 60, c.end // 60) for c in chunks] == [(3, 10), (10, 20), (20, 25)]
        tokens = [c.lease_token for c in chunks]
        assert tokens == sorted(set(tokens))
        assert {t >> 40 for t in tokens} == {1}
        for chunk in chunks:
            assert (chunk.lane, chunk.source, chunk.request_id) == ("bf:first", "first", "r")
            assert chunk.content_hash == content_hash(bars_of(chunk))
            assert not chunk.covers
        await bench.run(1)
        assert bench.road.committed == {0: 1}


async def test_what_the_source_gave_is_published_as_it_is() -> None:
    """Order and repeats are for conformance to judge."""
    async with working() as bench:
        held = bench.first.bars[NODE]
        bench.first.bars[NODE] = held.take([3, 1, 1, 2])
        bench.road.ask(ask("r", 0, 10))
        await bench.ends("r")
        ((_, chunk),) = bench.road.chunks
        assert chunk.ts.tolist() == [3 * MINUTE, MINUTE, MINUTE, 2 * MINUTE]


async def test_what_is_covered_is_not_fetched_again() -> None:
    async with working() as bench:
        bench.road.ask(ask("r", 0, 30))
        await bench.ends("r")
        bench.road.ask(ask("again", 0, 30))
        status = await bench.ends("again")
        assert status.state is RequestState.DONE
        assert (status.windows_total, status.session_bars_covered) == (0, 30)
        assert "covered" in status.message
        assert len(bench.first.calls) == 3


async def test_what_any_lane_covers_is_not_fetched_unless_a_source_is_named() -> None:
    async with working() as bench:
        bench.road.ask(ask("r", 0, 10, source="second"))
        await bench.ends("r")
        assert [c.lane for _, c in bench.road.chunks] == ["bf:second"]
        bench.road.ask(ask("any", 0, 10))
        assert (await bench.ends("any")).windows_total == 0
        bench.road.ask(ask("named", 0, 10, source="first"))
        assert (await bench.ends("named")).windows_total == 1
        assert [c.lane for _, c in bench.road.chunks] == ["bf:second", "bf:first"]


async def test_a_refetch_fetches_what_is_covered() -> None:
    async with working() as bench:
        bench.road.ask(ask("r", 0, 10))
        await bench.ends("r")
        bench.road.ask(ask("again", 0, 10, refetch=True))
        status = await bench.ends("again")
        assert (status.windows_total, status.session_bars_covered) == (1, 0)
        first, second = (chunk for _, chunk in bench.road.chunks)
        assert second.lease_token > first.lease_token


async def test_a_refetch_is_not_done_by_a_receipt_from_before_it() -> None:
    async with working() as bench:
        bench.road.store_away = True
        bench.road.ask(ask("r", 0, 10))
        await bench.run(1)
        bench.road.judge = lambda _chunk: None
        bench.road.ask(ask("again", 0, 10, refetch=True))
        await bench.run(1)
        bench.road.bring_store_back()
        assert (await bench.ends("r")).state is RequestState.DONE
        await bench.run(60)
        assert bench.road.last("again").state is RequestState.RUNNING
        place, chunk = bench.road.chunks[1]
        bench.road.verdict(place, chunk, Verdict.NO_NEWS)
        assert (await bench.ends("again")).state is RequestState.DONE


async def test_no_news_is_as_good_as_a_receipt() -> None:
    async with working() as bench:
        bench.road.judge = lambda _chunk: Verdict.NO_NEWS
        bench.road.ask(ask("r", 0, 20))
        assert (await bench.ends("r")).windows_done == 2
        assert not bench.road.stored


async def test_overlapping_requests_fetch_no_bar_twice_and_both_end() -> None:
    async with working() as bench:
        bench.first.gate.clear()
        bench.road.ask(ask("a", 0, 40))
        bench.road.ask(ask("b", 15, 60))
        await bench.run(1)
        bench.first.gate.set()
        assert (await bench.ends("a")).windows_done == 4
        assert (await bench.ends("b")).windows_done == 5
        assert set(bench.first.asked(NODE).values()) == {1}


async def test_a_window_that_another_request_is_bringing_is_waited_for_not_fetched() -> None:
    """Judged, but the store is away: the ledger does not show it yet."""
    async with working() as bench:
        bench.road.store_away = True
        bench.road.ask(ask("a", 0, 20))
        await bench.run(2)
        bench.road.ask(ask("b", 0, 20))
        await bench.run(60)
        assert bench.road.last("b").state is RequestState.RUNNING
        assert len(bench.first.calls) == 2
        bench.road.bring_store_back()
        assert (await bench.ends("a")).state is RequestState.DONE
        assert (await bench.ends("b")).state is RequestState.DONE


async def test_a_receipt_that_was_missed_is_found_in_the_ledger_with_few_queries() -> None:
    async with working() as bench:
        bench.road.receipts_lost = True
        bench.road.ask(ask("r", 0, 100))
        assert (await bench.ends("r", within_s=10)).windows_done == 10
        assert bench.road.ledger_queries <= 4


async def test_a_store_that_stays_away_is_asked_ever_less_often() -> None:
    async with working() as bench:
        bench.road.store_away = True
        bench.road.ask(ask("r", 0, 100))
        await bench.run(300)
        assert bench.road.ledger_queries <= 15
        assert bench.road.last("r").state is RequestState.RUNNING


async def test_progress_is_told_at_most_once_a_second() -> None:
    async with working(settings_of(max_concurrent_requests=1)) as bench:
        bench.road.ask(ask("r", 0, 1_000))
        await bench.ends("r")
        running = [s for s in bench.road.statuses if s.state is RequestState.RUNNING]
        assert 1 <= len(running) <= bench.clock.monotonic() + 1
        done = [s.windows_done for s in running]
        assert done == sorted(done)


async def test_a_request_for_what_has_not_closed_is_clipped() -> None:
    clock = ManualClock(wall_us=600 * 1_000_000)
    async with working(settings_of(settle_s=60), clock=clock) as bench:
        bench.road.ask(ask("r", 0, 100))
        status = await bench.ends("r")
        assert (status.end, status.session_bars) == (540, 9)


# Refused


@pytest.mark.parametrize(
    ("values", "field"),
    [
        ({"node_id": "nobody"}, "node_id must be a node of the configuration"),
        ({"node_id": "~x"}, "node_id must be"),
        ({"interval": 300}, "interval must be one that the node has: 60"),
        ({"interval": 0}, "interval must be"),
        ({"start": 600, "end": 600}, "end must be epoch seconds after start 600"),
        ({"start": 600, "end": 60}, "end must be"),
        ({"start": -60}, "start must be"),
        ({"start": 601, "end": 659}, "end must be so that a bar opens"),
        ({"end": 2**62}, "end must be"),
        ({"source": "third"}, "source must be empty or a source of the node: first, second"),
        ({"priority": 5_000}, "priority must be"),
        ({"kind": RequestKind.UNKNOWN}, "kind must be SUBMIT or CANCEL"),
        ({"request_id": ""}, "request_id must be"),
        ({"request_id": "x" * 201}, "request_id must be"),
    ],
)
async def test_a_request_that_cannot_be_is_rejected_with_the_field(
    values: dict[str, object], field: str
) -> None:
    async with working() as bench:
        request = replace(ask("r", 0, 10), **values)  # type: ignore[arg-type]
        bench.road.ask(request)
        status = await bench.ends(request.request_id)
        assert status.state is RequestState.REJECTED
        assert status.message.startswith(field)
        assert "was" in status.message
        assert not bench.first.calls
        await bench.run(1)
        assert bench.road.committed == {0: 1}


async def test_an_unreadable_record_goes_to_the_dead_letters_and_the_next_is_served() -> None:
    async with working() as bench:
        bench.road.ask(None)
        bench.road.ask(ask("r", 0, 10))
        await bench.ends("r")
        assert [(b.message.offset, b.error_class) for b in bench.road.buried] == [(0, "not_avro")]
        await bench.run(1)
        assert bench.road.committed == {0: 2}
