"""Reading one record a second time."""

from runtime import KafkaSettings
from topics import KafkaUnavailableError, OffsetGoneError, RawMessage, Reader

_POLL_S = 1.0
_POLLS_MAX = 30


def record_at(kafka: KafkaSettings, where: RawMessage) -> RawMessage:
    """Return the record at a place. Blocking.

    Raises:
        OffsetGoneError: It is not there any more.
        KafkaUnavailableError: No broker answered in time.
    """
    with Reader(kafka, where.topic, where.partition) as reader:
        reader.seek(where.offset)
        for _ in range(_POLLS_MAX):
            for found in reader.poll(_POLL_S, 1):
                if found.offset != where.offset:
                    raise OffsetGoneError(where.topic, where.partition, where.offset)
                return found
    raise KafkaUnavailableError(
        f"{where.topic}[{where.partition}] at {where.offset}",
        f"nothing came for {_POLLS_MAX * _POLL_S:.0f} s",
    )
