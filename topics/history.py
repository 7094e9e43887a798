"""Reading a compacted partition as of one moment, and the offsets around it.

The end H of a snapshot is the last stable offset. A record at or beyond H never enters, although
the client may hand it out before it says that H is reached (it jumps over a marker at H-1). While
the reader reads, the cleaner may remove versions below H because newer ones stand above it: so
the end is taken again, and the reading goes on, until nothing has changed.
"""

import time
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass

from confluent_kafka import Consumer

from runtime import KafkaSettings
from topics.clients import CALL_TIMEOUT_S, ErrorLog, consumer_config
from topics.errors import KafkaUnavailableError, OffsetGoneError
from topics.fenced import stable_offset
from topics.messages import RawMessage
from topics.reader import Reader

PASSES_MAX = 16
"""How often the end is taken again. A topic that is written to without a pause changes for ever;
each pass only reads what came during the one before, and `min.compaction.lag.ms` of history is
far longer than all of them, so the last is whole as well."""

STALL_S = 60.0
"""A snapshot that does not move for so long is given up."""

_POLL_S = 0.5


class Cut:
    """Which records belong to a snapshot, and when it is whole. Pure."""

    def __init__(self, start: int, end: int) -> None:
        """Begin with what lies in `[start, end)`."""
        self.end = end
        """H: the first offset outside."""
        self.next = start
        """Everything visible below it is in."""
        self.passes = 1
        self._beyond = False

    def take(self, batch: Sequence[RawMessage]) -> list[RawMessage]:
        """Return those records of a batch, ascending by offset, that belong to the snapshot."""
        inside = [m for m in batch if m.offset < self.end]
        if inside:
            self.next = inside[-1].offset + 1
        self._beyond = self._beyond or len(inside) < len(batch)
        return inside

    def reached(self, position: int) -> bool:
        """Return whether nothing more below the end can come.

        Args:
            position: Below it the reader has returned whatever is visible.
        """
        return self._beyond or position >= self.end

    def extend(self, end: int) -> bool:
        """Take the end as it is now; return whether there is more to read up to it.

        The next pass begins at the old end: whatever was read beyond it is read again.
        """
        if end <= self.end or self.passes >= PASSES_MAX:
            return False
        self.next, self.end = self.end, end
        self.passes += 1
        self._beyond = False
        return True


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What stood in a partition below one offset."""

    records: tuple[RawMessage, ...]
    """Ascending by offset; of a key that occurs more than once the last holds."""

    end: int
    """H. Who goes on from there misses nothing and sees nothing twice."""


def scan(
    reader: Reader, start: int, stall_s: float = STALL_S
) -> Generator[list[RawMessage], None, int]:
    """Yield the records from `start` to the end in batches, ascending by offset.

    When it is over the reader stands at H; `yield from` gives H too.

    Args:
        reader: Of the partition.
        start: First offset wanted.
        stall_s: How long it may stand still.

    Raises:
        OffsetGoneError: `start` lies beyond the end: the topic is not the one that was read.
        KafkaUnavailableError: It stood still.
    """
    cut = Cut(start, reader.end())
    if start > cut.end:
        raise OffsetGoneError(reader.topic, reader.partition, start)
    going_on = True
    while going_on:
        reader.seek(cut.next)
        yield from _until_reached(reader, cut, stall_s)
        going_on = cut.extend(reader.end())
    reader.seek(cut.end)
    return cut.end


def snapshot(
    reader: Reader,
    start: int,
    keep: Callable[[RawMessage], bool] | None = None,
    stall_s: float = STALL_S,
) -> Snapshot:
    """Return the records from `start` to the end at once; else as `scan`.

    Args:
        reader: Of the partition.
        start: First offset wanted.
        keep: Which records to return; None: all.
        stall_s: How long it may stand still.
    """
    records = [
        message
        for batch in scan(reader, start, stall_s)
        for message in batch
        if keep is None or keep(message)
    ]
    return Snapshot(tuple(records), reader.position)


def _until_reached(reader: Reader, cut: Cut, stall_s: float) -> Iterator[list[RawMessage]]:
    moved = time.monotonic()
    while not cut.reached(reader.position):
        before = reader.position
        yield cut.take(reader.poll(_POLL_S))
        now = time.monotonic()
        if reader.position > before:
            moved = now
        elif now - moved > stall_s:
            where = f"{reader.topic}[{reader.partition}]"
            raise KafkaUnavailableError(
                f"snapshot of {where}", f"nothing after {before} of {cut.end} for {stall_s:.0f} s"
            )


def latest_by_key(records: Sequence[RawMessage]) -> dict[bytes, RawMessage]:
    """Return the last record of each key, less those that a tombstone has removed."""
    latest: dict[bytes, RawMessage] = {}
    for message in records:
        key = message.key or b""
        latest.pop(key, None)
        if message.value is not None:
            latest[key] = message
    return latest


def read_latest_by_key(kafka: KafkaSettings, topic: str, partition: int) -> dict[bytes, RawMessage]:
    """Return the last record of each key of a small compacted partition, e.g. of `visible`.

    Raises:
        KafkaUnavailableError: No broker answered in time.
    """
    with Reader(kafka, topic, partition) as reader:
        return latest_by_key(snapshot(reader, reader.low()).records)


def low_watermark(kafka: KafkaSettings, topic: str, partition: int) -> int:
    """Return the first offset that a partition still has.

    Raises:
        KafkaUnavailableError: No broker answered in time.
    """
    with Reader(kafka, topic, partition) as reader:
        return reader.low()


def committed(kafka: KafkaSettings, group: str, topic: str, partition: int) -> int | None:
    """Return the offset that a group has committed, without joining it; None if it has none.

    Raises:
        KafkaUnavailableError: No broker answered in time.
    """
    consumer = Consumer(consumer_config(kafka, group, ErrorLog(group)))
    try:
        return stable_offset(consumer, topic, partition, CALL_TIMEOUT_S)
    finally:
        consumer.close()
