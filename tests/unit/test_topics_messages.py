"""Dead letter headers, and what a raw value says of itself."""

import pytest

from topics import DeadLetterInfo, RawMessage, deadletter_headers, deadletter_info, schema_id_of
from topics.messages import MESSAGE_CHARS_MAX


def message(value: bytes | None, headers: list[tuple[str, bytes]] | None = None) -> RawMessage:
    """Return a message with that value."""
    return RawMessage(
        topic="seamless.backfill.chunks.v1",
        partition=2,
        offset=77,
        key=b"n|60",
        value=value,
        headers=tuple(headers or ()),
        timestamp_ms=5,
    )


def test_the_headers_say_where_it_stood_and_what_was_wrong() -> None:
    bad = message(b"\0\0\0\1\2rest")
    headers = deadletter_headers(bad, "schema_mismatch", "ends early", 3, 1_700_000_000_000_000)
    assert headers == [
        ("topic", b"seamless.backfill.chunks.v1"),
        ("partition", b"2"),
        ("offset", b"77"),
        ("schema_id", b"258"),
        ("error_class", b"schema_mismatch"),
        ("message", b"ends early"),
        ("attempts", b"3"),
        ("first_seen", b"1700000000000000"),
    ]


def test_the_headers_are_read_back() -> None:
    headers = deadletter_headers(message(b"no avro"), "not_avro", "höchst seltsam", 1, 9)
    assert deadletter_info(message(b"no avro", headers)) == DeadLetterInfo(
        topic="seamless.backfill.chunks.v1",
        partition=2,
        offset=77,
        schema_id=None,
        error_class="not_avro",
        message="höchst seltsam",
        attempts=1,
        first_seen_us=9,
    )


def test_a_long_error_is_cut_and_a_lone_surrogate_replaced() -> None:
    """Text from a hostile record must never stop its own dead letter."""
    headers = dict(deadletter_headers(message(None), "blocked", "\ud800" + "x" * 10_000, 1, 9))
    assert len(headers["message"]) == MESSAGE_CHARS_MAX
    assert headers["message"].startswith(b"?x")


@pytest.mark.parametrize(
    ("value", "schema_id"),
    [
        (None, None),
        (b"", None),
        (b"\0\0\0\0", None),
        (b"\1\0\0\0\1", None),
        (b"\0\0\0\0\1", 1),
        (b"\0\xff\xff\xff\xff", 2**32 - 1),
    ],
)
def test_only_the_wire_format_names_a_schema(value: bytes | None, schema_id: int | None) -> None:
    assert schema_id_of(value) == schema_id


def test_a_record_without_the_headers_is_no_dead_letter() -> None:
    assert deadletter_info(message(b"x", [("topic", b"t")])) is None
