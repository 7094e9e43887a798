"""What a new owner of a partition reads before it judges anything."""

import asyncio
from dataclasses import dataclass, field

from avro_schemas import BarChunk, ConformanceReport, VisibleMark, Watermark
from bars.errors import InvalidValueError
from runtime import Clock, KafkaSettings
from runtime.log import logger
from streams.conform.confirmed import CONFIRMED_MAX, Confirmed
from streams.conform.overlay import Overlay, entry_of
from streams.conform.publish import ROLE
from streams.errors import OverlayFullError
from topics import (
    Catalogue,
    Codec,
    RawMessage,
    Reader,
    Tail,
    UnreadableRecordError,
    read_to_end,
    snapshot,
)

SNAPSHOT_BYTES_MAX = 128 * 1_048_576
"""More history than that above the mark is not read: the store has to come nearer first."""

_log = logger(__name__)


@dataclass(slots=True, kw_only=True)
class Recovered:
    """Where a partition stands."""

    overlay: Overlay
    next: int
    """The first chunk that is not judged, as far as mark and history say."""

    last_known: int
    """The highest version given so far, epoch microseconds."""

    confirmed: Confirmed = field(default_factory=Confirmed)
    """Leases of late that have found nothing new."""


async def recover(
    kafka: KafkaSettings, catalogue: Catalogue, codec: Codec, mark: VisibleMark, clock: Clock
) -> Recovered:
    """Read history from the mark to its end, and the verdicts of late.

    Raises:
        OverlayFullError: There is too much of it; ask again when the mark has moved.
        TopicsError: Kafka or the registry did not serve.
    """
    raw = await asyncio.to_thread(_history, kafka, catalogue, mark, clock)
    overlay = Overlay(mark.partition)
    overlay.advance(mark.history_offset)
    found = Recovered(overlay=overlay, next=mark.conform_next, last_known=mark.conform_last_known)
    for message in raw:
        try:
            record = await codec.decode(catalogue.history, message.value)
            if isinstance(record, BarChunk):
                overlay.add(entry_of(record, message.offset))
        except (UnreadableRecordError, InvalidValueError) as error:
            # Whoever fills the store tells about it; it can be nobody's version.
            _log.warning("history_unreadable", offset=message.offset, reason=str(error))
            continue
        if isinstance(record, Watermark) and record.role == ROLE:
            found.next = max(found.next, record.next_input_offset)
            found.last_known = max(found.last_known, record.last_known)
    if overlay.full:
        raise OverlayFullError(mark.partition, mark.history_offset)
    for message in await asyncio.to_thread(_verdicts, kafka, catalogue, mark.partition, clock):
        try:
            report = await codec.decode(catalogue.reports, message.value)
        except UnreadableRecordError:
            continue  # told by those who read verdicts for what they say
        if isinstance(report, ConformanceReport):
            found.confirmed.add(report)
    return found


def _verdicts(
    kafka: KafkaSettings, catalogue: Catalogue, partition: int, clock: Clock
) -> list[RawMessage]:
    """Return the newest verdicts of a partition, oldest first."""
    found: list[RawMessage] = []
    with Tail(kafka, (catalogue.reports.name,), CONFIRMED_MAX, (partition,)) as tail:
        for batch in read_to_end(tail, clock):
            found += batch
    return found


def _history(
    kafka: KafkaSettings, catalogue: Catalogue, mark: VisibleMark, clock: Clock
) -> list[RawMessage]:
    found: list[RawMessage] = []
    size = 0

    def keep(message: RawMessage) -> bool:
        nonlocal size
        size += len(message.value or b"")
        if size > SNAPSHOT_BYTES_MAX:
            raise OverlayFullError(mark.partition, mark.history_offset)
        if message.value is not None:
            found.append(message)
        return False

    with Reader(kafka, catalogue.history.name, mark.partition) as reader:
        snapshot(reader, max(mark.history_offset, reader.low()), clock, keep)
    return found
