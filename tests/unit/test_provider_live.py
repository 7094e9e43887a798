"""Feeds: on time, in order, closed bars only, and alive after any failure."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bars.window import Grid
from provider import LiveDataFeed, LiveReplay, MemoryStorage, PollingFeed
from provider.live import US, PollingConfig, next_boundary_us
from runtime.testing import ManualClock
from tests.provider_help import Upstream, bars_at, clock_at

MINUTE = 60
T0 = 1_600_000_020
ASK: dict[str, Any] = {"node_id": "x", "interval": MINUTE}


def minutes(count: int) -> Upstream:
    return Upstream(bars_at(T0 + MINUTE * np.arange(count, dtype=np.int64)))


@given(
    st.integers(0, 2**50), st.integers(1, 86_400), st.integers(-100_000, 100_000), st.integers(0, 9)
)
def test_a_boundary_is_the_first_moment_after_now_at_which_a_bar_is_over(
    now_us: int, interval: int, origin: int, settle_s: int
) -> None:
    grid = Grid(interval, origin)
    found = next_boundary_us(grid, now_us, settle_s)
    assert now_us < found <= now_us + interval * US
    assert (found - settle_s * US) % US == 0
    assert grid.on(found // US - settle_s)


class Collected:
    """A feed that is read in the background."""

    def __init__(self, feed: AsyncIterator[tuple[int, pd.DataFrame]], clock: ManualClock) -> None:
        self.told: list[tuple[int, float, bool]] = []
        self._feed = feed
        self._clock = clock
        self._task = asyncio.ensure_future(self._read())

    async def _read(self) -> None:
        async for ts, frame in self._feed:
            assert frame["ts"].tolist() == [ts]
            now = self._clock.wall_us() / US
            self.told.append((ts, now, frame.attrs["final"]))

    async def end(self) -> list[tuple[int, float, bool]]:
        self._task.cancel()
        await asyncio.wait((self._task,))
        return self.told


async def test_a_bar_is_yielded_at_the_moment_it_has_closed_and_not_before() -> None:
    clock = clock_at(T0 + 5 * MINUTE + 13)
    feed = PollingFeed(minutes(100), clock=clock)
    assert isinstance(feed, LiveDataFeed)
    assert await feed.is_live_available(**ASK)
    read = Collected(feed.subscribe(**ASK), clock)
    await clock.run(200)
    assert await read.end() == [
        (T0 + 4 * MINUTE, T0 + 5 * MINUTE + 13, True),
        *((T0 + k * MINUTE, T0 + (k + 1) * MINUTE, True) for k in (5, 6, 7)),
    ]


async def test_what_has_closed_meanwhile_is_asked_for_in_pages_the_oldest_first() -> None:
    """Whoever goes on after somebody else leaves nothing out, however long that took."""
    clock = clock_at(T0 + 50 * MINUTE)
    upstream = minutes(100)
    upstream.truth = upstream.truth.take([*range(10), *range(30, 100)])
    feed = PollingFeed(upstream, PollingConfig(catch_up_bars=10), clock=clock)
    read = Collected(feed.follow(T0 + 5 * MINUTE, **ASK), clock)
    await clock.run(60)
    told = [(ts - T0) // MINUTE for ts, _, _ in await read.end()]
    assert told == [*range(5, 10), *range(30, 51)]
    asked = [((start - T0) // MINUTE, (end - T0) // MINUTE) for start, end in upstream.calls]
    assert asked == [(5, 15), (15, 25), (25, 35), (35, 45), (45, 50), (50, 51)]


async def test_a_feed_that_settles_asks_that_much_later() -> None:
    clock = clock_at(T0 + 5 * MINUTE)
    upstream = minutes(100)
    feed = PollingFeed(upstream, PollingConfig(settle_s=7), clock=clock)
    read = Collected(feed.subscribe(**ASK), clock)
    await clock.run(130)
    told = await read.end()
    assert [(ts, now) for ts, now, _ in told] == [
        (T0 + 3 * MINUTE, T0 + 5 * MINUTE),
        (T0 + 4 * MINUTE, T0 + 5 * MINUTE + 7),
        (T0 + 5 * MINUTE, T0 + 6 * MINUTE + 7),
        (T0 + 6 * MINUTE, T0 + 7 * MINUTE + 7),
    ]


async def test_what_a_failing_fetch_did_not_bring_comes_later_in_order() -> None:
    clock = clock_at(T0 + 5 * MINUTE)
    upstream = minutes(100)
    read = Collected(PollingFeed(upstream, clock=clock).subscribe(**ASK), clock)
    await clock.run(1)
    upstream.failing = [OSError("away")] * 8
    await clock.run(400)
    told = await read.end()
    assert not upstream.failing
    assert [ts for ts, _, _ in told] == [T0 + k * MINUTE for k in range(4, 4 + len(told))]
    assert told[-1][0] >= T0 + 10 * MINUTE


async def test_a_clock_that_was_set_back_does_not_open_a_bar_early() -> None:
    clock = clock_at(T0 + 5 * MINUTE)
    read = Collected(PollingFeed(minutes(100), clock=clock).subscribe(**ASK), clock)
    await clock.run(30)
    clock.step_wall(-20 * US)
    await clock.run(31)
    assert [ts for ts, _, _ in read.told] == [T0 + 4 * MINUTE]
    await clock.run(20)
    assert (await read.end())[-1][:2] == (T0 + 5 * MINUTE, T0 + 6 * MINUTE)


async def test_the_open_bar_is_yielded_only_when_it_is_asked_for() -> None:
    clock = clock_at(T0 + 5 * MINUTE)
    config = PollingConfig(include_partial=True, partial_s=20)
    read = Collected(PollingFeed(minutes(100), config, clock=clock).subscribe(**ASK), clock)
    await clock.run(61)
    assert await read.end() == [
        (T0 + 4 * MINUTE, T0 + 300, True),
        (T0 + 5 * MINUTE, T0 + 300, False),
        (T0 + 5 * MINUTE, T0 + 320, False),
        (T0 + 5 * MINUTE, T0 + 340, False),
        (T0 + 5 * MINUTE, T0 + 360, True),
        (T0 + 6 * MINUTE, T0 + 360, False),
    ]


async def test_a_source_that_answers_more_than_it_was_asked_adds_nothing() -> None:
    class Generous(Upstream):
        async def fetch(self, start: int, end: int, **more: Any) -> pd.DataFrame:
            every = await super().fetch(start - 600, end + 600, **more)
            return pd.concat([every, every])[::-1]

    clock = clock_at(T0 + 5 * MINUTE)
    feed = PollingFeed(Generous(minutes(100).truth), clock=clock)
    read = Collected(feed.subscribe(**ASK), clock)
    await clock.run(125)
    assert [ts for ts, _, _ in await read.end()] == [T0 + k * MINUTE for k in (4, 5, 6)]


async def test_stored_bars_are_replayed_in_the_time_of_the_market() -> None:
    clock = clock_at()
    storage = MemoryStorage(clock=clock)
    frame = minutes(5).truth.to_pandas()
    await storage.write(T0, T0 + 5 * MINUTE, frame, **ASK)
    feed = LiveReplay(storage, T0, T0 + 5 * MINUTE, speed=60.0, clock=clock)
    assert isinstance(feed, LiveDataFeed)
    assert await feed.is_live_available(**ASK)
    assert not await feed.is_live_available(node_id="nobody", interval=MINUTE)
    began = clock.wall_us() / US
    read = Collected(feed.subscribe(**ASK), clock)
    await clock.run(3.5)
    assert [(ts, now - began) for ts, now, _ in read.told] == [
        (T0 + k * MINUTE, k + 1.0) for k in range(3)
    ]
    await clock.run(10)
    assert len(await read.end()) == 5
    at_once = LiveReplay(storage, T0, T0 + 5 * MINUTE)
    assert [ts async for ts, _ in at_once.subscribe(**ASK)] == frame["ts"].tolist()


def test_settings_that_make_no_sense_are_refused() -> None:
    for wrong in ({"settle_s": -1}, {"partial_s": 0}, {"catch_up_bars": 0}, {"settle_s": 0.5}):
        given_: Any = wrong
        with pytest.raises(ValueError, match=next(iter(wrong))):
            PollingConfig(**given_)
    with pytest.raises(ValueError, match="speed"):
        LiveReplay(MemoryStorage(), 0, 60, speed=0)
