"""Streams: stored history and a live feed as one ordered sequence, every gap said."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bars.calendars import AlwaysOpen
from bars.frame import BarFrame
from bars.series import Series
from bars.window import Window
from provider import (
    EventKind,
    InvalidValueError,
    LiveReplay,
    MemoryStorage,
    NodeSettings,
    PollingFeed,
    StreamEvent,
)
from provider._ask import Ask
from provider.live import FINAL_KEY
from provider.stream import Splice
from runtime.testing import ManualClock
from tests.provider_help import Made, Upstream, bars_at, clock_at

MINUTE = 60
T0 = 1_600_000_020
NODE = Series("x", MINUTE)
ASK: dict[str, Any] = {"node_id": "x", "interval": MINUTE}
BAR, GAP, LATE, REVISION = EventKind.BAR, EventKind.GAP, EventKind.LATE, EventKind.REVISION


def at(*slots: int, seed: int = 7) -> BarFrame:
    return bars_at(T0 + MINUTE * np.array(slots, np.int64), seed)


class Feed:
    """A `LiveDataFeed` in the test's hand."""

    def __init__(self) -> None:
        self.queue: asyncio.Queue[tuple[int, pd.DataFrame] | Exception | None] = asyncio.Queue()
        self.subscribed = 0

    def print(self, slot: int, *, final: bool = True, seed: int = 7) -> None:
        frame = at(slot, seed=seed).to_pandas()
        frame.attrs[FINAL_KEY] = final
        self.queue.put_nowait((T0 + slot * MINUTE, frame))

    async def is_live_available(self, **_: Any) -> bool:
        return True

    async def subscribe(self, **_: Any) -> AsyncIterator[tuple[int, pd.DataFrame]]:
        self.subscribed += 1
        while True:
            item = await self.queue.get()
            if item is None:
                return
            if isinstance(item, Exception):
                raise item
            yield item


class Watch:
    """A stream that is read in the background."""

    def __init__(self, events: AsyncIterator[StreamEvent]) -> None:
        self.told: list[tuple[EventKind, int, int]] = []
        self.task = asyncio.ensure_future(self._read(events))

    async def _read(self, events: AsyncIterator[StreamEvent]) -> None:
        async with aclosing(events) as each:  # type: ignore[type-var]
            async for event in each:
                slots = ((event.ts - T0) // MINUTE, (event.end - T0) // MINUTE - 1)
                self.told.append((event.kind, *slots))

    async def end(self) -> list[tuple[EventKind, int, int]]:
        self.task.cancel()
        await asyncio.wait((self.task,))
        return self.told


def made(clock: ManualClock, upstream: Upstream | None, **options: Any) -> Made:
    return Made(MemoryStorage(clock=clock), upstream, clock=clock, **options)


def bars_told(first: int, last: int) -> list[tuple[EventKind, int, int]]:
    return [(BAR, k, k) for k in range(first, last + 1)]


async def test_history_is_joined_with_the_feed_and_nothing_is_twice_or_lost() -> None:
    clock, feed = clock_at(T0 + 10 * MINUTE), Feed()
    provider = made(clock, Upstream(at(*range(100))), live_feed=feed)
    for slot in (8, 9, 10):  # the feed begins before history ends
        feed.print(slot)
    watch = Watch(provider.stream(**ASK, since=T0))
    await clock.run(1)
    feed.print(11)
    await clock.run(60)
    assert await watch.end() == bars_told(0, 11)
    await provider.close()


async def test_a_bar_missing_between_is_fetched_before_the_next_is_told() -> None:
    clock, feed = clock_at(T0 + 10 * MINUTE), Feed()
    provider = made(clock, Upstream(at(*range(100))), live_feed=feed)
    watch = Watch(provider.stream(**ASK, since=T0 + 8 * MINUTE))
    await clock.run(5 * MINUTE)
    feed.print(14)
    await clock.run(1)
    assert await watch.end() == bars_told(8, 14)


async def test_what_cannot_be_had_is_a_gap_and_comes_late() -> None:
    clock, feed = clock_at(T0 + 10 * MINUTE), Feed()
    upstream = Upstream(at(*(k for k in range(100) if k not in {3, 4})))
    provider = made(clock, None, live_feed=feed)
    watch = Watch(provider.stream(**ASK, since=T0, handoff_grace_s=5.0))
    await clock.run(1)
    assert watch.told == [(GAP, 0, 9)], "nobody has anything"
    feed.print(10)
    feed.print(13)
    await clock.run(4.9)
    assert watch.told == [(GAP, 0, 9), (BAR, 10, 10)], "the next one has its grace"
    await clock.run(0.2)
    feed.print(12)
    feed.print(13)
    feed.print(13, seed=8)
    feed.print(14)
    await clock.run(1)
    assert await watch.end() == [
        (GAP, 0, 9),
        (BAR, 10, 10),
        (GAP, 11, 12),
        (BAR, 13, 13),
        (LATE, 12, 12),
        (REVISION, 13, 13),
        (BAR, 14, 14),
    ]
    assert upstream.calls == []


async def test_slots_without_trades_are_no_gap() -> None:
    """The source covers them and says that there is no bar: nothing is missing."""
    clock, feed = clock_at(T0 + 10 * MINUTE), Feed()
    upstream = Upstream(at(*(k for k in range(100) if k not in {3, 4})))
    provider = made(clock, upstream, live_feed=feed)
    watch = Watch(provider.stream(**ASK, since=T0))
    await clock.run(1)
    told = await watch.end()
    assert [t for t in told if t[0] is BAR] == [(BAR, k, k) for k in range(10) if k not in {3, 4}]


async def test_the_open_bar_is_told_only_to_who_wants_it() -> None:
    for mode, partials in (("emit", 2), ("final_only", 0)):
        clock, feed = clock_at(T0 + 10 * MINUTE), Feed()
        provider = made(clock, Upstream(at(*range(100))), live_feed=feed)
        given_: Any = mode
        watch = Watch(provider.stream(**ASK, since=T0 + 9 * MINUTE, mode=given_))
        await clock.run(1)
        feed.print(10, final=False)
        feed.print(10, final=False, seed=8)
        feed.print(10)
        feed.print(10, final=False)
        await clock.run(1)
        told = await watch.end()
        assert told == [
            (BAR, 9, 9),
            *[(EventKind.PARTIAL, 10, 10)] * partials,
            (BAR, 10, 10),
        ]


async def test_a_feed_that_fails_is_taken_up_again_and_loses_nothing() -> None:
    clock, feed = clock_at(T0 + 10 * MINUTE), Feed()
    provider = made(clock, Upstream(at(*range(100))), live_feed=feed)
    watch = Watch(provider.stream(**ASK, since=T0 + 9 * MINUTE))
    await clock.run(1)
    feed.queue.put_nowait(OSError("gone"))
    await clock.run(2 * MINUTE)
    assert feed.subscribed == 2
    feed.print(11)
    await clock.run(1)
    assert (await watch.end()) == bars_told(9, 11)


async def test_wrong_live_bars_are_not_told_but_fetched() -> None:
    clock, feed = clock_at(T0 + 10 * MINUTE), Feed()
    provider = made(clock, Upstream(at(*range(100))), live_feed=feed)
    watch = Watch(provider.stream(**ASK, since=T0 + 9 * MINUTE))
    await clock.run(61)
    wrong = at(10).to_pandas().assign(high=1.0)
    feed.queue.put_nowait((T0 + 10 * MINUTE, wrong))
    feed.print(11)
    await clock.run(1)
    assert await watch.end() == bars_told(9, 11)


async def test_without_a_feed_the_sources_are_read_when_a_bar_has_closed() -> None:
    clock = clock_at(T0 + 10 * MINUTE)
    upstream = Upstream(at(*range(100)))
    provider = made(clock, upstream)
    watch = Watch(provider.stream(**ASK, since=T0 + 5 * MINUTE))
    await clock.run(1)
    assert watch.told == bars_told(5, 9)
    await clock.run(3 * MINUTE)
    assert await watch.end() == bars_told(5, 12)
    assert len(set(upstream.asked.tolist())) == upstream.asked.size


async def test_a_fetcher_that_is_polled_is_a_feed() -> None:
    clock = clock_at(T0 + 10 * MINUTE)
    truth = at(*range(100))
    feed = PollingFeed(Upstream(truth), clock=clock)
    provider = made(clock, Upstream(truth), live_feed=feed)
    watch = Watch(provider.stream(**ASK))
    await clock.run(3 * MINUTE + 1)
    assert await watch.end() == bars_told(10, 12)


async def test_a_silent_feed_does_not_silence_the_store() -> None:
    clock, feed = clock_at(T0 + 10 * MINUTE), Feed()
    provider = made(clock, Upstream(at(*range(100))), live_feed=feed)
    watch = Watch(provider.stream(**ASK, since=T0 + 9 * MINUTE))
    await clock.run(4 * MINUTE)
    told = await watch.end()
    assert told == bars_told(9, 8 + len(told))
    assert len(told) >= 4


async def test_a_replay_ends_the_stream_with_its_last_bar() -> None:
    clock = clock_at(T0 + 1_000 * MINUTE)
    storage = MemoryStorage(clock=clock)
    await storage.write(T0, T0 + 5 * MINUTE, at(*range(5)).to_pandas(), **ASK)
    provider = Made(storage, None, clock=clock, live_feed=LiveReplay(storage, T0, T0 + 5 * MINUTE))
    kinds = [e.kind async for e in provider.stream(**ASK, since=T0 + 999 * MINUTE)]
    assert kinds == [GAP], "what is replayed lies before the stream"


@pytest.mark.parametrize(
    "wrong", [{"mode": "all"}, {"since": -1}, {"since": 1.5}, {"handoff_grace_s": 0}]
)
async def test_wrong_arguments_are_refused(wrong: dict[str, Any]) -> None:
    provider = made(clock_at(), None)
    with pytest.raises(InvalidValueError, match=next(iter(wrong))):
        await anext(provider.stream(**ASK, **wrong))


@given(st.lists(st.tuples(st.integers(0, 30), st.integers(0, 3)), max_size=60))
def test_any_order_of_bars_is_told_in_order_and_each_change_once(
    offered: list[tuple[int, int]],
) -> None:
    """Against a naive model: bars ascend, every other bar is late, revised, or nothing."""
    node = NodeSettings(series=NODE, sources=("s",), calendar="24/7")
    splice = Splice(Ask(NODE, Window(0, 60), node, AlwaysOpen(), "r"), T0)
    told: dict[int, int] = {}
    frontier = 0
    for slot, seed in offered:
        events = []
        gap = splice.between(T0 + slot * MINUTE)
        assert (gap is not None) == (slot > frontier)
        if gap is not None:
            events.append(splice.give_up(gap))
            assert (events[0].ts, events[0].end) == (
                T0 + frontier * MINUTE,
                T0 + slot * MINUTE,
            )
        events += splice.take(at(slot, seed=seed))
        kinds = [event.kind for event in events if event.kind is not GAP]
        if slot >= frontier:
            assert kinds == [BAR]
            frontier = slot + 1
        elif slot not in told:
            assert kinds == [LATE]
        else:
            assert kinds == ([] if told[slot] == seed else [REVISION])
        told[slot] = seed
