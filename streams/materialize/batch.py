"""Gathering history records into flushes that are worth their while."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import faust

from avro_schemas import BarChunk, Watermark
from runtime import Clock, MaterializeSettings
from streams.materialize.record import HistoryBars
from topics import RawMessage

RECORDS_MAX = 2_000
"""Records of one flush: those that bring few bars, or none, take room too."""


@dataclass(slots=True, eq=False)
class Item:
    """One history record on its way through."""

    message: RawMessage
    event: faust.EventT[Any] | None = None
    """How Faust knows it."""

    record: BarChunk | Watermark | None = None
    """None: a tombstone, or bytes that cannot be read."""

    bars: HistoryBars | None = None
    fault: tuple[str, str] | None = None
    """Error class and message, for the dead letter topic."""

    mismatches: int = 0
    """How often it was read back and differed."""

    def fail(self, error_class: str, message: str) -> None:
        """Give it up."""
        self.fault = (error_class, message)

    @property
    def stored(self) -> HistoryBars | None:
        """What it brings to the store; None if it brings nothing, or was given up."""
        return None if self.fault is not None else self.bars


@dataclass(slots=True, eq=False)
class Batch:
    """The records of one flush, of any partitions, in the order they were read."""

    items: list[Item] = field(default_factory=list)
    rows: int = 0
    since_s: float = 0.0
    """When the first came, on the clock that never goes back."""

    def add(self, item: Item) -> None:
        """Add a record."""
        self.items.append(item)
        self.rows += len(item.bars.rows.bars) if item.bars is not None else 0


class Collector:
    """Puts records together until there are enough, or the first has waited long enough.

    One task puts, one takes.
    """

    def __init__(self, settings: MaterializeSettings, clock: Clock) -> None:
        self._rows_max = settings.flush_rows
        self._wait_s = settings.flush_wait_ms / 1_000
        self._clock = clock
        self._batch = Batch()
        self._changed = asyncio.Event()
        self._taken = asyncio.Event()

    async def put(self, item: Item) -> None:
        """Add a record; waits while the batch is full and nobody takes it."""
        while self._full:
            self._taken.clear()
            await self._taken.wait()
        if not self._batch.items:
            self._batch.since_s = self._clock.monotonic()
        self._batch.add(item)
        if len(self._batch.items) == 1 or self._full:
            self._changed.set()

    async def take(self) -> Batch:
        """Return the next batch, once it is due."""
        while not self._due():
            self._changed.clear()
            await self._either(self._changed.wait, self._left_s())
        batch, self._batch = self._batch, Batch()
        self._taken.set()
        return batch

    @property
    def _full(self) -> bool:
        return self._batch.rows >= self._rows_max or len(self._batch.items) >= RECORDS_MAX

    def _due(self) -> bool:
        left_s = self._left_s()
        return self._full or (left_s is not None and left_s <= 0)

    def _left_s(self) -> float | None:
        """Return how long the first record may still wait; None without one."""
        if not self._batch.items:
            return None
        return self._batch.since_s + self._wait_s - self._clock.monotonic()

    async def _either(self, event: Callable[[], Any], seconds: float | None) -> None:
        """Wait for the event, at most that long."""
        waits = [asyncio.ensure_future(event())]
        if seconds is not None:
            waits.append(asyncio.ensure_future(self._clock.sleep(seconds)))
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for each in waits:
                each.cancel()
