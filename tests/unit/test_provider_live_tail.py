"""The newest bars of an answer may come from a live feed, as far as the time for it lasts."""

import asyncio
from typing import Any

import pytest

from bars.window import Window
from provider import MemoryStorage, SeamlessSLAExceeded, SLAPolicy
from runtime.testing import ManualClock
from tests.provider_help import LANE, Made, Upstream, clock_at, same
from tests.unit.test_provider_stream import ASK, MINUTE, T0, Feed, at

WINDOW = Window(T0, T0 + 10 * MINUTE)


async def made(clock: ManualClock, feed: Feed, held: int, **options: Any) -> Made:
    """Return a provider that has the first bars of ten, all of which have closed."""
    storage = MemoryStorage({LANE: 1}, clock)
    bars = at(*range(held))
    await storage.write(T0, T0 + held * MINUTE, bars.to_pandas(), **ASK)
    return Made(storage, None, clock=clock, live_feed=feed, strategy="seamless", **options)


def ask(provider: Made) -> "asyncio.Future[Any]":
    return asyncio.ensure_future(provider.fetch(WINDOW.start, WINDOW.end, **ASK))


async def test_what_no_source_has_yet_comes_from_the_feed() -> None:
    clock, feed = clock_at(WINDOW.end), Feed()
    provider = await made(clock, feed, held=8)
    asked = ask(provider)
    await clock.run(0.1)
    feed.print(9, final=False)
    feed.print(8)
    feed.print(9)
    await clock.run(0.1)
    frame = await asked
    assert same(frame, at(*range(10)))
    assert frame.attrs["seamless"]["read_from"][-1] == {
        "source": "live",
        "start": T0 + 8 * MINUTE,
        "end": T0 + 9 * MINUTE,
    }


async def test_a_feed_that_is_late_is_not_waited_for_and_what_came_is_kept() -> None:
    clock, feed = clock_at(WINDOW.end), Feed()
    provider = await made(clock, feed, held=8, sla=SLAPolicy(max_wait_live_ms=200))
    asked = ask(provider)
    await clock.run(0.1)
    feed.print(8)
    await clock.run(0.099)
    assert not asked.done()
    await clock.run(0.002)
    frame = await asked
    assert same(frame, at(*range(9)))
    told = frame.attrs["seamless"]
    assert told["sla"][0]["phase"] == "live"
    assert told["missing"][-1]["reason"] == "unknown"


async def test_without_a_level_a_feed_has_a_moment_and_no_more() -> None:
    clock, feed = clock_at(WINDOW.end), Feed()
    asked = ask(await made(clock, feed, held=8))
    await clock.run(1.1)
    frame = await asked
    assert same(frame, at(*range(8)))
    assert not frame.attrs["seamless"]["downgraded"]


async def test_a_feed_is_asked_for_nothing_that_is_not_new() -> None:
    """A hole further back, or a window that ends before now, is not what a feed brings."""
    clock, feed = clock_at(WINDOW.end + 5 * MINUTE), Feed()
    provider = await made(clock, feed, held=8)
    frame = await provider.fetch(WINDOW.start, WINDOW.end, **ASK)
    assert len(frame) == 8
    assert feed.subscribed == 0


async def test_a_feed_that_fails_is_passed_over() -> None:
    clock, feed = clock_at(WINDOW.end), Feed()
    feed.queue.put_nowait(OSError("gone"))
    provider = await made(clock, feed, held=8)
    assert len(await provider.fetch(WINDOW.start, WINDOW.end, **ASK)) == 8


async def test_a_level_may_insist_on_the_newest_bar() -> None:
    clock, feed = clock_at(WINDOW.end), Feed()
    strict = SLAPolicy(max_wait_live_ms=50, on_violation="fail_fast")
    asked = ask(await made(clock, feed, held=9, sla=strict))
    await clock.run(0.1)
    with pytest.raises(SeamlessSLAExceeded) as late:
        await asked
    assert late.value.phase == "live"


async def test_the_latest_bar_is_the_last_that_has_closed() -> None:
    clock = clock_at(WINDOW.end + 30)
    provider = Made(MemoryStorage({LANE: 1}, clock), Upstream(at(*range(20))), clock=clock)
    frame = await provider.latest(**ASK)
    assert same(frame, at(9))
    assert provider.latest_sync(**ASK)["ts"].tolist() == frame["ts"].tolist()
    await provider.close()
