"""What every provider does, whatever stands behind it: one suite for all set-ups.

Run on memory and SQLite without any server, on QuestDB alone, on Kafka with a stand-in for worker
and agents, and on the whole road with real agents.
"""

import asyncio
from typing import Any, Protocol

import pytest

from bars.window import Window
from provider import (
    BackfillFailedError,
    ConfigError,
    DataAvailabilityStrategy,
    DataUnavailableError,
    InvalidValueError,
    SeamlessDataProvider,
)
from sources import SourceError
from tests.provider_help import DAY, END, NODE, START, Upstream, same, sessions

ASK: dict[str, Any] = {"node_id": NODE, "interval": DAY}
"""The series of set-ups that each test has to itself."""

FIRST, LAST = START + DAY, END - 2 * DAY
"""First and last session of the window."""

HELD = Window(START + 13 * DAY, START + 27 * DAY)
"""What is stored before the test: two weeks from a Tuesday."""


class World(Protocol):
    """A set-up: who stores, who brings, and a source that is under the test's control."""

    upstream: Upstream

    ask: dict[str, Any]
    """What every call is about: a series that no other test has touched."""

    def provider(self, **options: Any) -> SeamlessDataProvider:
        """Return a provider; closed by the test."""
        ...

    async def store(self, window: Window) -> None:
        """Put the truth of a window where the provider reads."""
        ...


async def boarded(provider: SeamlessDataProvider, waiters: int) -> None:
    """Return when so many wait for one fetch."""
    for _ in range(5_000):
        flying = [f for own in list(provider._engine.flights._by_series.values()) for f in own]
        if any(flight.waiters >= waiters for flight in flying):
            return
        await asyncio.sleep(0.002)
    raise AssertionError("nobody else boarded")


class BehaviourSuite:
    """Subclasses give the fixture `world`."""

    async def test_fail_fast_answers_all_that_is_stored_or_raises(self, world: World) -> None:
        await world.store(HELD)
        async with world.provider(strategy="fail_fast") as provider:
            frame = await provider.fetch(HELD.start, HELD.end, **world.ask)
            assert same(frame, sessions().inside(HELD))
            with pytest.raises(DataUnavailableError) as gone:
                await provider.fetch(START, END, **world.ask)
        assert gone.value.missing[0][0] == FIRST
        assert gone.value.missing[-1][1] == LAST
        assert world.upstream.calls == []

    async def test_auto_backfill_brings_the_gaps_once_and_answers_all(self, world: World) -> None:
        await world.store(HELD)
        async with world.provider() as provider:
            assert same(await provider.fetch(START, END, **world.ask), sessions())
            assert same(await provider.fetch(START, END, **world.ask), sessions())
        beyond = sessions().take((sessions().ts < HELD.start) | (sessions().ts >= HELD.end))
        assert set(beyond.ts.tolist()) <= set(world.upstream.asked.tolist())
        assert len(set(world.upstream.asked.tolist())) == world.upstream.asked.size

    async def test_partial_fill_answers_at_once_and_fills_behind(self, world: World) -> None:
        await world.store(HELD)
        world.upstream.gate.clear()
        async with world.provider(strategy="partial_fill") as provider:
            frame = await provider.fetch(START, END, **world.ask)
            assert same(frame, sessions().inside(HELD))
            told = frame.attrs["seamless"]
            assert told["missing_slots"]["unknown"] == len(sessions()) - len(frame)
            (job,) = provider.jobs()
            assert told["backfill"]["job"] == job.job_id
            again = await provider.fetch(START, END, **world.ask)
            assert again.attrs["seamless"]["backfill"]["job"] == job.job_id
            assert 0 <= job.progress < 1
            world.upstream.gate.set()
            await job.wait()
            assert (job.state, job.progress, job.failures) == ("done", 1.0, ())
            assert provider.jobs() == []
            assert same(await provider.fetch(START, END, **world.ask), sessions())
        assert len(set(world.upstream.asked.tolist())) == world.upstream.asked.size

    async def test_seamless_says_what_it_could_not_get(self, world: World) -> None:
        await world.store(HELD)
        world.upstream.failing = [SourceError("daily", "no such day")] * 99
        async with world.provider(strategy="seamless") as provider:
            frame = await provider.fetch(START, END, **world.ask)
            assert same(frame, sessions().inside(HELD))
            told = frame.attrs["seamless"]
            assert told["missing_slots"]["failed"] == len(sessions()) - len(frame)
            assert told["failed"]
            assert "no such day" in told["failed"][0]["message"]
            world.upstream.failing = []
            assert same(await provider.fetch(START, END, **world.ask), sessions())

    async def test_a_failed_backfill_is_an_error_of_auto_backfill(self, world: World) -> None:
        world.upstream.failing = [SourceError("daily", "no such day")] * 99
        async with world.provider() as provider:
            with pytest.raises(BackfillFailedError, match="no such day") as failed:
                await provider.fetch(START, END, **world.ask)
        assert failed.value.request_id
        assert failed.value.windows

    async def test_many_calls_at_a_time_ask_for_each_bar_once(self, world: World) -> None:
        async with world.provider() as provider:
            frames = await asyncio.gather(
                *(provider.fetch(START + (k % 7) * DAY, END, **world.ask) for k in range(50))
            )
        for k, frame in enumerate(frames):
            assert same(frame, sessions().inside(Window(START + (k % 7) * DAY, END)))
        assert world.upstream.asked.tolist() == sessions().ts.tolist()

    async def test_cancelling_one_call_leaves_the_others_their_fetch(self, world: World) -> None:
        world.upstream.gate.clear()
        async with world.provider() as provider:
            calls = [
                asyncio.ensure_future(provider.fetch(START, END, **world.ask)) for _ in range(3)
            ]
            await world.upstream.until_asked()
            await boarded(provider, 3)
            calls[0].cancel()
            with pytest.raises(asyncio.CancelledError):
                await calls[0]
            world.upstream.gate.set()
            for frame in await asyncio.gather(*calls[1:]):
                assert same(frame, sessions())
        assert world.upstream.asked.tolist() == sessions().ts.tolist()

    async def test_ranges_are_inclusive_and_what_is_missing_is_named(self, world: World) -> None:
        await world.store(HELD)
        async with world.provider() as provider:
            assert await provider.missing(START, END, **world.ask) == [
                (FIRST, START + 12 * DAY),
                (START + 27 * DAY, LAST),
            ]
            await provider.ensure_range(START + 2 * DAY, HELD.start, **world.ask)
            assert (await provider.coverage(**world.ask))[0] == (START + 2 * DAY, HELD.end - DAY)
            await provider.fill_missing(START + 2 * DAY, START + 2 * DAY, **world.ask)
            assert world.upstream.asked.max() < HELD.start
            assert await provider.ensure_data_available(START, END, **world.ask)
            assert await provider.missing(START, END, **world.ask) == []

    async def test_data_may_be_unavailable_without_an_error(self, world: World) -> None:
        async with world.provider() as provider:
            never = await provider.ensure_data_available(
                START, END, **world.ask, strategy="fail_fast"
            )
            assert never is False
            assert world.upstream.calls == []
            with pytest.raises(DataUnavailableError):
                await provider.ensure_range(FIRST, LAST, **world.ask, strategy="fail_fast")

    async def test_a_plan_is_told_and_nothing_is_done(self, world: World) -> None:
        await world.store(HELD)
        async with world.provider() as provider:
            plan = await provider.explain(START, END, **world.ask)
            assert plan["action"] == "fetch"
            assert plan["missing"] == [[FIRST, START + 12 * DAY], [START + 27 * DAY, LAST]]
            assert plan["requests"] == len(plan["windows"]) > 0
            assert plan["reads"] == [
                {"source": "storage", "ranges": [[HELD.start, HELD.end - DAY]]}
            ]
            for strategy, action in (("fail_fast", "fail"), ("partial_fill", "background")):
                other = await provider.explain(START, END, **world.ask, strategy=strategy)
                assert other["action"] == action
            assert (await provider.explain(HELD.start, HELD.end, **world.ask))["action"] == "none"
        assert world.upstream.calls == []
        assert provider.jobs() == []

    async def test_history_counts_session_bars(self, world: World) -> None:
        async with world.provider() as provider:
            frame = await provider.history(5, **world.ask, end=END)
            assert same(frame, sessions().take(slice(-5, None)))
            newest = await provider.history(1, **world.ask, end=START + 5 * DAY)
            assert newest["ts"].tolist() == [START + 2 * DAY], "Friday, asked on Sunday"

    async def test_each_call_may_have_its_own_strategy(self, world: World) -> None:
        async with world.provider(strategy=DataAvailabilityStrategy.FAIL_FAST) as provider:
            frame = await provider.fetch(START, END, **world.ask, strategy="auto_backfill")
            assert same(frame, sessions())
            assert frame.attrs["seamless"]["strategy"] == "auto_backfill"
            with pytest.raises(ConfigError, match="strategy"):
                await provider.fetch(START, END, **world.ask, strategy="soon")
            wrong: Any = {"stratgy": "seamless"}
            with pytest.raises(ConfigError, match="stratgy"):
                await provider.fetch(START, END, **world.ask, **wrong)

    async def test_the_last_report_and_metadata_are_those_of_an_answer(self, world: World) -> None:
        async with world.provider() as provider:
            before = (provider.last_fetch_metadata, provider.last_conformance_report)
            frame = await provider.fetch(START, END, **world.ask)
            report = provider.last_conformance_report
            assert provider.last_fetch_metadata == frame.attrs["seamless"]
        assert before == (None, None)
        assert report is not None
        assert report.passed

    async def test_calls_at_a_time_share_no_state(self, world: World) -> None:
        async with world.provider(strategy="seamless") as provider:
            windows = [Window(START + k * DAY, START + (k + 9) * DAY) for k in range(12)]
            frames = await asyncio.gather(
                *(provider.fetch(w.start, w.end, **world.ask) for w in windows)
            )
            for window, frame in zip(windows, frames, strict=True):
                told = frame.attrs["seamless"]
                assert told["window"] == [window.start, window.end]
                assert told["session_bars"] == len(frame) == len(sessions().inside(window))
            ids = {frame.attrs["seamless"]["request_id"] for frame in frames}
            assert len(ids) == len(frames)

    async def test_a_job_can_be_cancelled_and_leaves_nothing_behind(self, world: World) -> None:
        world.upstream.gate.clear()
        async with world.provider(strategy="partial_fill") as provider:
            await provider.fetch(START, END, **world.ask)
            (job,) = provider.jobs()
            assert provider.cancel(job.job_id)
            await job.wait()
            assert (job.state, provider.jobs()) == ("cancelled", [])
            assert not provider.cancel(job)
            assert await provider.coverage(**world.ask) == []
        world.upstream.gate.set()

    async def test_closing_ends_what_runs_behind(self, world: World) -> None:
        world.upstream.gate.clear()
        provider = world.provider(strategy="partial_fill")
        await provider.fetch(START, END, **world.ask)
        (job,) = provider.jobs()
        await provider.close()
        assert job.state == "cancelled"
        assert provider.jobs() == []
        world.upstream.gate.set()

    async def test_wrong_arguments_are_refused_before_anything_is_asked(self, world: World) -> None:
        async with world.provider() as provider:
            with pytest.raises(InvalidValueError, match="end must be at or after start"):
                await provider.ensure_range(LAST, FIRST, **world.ask)
            for count in (0, 1.5, True, 10**9):
                with pytest.raises(InvalidValueError, match="n_bars"):
                    await provider.history(count, **world.ask)  # type: ignore[arg-type]
        assert world.upstream.calls == []

    def test_the_sync_twins_do_the_same(self, world: World) -> None:
        with world.provider() as provider:
            assert provider.missing_sync(START, END, **world.ask) == [(FIRST, LAST)]
            assert provider.explain_sync(START, END, **world.ask)["action"] == "fetch"
            provider.ensure_range_sync(FIRST, START + 9 * DAY, **world.ask)
            provider.fill_missing_sync(FIRST, START + 19 * DAY, **world.ask)
            assert provider.ensure_data_available_sync(START, END, **world.ask)
            assert same(provider.fetch_sync(START, END, **world.ask), sessions())
            assert len(provider.history_sync(3, **world.ask, end=END)) == 3
