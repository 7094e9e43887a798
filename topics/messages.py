"""A record as it stands in a topic, and the headers of one that has to leave it."""

from collections.abc import Mapping
from dataclasses import dataclass

MAGIC = 0
HEADER_BYTES = 5

MESSAGE_CHARS_MAX = 2_000
"""An error text is cut there: headers must not push a dead letter over its topic's limit."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RawMessage:
    """A record with its bytes untouched."""

    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes | None], ...] = ()
    timestamp_ms: int
    """Epoch milliseconds: the broker's where the topic says LogAppendTime; -1 without one."""


def schema_id_of(value: bytes | None) -> int | None:
    """Return the schema id that a value in the Confluent wire format names, or None."""
    if value is None or len(value) < HEADER_BYTES or value[0] != MAGIC:
        return None
    return int.from_bytes(value[1:HEADER_BYTES], "big")


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadLetterInfo:
    """What a dead letter's headers say."""

    topic: str
    partition: int
    offset: int
    schema_id: int | None
    error_class: str
    message: str
    attempts: int
    first_seen_us: int
    """When it was first tried, epoch microseconds."""


def deadletter_headers(
    message: RawMessage,
    error_class: str,
    error_message: str,
    attempts: int,
    first_seen: int,
) -> list[tuple[str, bytes]]:
    """Return the headers of a dead letter: text, numbers in decimal.

    Args:
        message: The record as it was read.
        error_class: Which kind of fault, e.g. `not_avro`, `blocked`.
        error_message: What was found, for people.
        attempts: How often it was tried.
        first_seen: When it was first tried, epoch microseconds.
    """
    schema_id = schema_id_of(message.value)
    texts = (
        ("topic", message.topic),
        ("partition", str(message.partition)),
        ("offset", str(message.offset)),
        ("schema_id", "" if schema_id is None else str(schema_id)),
        ("error_class", error_class),
        ("message", error_message[:MESSAGE_CHARS_MAX]),
        ("attempts", str(attempts)),
        ("first_seen", str(first_seen)),
    )
    return [(name, text.encode("utf-8", "replace")) for name, text in texts]


def deadletter_info(message: RawMessage) -> DeadLetterInfo | None:
    """Return what the headers of a dead letter say; None if it is not one of ours."""
    found: Mapping[str, str] = {
        name: (value or b"").decode("utf-8", "replace") for name, value in message.headers
    }
    try:
        return DeadLetterInfo(
            topic=found["topic"],
            partition=int(found["partition"]),
            offset=int(found["offset"]),
            schema_id=int(found["schema_id"]) if found["schema_id"] else None,
            error_class=found["error_class"],
            message=found["message"],
            attempts=int(found["attempts"]),
            first_seen_us=int(found["first_seen"]),
        )
    except (KeyError, ValueError):
        return None
