"""The codec against fastavro, and against bytes that nobody wrote."""

import io
import json
from typing import Any

import fastavro
import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from avro_schemas import BarChunk, Record, history_schema, load
from tests.property.avro_records import (
    CATALOGUE,
    chunks,
    fastavro_body,
    longs,
    plain,
    records_in_topics,
    same,
)
from topics import SchemaMismatchError, Topic
from topics._read import MalformedError, compile_reader, read_long, read_longs
from topics._typed import to_values
from topics._write import write_long, write_longs
from topics.codec import Decode, _decoder, _pinned, read_body, write_body
from topics.registry import StoredSchema

HEADER = b"\0\0\0\0\x07"


@given(records_in_topics)
def test_whatever_is_written_is_read_back_bit_for_bit(pair: tuple[Topic, Record]) -> None:
    topic, record = pair
    assert same(read_body(topic, write_body(topic, record)), record)


@given(records_in_topics)
def test_fastavro_writes_the_same_bytes(pair: tuple[Topic, Record]) -> None:
    """Any other client of the registry reads what we write, and the other way round."""
    topic, record = pair
    values: Any = plain(to_values(record))
    if topic is CATALOGUE.history:
        values = (f"seamless.{type(record).__name__}", values)
    assert topic.schema is not None
    assert write_body(topic, record) == fastavro_body(topic.schema, values)


@given(records_in_topics, st.data())
def test_a_record_that_is_cut_off_anywhere_is_refused(
    pair: tuple[Topic, Record], data: st.DataObject
) -> None:
    topic, record = pair
    body = write_body(topic, record)
    kept = data.draw(st.integers(0, len(body) - 1))
    with pytest.raises(SchemaMismatchError):
        read_body(topic, body[:kept])


@given(records_in_topics, st.binary(min_size=1, max_size=20))
def test_bytes_after_a_record_are_refused(pair: tuple[Topic, Record], rest: bytes) -> None:
    topic, record = pair
    with pytest.raises(SchemaMismatchError):
        read_body(topic, write_body(topic, record) + rest)


@given(st.sampled_from([t for t in CATALOGUE if t.schema is not None]), st.binary(max_size=300))
def test_noise_is_read_or_refused_and_nothing_else(topic: Topic, noise: bytes) -> None:
    try:
        record = read_body(topic, noise)
    except SchemaMismatchError:
        return
    assert same(read_body(topic, write_body(topic, record)), record)


@given(records_in_topics, st.data())
def test_a_flipped_byte_is_read_or_refused_and_nothing_else(
    pair: tuple[Topic, Record], data: st.DataObject
) -> None:
    topic, record = pair
    body = bytearray(write_body(topic, record))
    place = data.draw(st.integers(0, len(body) - 1))
    body[place] ^= data.draw(st.integers(1, 255))
    try:
        read_body(topic, bytes(body))
    except SchemaMismatchError:
        return


def block(items: bytes, count: int, *, sized: bool) -> bytes:
    """Return one block of an array, in the form that says its size in bytes or the other."""
    out = bytearray()
    write_long(out, -count if sized else count)
    if sized:
        write_long(out, len(items))
    return bytes(out) + items


@st.composite
def blocked_arrays(draw: st.DrawFn) -> tuple[list[int], bytes, bytes]:
    """Return numbers, and the same numbers as blocks of longs and of doubles."""
    parts = draw(st.lists(st.lists(longs, min_size=1, max_size=12), max_size=4))
    as_longs = as_doubles = b""
    for part in parts:
        numbers = np.array(part, np.int64)
        encoded = bytearray()
        write_longs(encoded, numbers)
        sized = draw(st.booleans())
        as_longs += block(bytes(encoded), len(part), sized=sized)
        as_doubles += block(numbers.view("<f8").tobytes(), len(part), sized=sized)
    return [n for part in parts for n in part], as_longs + b"\0", as_doubles + b"\0"


@given(blocked_arrays())
def test_arrays_in_several_blocks_are_read_as_one(
    found: tuple[list[int], bytes, bytes],
) -> None:
    """Other writers may cut an array where they like, and say how long a block is."""
    numbers, as_longs, as_doubles = found
    read = compile_reader({"type": "array", "items": "long"})
    assert read(as_longs, 0).tolist() == numbers
    read = compile_reader({"type": "array", "items": "double"})
    assert read(as_doubles, 0).view(np.int64).tolist() == numbers


@given(st.lists(longs, min_size=1, max_size=50))
@example([0, -1, 63, -64, 64, -65, 2**63 - 1, -(2**63)])
@example([2**63 - 1] * 3)
def test_many_numbers_at_once_are_written_as_one_by_one(numbers: list[int]) -> None:
    one_by_one = bytearray()
    for number in numbers:
        write_long(one_by_one, number)
    at_once = bytearray()
    write_longs(at_once, np.array(numbers, np.int64))
    assert at_once == one_by_one
    found, end = read_longs(b"??" + bytes(at_once) + b"??", 2, len(numbers))
    assert (found.tolist(), end) == (numbers, 2 + len(at_once))


@given(st.binary(min_size=1, max_size=40), st.integers(1, 8))
@example(b"\xff" * 9 + b"\x01", 1)
@example(b"\xff" * 9 + b"\x02", 1)
@example(b"\x80" * 10 + b"\x00", 1)
@example(b"\x80\x00\x80\x00", 2)
def test_many_numbers_at_once_are_read_as_one_by_one(noise: bytes, count: int) -> None:
    """What one way refuses, so does the other."""
    expected: list[int] = []
    end = 0
    refused = False
    try:
        for _ in range(count):
            number, end = read_long(noise, end)
            expected.append(number)
    except (IndexError, MalformedError):
        refused = True
    try:
        found, found_end = read_longs(noise, 0, count)
    except MalformedError:
        assert refused
    else:
        assert not refused
        assert (found.tolist(), found_end) == (expected, end)


@given(chunks())
def test_fastavro_reads_what_we_write(chunk: BarChunk) -> None:
    schema = fastavro.parse_schema(load("BarChunk"))
    found = fastavro.schemaless_reader(
        io.BytesIO(write_body(CATALOGUE.chunks, chunk)), schema, None
    )
    assert isinstance(found, dict)
    assert np.array(found["ts"], np.int64).tobytes() == chunk.ts.tobytes()
    assert np.array(found["close"], np.float64).tobytes() == chunk.close.tobytes()
    assert found["covers"] == [{"start": a, "end": b} for a, b in chunk.covers]


def test_a_union_tells_its_branch() -> None:
    read = compile_reader(history_schema())
    with pytest.raises(MalformedError, match="number 2 of 2"):
        read(b"\x04", 0)


@pytest.mark.parametrize("claim", [2**40, -(2**40), 2**62, -(2**63)])
@pytest.mark.parametrize("items", ["long", "double", "string"])
def test_a_claim_of_many_items_reserves_no_memory(claim: int, items: str) -> None:
    out = bytearray()
    write_long(out, claim)
    with pytest.raises(MalformedError):
        compile_reader({"type": "array", "items": items})(bytes(out) + b"\x02" * 30, 0)


def older(schema: Any) -> Any:
    """Return a schema that a reader of `schema` can resolve: other fields, other symbols."""
    if isinstance(schema, list):
        return [older(branch) for branch in schema]
    kept = [f for f in schema["fields"] if "default" not in f or f["name"] in {"covers", "flags"}]
    extra = {"name": "extra", "type": {"type": "array", "items": "string"}, "default": []}
    return {**schema, "fields": [extra, *kept]}


def older_body(topic: Topic, record: Record) -> bytes:
    """Return a record as a producer with the other schema writes it."""
    values: Any = {**plain(to_values(record)), "extra": ["a", "b"]}
    schema = older(topic.schema)
    name = type(record).__name__
    chosen = next(s for s in schema if s["name"] == name) if isinstance(schema, list) else schema
    values = {field["name"]: values[field["name"]] for field in chosen["fields"]}
    wrapped = (f"seamless.{name}", values) if isinstance(schema, list) else values
    return HEADER + fastavro_body(schema, wrapped)


def decoder(topic: Topic) -> Decode:
    """Return how values of the other schema are read."""
    stored = StoredSchema(json.dumps(older(topic.schema)), "AVRO")
    return _decoder(_pinned(topic), stored, 7)


@given(records_in_topics)
def test_another_writers_schema_is_resolved(pair: tuple[Topic, Record]) -> None:
    """What the writer lacks gets our default, what we lack is passed over."""
    topic, record = pair
    found = decoder(topic)(older_body(topic, record))
    assert type(found) is type(record)
    ours = older(topic.schema)
    for branch in ours if isinstance(ours, list) else [ours]:
        if branch["name"] == type(record).__name__:
            for field in branch["fields"][1:]:
                name = field["name"]
                assert same(getattr(found, name), getattr(record, name)), name


@given(records_in_topics, st.data())
def test_another_writers_bytes_are_read_or_refused_and_nothing_else(
    pair: tuple[Topic, Record], data: st.DataObject
) -> None:
    topic, record = pair
    body = bytearray(older_body(topic, record))
    place = data.draw(st.integers(5, len(body) - 1))
    fault = data.draw(st.sampled_from(["cut", "longer", "flip", "noise"]))
    if fault == "cut":
        del body[place:]
    elif fault == "longer":
        body += data.draw(st.binary(min_size=1, max_size=9))
    elif fault == "flip":
        body[place] ^= data.draw(st.integers(1, 255))
    else:
        body[5:] = data.draw(st.binary(max_size=200))
    try:
        decoder(topic)(bytes(body))
    except SchemaMismatchError:
        return
    assert fault in {"flip", "noise"}
