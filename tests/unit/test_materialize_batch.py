"""Gathering records into flushes, on a clock that the test moves."""

import asyncio

import pytest

from runtime import MaterializeSettings
from runtime.testing import ManualClock
from streams.materialize.batch import RECORDS_MAX, Batch, Collector, Item
from streams.materialize.record import bars_of
from tests.unit.judging import chunk, slots
from topics import RawMessage


def item(bars: int, offset: int = 0) -> Item:
    message = RawMessage(topic="h", partition=0, offset=offset, key=None, value=b"", timestamp_ms=1)
    found = Item(message)
    if bars:
        record = chunk(slots(0, bars), dict.fromkeys(range(bars), 1.0), known=1)
        found.bars = bars_of(record, message)
    return found


def collector(clock: ManualClock, rows: int = 10, wait_ms: int = 250) -> Collector:
    return Collector(MaterializeSettings(flush_rows=rows, flush_wait_ms=wait_ms), clock)


async def turn() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_enough_rows_are_a_batch_at_once() -> None:
    found = collector(ManualClock())
    await found.put(item(6))
    await found.put(item(5))
    batch = await found.take()
    assert (batch.rows, len(batch.items)) == (11, 2)


async def test_the_first_record_waits_no_longer_than_it_may() -> None:
    clock = ManualClock()
    found = collector(clock)
    taking = asyncio.ensure_future(found.take())
    await found.put(item(1))
    await clock.until_sleeping(1)
    clock.advance(0.2)
    await found.put(item(1))
    await turn()
    assert not taking.done()
    clock.advance(0.06)
    batch: Batch = await taking
    assert len(batch.items) == 2
    assert batch.since_s == pytest.approx(clock.monotonic() - 0.26)


async def test_rows_that_come_meanwhile_end_the_wait() -> None:
    clock = ManualClock()
    found = collector(clock)
    taking = asyncio.ensure_future(found.take())
    await found.put(item(1))
    await clock.until_sleeping(1)
    await found.put(item(9))
    assert (await taking).rows == 10


async def test_who_puts_waits_while_a_full_batch_is_not_taken() -> None:
    """Memory is bounded by two batches, however slow the store is."""
    found = collector(ManualClock())
    await found.put(item(10, 1))
    putting = asyncio.ensure_future(found.put(item(10, 2)))
    await turn()
    assert not putting.done()
    first = await found.take()
    await putting
    second = await found.take()
    assert [b.items[0].message.offset for b in (first, second)] == [1, 2]


async def test_records_without_bars_fill_a_batch_too() -> None:
    found = collector(ManualClock())
    for offset in range(RECORDS_MAX):
        await found.put(item(0, offset))
    batch = await found.take()
    assert (batch.rows, len(batch.items)) == (0, RECORDS_MAX)


async def test_a_batch_after_an_idle_time_waits_from_its_own_first_record() -> None:
    clock = ManualClock()
    found = collector(clock)
    await found.put(item(10))
    await found.take()
    clock.advance(60)
    taking = asyncio.ensure_future(found.take())
    await found.put(item(1))
    await clock.until_sleeping(1)
    clock.advance(0.25)
    assert (await taking).rows == 1
