"""Reading a compacted partition as of one moment, and the offsets around it.

The end H of a snapshot is the last stable offset. A record at or beyond H never enters, although
the client may hand it out before it says that H is reached (it jumps over a marker at H-1). While
the reader reads, the cleaner may remove versions below H because newer ones stand above it: so
the end is taken again, and the reading goes on, until nothing has changed.
"""

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass

from confluent_kafka import Consumer

from runtime import Clock, KafkaSettings
from topics.clients import CALL_TIMEOUT_S, ErrorLog, consumer_config
from topics.errors import OffsetGoneError
from topics.fenced import stable_offset
from topics.messages import RawMessage
from topics.reader import Reader
from topics.to_end import Upto, read_to_end

PASSES_MAX = 16
"""How often the end is taken again. A topic that is written to without a pause changes for ever;
each pass only reads what came during the one before, and `min.compaction.lag.ms` of history is
far longer than all of them, so the last is whole as well."""


class Cut:
    """Which records belong to a snapshot, and whether there is more to read. Pure."""

    def __init__(self, start: int, end: int) -> None:
        """Begin with what lies in `[start, end)`."""
        self.end = end
        """H: the first offset outside."""
        self.next = start
        """Where the reading begins, or goes on: everything visible below it is in."""
        self.passes = 1

    def take(self, batch: Sequence[RawMessage]) -> list[RawMessage]:
        """Return those records of a batch, ascending by offset, that belong to the snapshot."""
        return [m for m in batch if m.offset < self.end]

    def extend(self, end: int) -> bool:
        """Take the end as it is now; return whether there is more to read up to it.

        The next pass begins at the old end: whatever was read beyond it is read again.
        """
        if end <= self.end or self.passes >= PASSES_MAX:
            return False
        self.next, self.end = self.end, end
        self.passes += 1
        return True


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What stood in a partition below one offset."""

    records: tuple[RawMessage, ...]
    """Ascending by offset; of a key that occurs more than once the last holds."""

    end: int
    """H. Who goes on from there misses nothing and sees nothing twice."""


def scan(reader: Reader, start: int, clock: Clock) -> Generator[list[RawMessage], None, int]:
    """Yield the records from `start` to the end in batches, ascending by offset.

    When it is over the reader stands at H; `yield from` gives H too.

    Args:
        reader: Of the partition.
        start: First offset wanted.
        clock: Measures how long it stands still.

    Raises:
        OffsetGoneError: `start` lies beyond the end: the topic is not the one that was read.
        KafkaUnavailableError: It stood still; see `read_to_end`.
    """
    cut = Cut(start, reader.end())
    if start > cut.end:
        raise OffsetGoneError(reader.topic, reader.partition, start)
    going_on = True
    while going_on:
        reader.seek(cut.next)
        for batch in read_to_end(Upto(reader, cut.end), clock):
            yield cut.take(batch)
        going_on = cut.extend(reader.end())
    reader.seek(cut.end)
    return cut.end


def snapshot(
    reader: Reader,
    start: int,
    clock: Clock,
    keep: Callable[[RawMessage], bool] | None = None,
) -> Snapshot:
    """Return the records from `start` to the end at once; else as `scan`.

    Args:
        reader: Of the partition.
        start: First offset wanted.
        clock: Measures how long it stands still.
        keep: Which records to return; None: all.
    """
    records = [
        message
        for batch in scan(reader, start, clock)
        for message in batch
        if keep is None or keep(message)
    ]
    return Snapshot(tuple(records), reader.position)


def latest_by_key(records: Sequence[RawMessage]) -> dict[bytes, RawMessage]:
    """Return the last record of each key, less those that a tombstone has removed."""
    latest: dict[bytes, RawMessage] = {}
    for message in records:
        key = message.key or b""
        latest.pop(key, None)
        if message.value is not None:
            latest[key] = message
    return latest


def read_latest_by_key(
    kafka: KafkaSettings, topic: str, partition: int, clock: Clock
) -> dict[bytes, RawMessage]:
    """Return the last record of each key of a small compacted partition, e.g. of `visible`.

    Raises:
        KafkaUnavailableError: No broker answered in time.
    """
    with Reader(kafka, topic, partition) as reader:
        return latest_by_key(snapshot(reader, reader.low(), clock).records)


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
