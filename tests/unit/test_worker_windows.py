"""What becomes of windows: sources that fail, hang or have nothing, and who need not wait."""

import asyncio
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from avro_schemas import RequestState
from bars.frame import BarFrame
from runtime.settings import CalendarSettings
from runtime.testing import ManualClock
from sources import SourceError, SourceUnavailableError
from tests.unit.worker_help import MINUTE, NODE, ask, failed, settings_of, working


def unavailable(times: int) -> list[Exception]:
    return [SourceUnavailableError("first", "not now") for _ in range(times)]


async def test_a_source_that_fails_is_asked_again_with_growing_waits() -> None:
    async with working(settings_of(retry_backoff_ms=1_000)) as bench:
        bench.first.fail(*unavailable(3))
        bench.road.ask(ask("r", 0, 10))
        status = await bench.ends("r")
        assert status.state is RequestState.DONE
        assert len(bench.first.calls) == 4
        assert bench.clock.monotonic() >= 1 + 2 + 4
        assert len(bench.road.chunks) == 1


async def test_a_source_that_keeps_failing_fails_the_window_and_the_others_go_on() -> None:
    async with working(
        settings_of(max_attempts=3, max_concurrent_requests=1, window_bars=1)
    ) as bench:
        bench.road.ask(ask("r", 0, 3))
        bench.first.fail(*unavailable(1))
        bench.first.gate.clear()
        await bench.run(0.5)
        bench.first.gate.set()
        status = await bench.ends("r")
        assert status.state is RequestState.DONE
        bench.first.fail(*unavailable(9))
        bench.road.ask(ask("lost", 3, 6))
        status = await bench.ends("lost")
        assert (status.state, status.windows_failed, status.windows_done) == (
            RequestState.FAILED,
            3,
            0,
        )
        assert failed(status) == [(3, 4, "source"), (4, 5, "source"), (5, 6, "source")]
        assert "not now" in status.message


async def test_a_bar_that_its_source_cannot_give_fails_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with working(settings_of(max_attempts=2)) as bench:
        fetch = bench.first.fetch

        async def without_four(
            start: int, end: int, *, node_id: str, interval: int
        ) -> pd.DataFrame:
            if start <= 4 * MINUTE < end:
                raise SourceUnavailableError("first", "bar 4 is broken")
            return await fetch(start, end, node_id=node_id, interval=interval)

        monkeypatch.setattr(bench.first, "fetch", without_four)
        bench.road.ask(ask("r", 0, 20))
        status = await bench.ends("r", within_s=120)
        assert failed(status) == [(4, 5, "source")]
        assert sorted((c.start // MINUTE, c.end // MINUTE) for _, c in bench.road.chunks) == [
            (0, 2),
            (2, 3),
            (3, 4),
            (5, 10),
            (10, 20),
        ]


async def test_a_final_error_of_the_source_fails_the_window_at_once() -> None:
    async with working() as bench:
        bench.first.fail(SourceError("first", "no such symbol"))
        bench.road.ask(ask("r", 0, 20))
        status = await bench.ends("r")
        assert (status.state, status.windows_done, status.windows_failed) == (
            RequestState.FAILED,
            1,
            1,
        )
        assert len(bench.first.calls) == 2
        assert "no such symbol" in status.failures[0].message
        assert not bench.leases.state.jobs


async def test_a_rate_limited_source_is_left_alone_as_long_as_it_says() -> None:
    async with working(settings_of(max_concurrent_requests=1, max_attempts=1)) as bench:
        bench.first.limit_rate(1, retry_after_s=20)
        bench.road.ask(ask("r", 0, 50))
        await bench.run(19)
        assert len(bench.first.calls) == 1, "the other windows do not ask in between"
        status = await bench.ends("r")
        assert status.state is RequestState.DONE, "no attempt is burnt"
        assert set(bench.first.asked(NODE).values()) == {1}


async def test_a_rate_limited_source_does_not_hold_up_another() -> None:
    async with working(settings_of(max_concurrent_requests=1)) as bench:
        bench.first.limit_rate(1, retry_after_s=1_000)
        bench.road.ask(ask("slow", 0, 50))
        await bench.run(1)
        bench.road.ask(ask("other", 50, 100, source="second"))
        assert (await bench.ends("other")).windows_done == 5
        assert bench.road.last("slow").state is RequestState.RUNNING


async def test_a_source_that_hangs_is_given_up_after_the_life_of_a_lease() -> None:
    async with working(settings_of(lease_ttl_ms=20_000, max_attempts=2)) as bench:
        bench.first.gate.clear()
        bench.road.ask(ask("r", 0, 1))
        await bench.run(19)
        assert bench.first.waiting == 1
        status = await bench.ends("r", within_s=60)
        assert failed(status) == [(0, 1, "source_timeout")]
        assert bench.first.waiting == 0


async def test_no_more_windows_are_asked_at_a_time_than_allowed() -> None:
    async with working(settings_of(max_concurrent_requests=3)) as bench:
        bench.first.gate.clear()
        bench.road.ask(ask("r", 0, 500))
        await bench.run(3)
        assert bench.first.waiting == 3
        bench.first.gate.set()
        await bench.ends("r")


async def test_windows_that_wait_for_a_verdict_are_bounded() -> None:
    """A judge that is away must not fill the chunk topic."""
    async with working(settings_of(max_concurrent_requests=2)) as bench:
        bench.road.judge = lambda _chunk: None
        bench.road.ask(ask("r", 0, 1_000))
        await bench.run(30)
        assert len(bench.road.chunks) == 16


async def test_an_empty_answer_that_proves_itself_is_a_chunk() -> None:
    async with working(bars_held=10) as bench:
        bench.road.ask(ask("r", 10, 20))
        status = await bench.ends("r")
        ((_, chunk),) = bench.road.chunks
        assert (len(chunk.ts), chunk.empty_confirmed) == (0, True)
        assert (status.state, status.bars_fetched) == (RequestState.DONE, 0)


async def test_an_empty_answer_that_proves_nothing_is_asked_again_and_then_failed() -> None:
    async with working(settings_of(max_attempts=2), empty_confirmed=False, bars_held=10) as bench:
        bench.road.ask(ask("r", 10, 20))
        status = await bench.ends("r")
        assert failed(status) == [(10, 20, "empty_unconfirmed")]
        assert "empty_confirmed" in status.failures[0].message
        assert len(bench.first.calls) == 2
        assert not bench.road.chunks


@pytest.mark.parametrize(
    "frame",
    [
        pd.DataFrame({"ts": ["a"], "open": [1.0]}),
        pd.DataFrame({"ts": [0.5], "open": 1.0, "high": 1.0, "low": 1.0, "close": 1.0}),
        pd.DataFrame(
            {"ts": [0], "open": ["x"], "high": 1.0, "low": 1.0, "close": 1.0, "volume": 1}
        ),
    ],
)
async def test_a_frame_that_cannot_be_a_chunk_fails_the_window_with_what_was_found(
    frame: pd.DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fetch(_start: int, _end: int, *, node_id: str, interval: int) -> pd.DataFrame:
        del node_id, interval
        return frame

    async with working() as bench:
        monkeypatch.setattr(bench.first, "fetch", fetch)
        bench.road.ask(ask("r", 0, 10))
        status = await bench.ends("r")
        assert failed(status) == [(0, 10, "source")]
        assert "column" in status.failures[0].message
        assert not bench.road.chunks


async def test_windows_in_which_nothing_trades_are_not_asked_for() -> None:
    """A job's range spans the weekend; the worker passes over it."""
    settings = settings_of()
    (series,) = settings.nodes
    node = settings.nodes[series]
    friday = 1_492_732_800  # 2017-04-21
    changed = type(settings)(
        backfill=settings_of(window_bars=360).backfill,
        sources=settings.sources,
        calendars={
            "fx": CalendarSettings(
                name="fx",
                kind="weekly",
                timezone="America/New_York",
                open="Sun 17:00",
                close="Fri 17:00",
            )
        },
        nodes={series: type(node)(series=series, sources=node.sources, calendar="fx")},
    )
    clock = ManualClock(wall_us=2_000_000_000_000_000)
    async with working(changed, clock=clock) as bench:
        ts = np.arange(friday, friday + 3 * 86_400, MINUTE, dtype=np.int64)
        price = np.ones(ts.size)
        bench.first.bars[NODE] = BarFrame(ts, price, price, price, price, price)
        bench.road.ask(ask("r", friday // MINUTE, friday // MINUTE + 3 * 1_440))
        status = await bench.ends("r")
        assert (status.windows_total, status.windows_done) == (5, 5)
        asked = [(call.window.start - friday) // 3_600 for call in bench.first.calls]
        assert asked == [0, 6, 12, 18, 66]


async def test_a_half_of_a_failed_window_in_which_nothing_trades_is_not_waited_for() -> None:
    """Nobody asks for it, so no receipt will ever cover it."""
    settings = settings_of(window_bars=480, max_attempts=1)
    friday = 1_492_732_800  # 2017-04-21; the market closes at 21:00
    (series,) = settings.nodes
    node = settings.nodes[series]
    changed = replace(
        settings,
        calendars={
            "fx": CalendarSettings(
                name="fx",
                kind="weekly",
                timezone="America/New_York",
                open="Sun 17:00",
                close="Fri 17:00",
            )
        },
        nodes={series: replace(node, calendar="fx")},
    )
    clock = ManualClock(wall_us=2_000_000_000_000_000)
    async with working(changed, clock=clock) as bench:
        ts = np.arange(friday, friday + 86_400, MINUTE, dtype=np.int64)
        price = np.ones(ts.size)
        bench.first.bars[NODE] = BarFrame(ts, price, price, price, price, price)
        start = friday // MINUTE + 20 * 60
        bench.first.fail(SourceUnavailableError("first", "too much at once"))
        bench.road.ask(ask("r", start, start + 120))
        status = await bench.ends("r", within_s=60)
        assert (status.state, status.session_bars) == (RequestState.DONE, 60)
        assert [(c.window.start - friday) // 3_600 for c in bench.first.calls] == [20, 20]


async def test_urgent_requests_are_served_before_a_long_one_is_through() -> None:
    async with working(settings_of(max_concurrent_requests=1)) as bench:
        bench.first.gate.clear()
        bench.road.ask(ask("long", 0, 900))
        await bench.run(1)
        bench.road.ask(ask("urgent", 900, 920, priority=10))
        await bench.run(1)
        bench.first.gate.set()
        await bench.ends("urgent")
        order = [chunk.request_id for _, chunk in bench.road.chunks]
        assert order[1:3] == ["urgent", "urgent"]


async def test_a_source_that_blocks_one_request_lets_the_others_end() -> None:
    async with working() as bench:
        bench.first.gate.clear()
        bench.road.ask(ask("stuck", 0, 10))
        bench.road.ask(ask("free", 10, 20, source="second"))
        assert (await bench.ends("free")).state is RequestState.DONE
        assert bench.road.last("stuck").state is RequestState.RUNNING


async def test_nothing_is_left_running_when_the_worker_has_stopped() -> None:
    async with working() as bench:
        bench.first.gate.clear()
        bench.road.ask(ask("r", 0, 1_000))
        await bench.run(1)
    assert asyncio.all_tasks() == {asyncio.current_task()}
