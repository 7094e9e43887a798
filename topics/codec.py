"""Typed records to bytes and back: the Confluent wire format, 0x00, schema id, Avro body.

A topic's schema in the code is the reader's schema. Bytes written with it, which is nearly all of
them, are read by `_read`; others by fastavro, which resolves the writer's schema against it.
Nothing is ever registered here.
"""

import io
import json
import struct
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import fastavro
from fastavro.schema import SchemaParseException, UnknownType, to_parsing_canonical_form

from avro_schemas import Record
from runtime import Clock, Deadline
from topics._read import MalformedError, compile_reader
from topics._schemas import KEPT_MAX, Kept, Schemas
from topics._typed import Values, to_record, to_values
from topics._write import Writer, compile_writer
from topics.catalogue import Topic
from topics.errors import (
    NotAvroError,
    SchemaMismatchError,
    UnreadableRecordError,
    UnwritableRecordError,
)
from topics.messages import HEADER_BYTES, MAGIC, schema_id_of
from topics.registry import Registry, StoredSchema

VALUE_BYTES_MAX = 512 * 1_024
"""No value is larger: the defaults of brokers and clients (1 MB) then never bite."""

CHUNK_BARS_MAX = 2_000
"""No chunk holds more bars."""

_HEADER = struct.Struct(">bI")

# What bytes or schemas that do not fit make fastavro raise: it has no error of its own for them.
_FASTAVRO_ERRORS = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    EOFError,
    LookupError,
    MemoryError,
    RecursionError,
    StopIteration,
    TypeError,
    ValueError,
    struct.error,
    fastavro.read.SchemaResolutionError,
)

Decode = Callable[[bytes], Record]


@dataclass(frozen=True, slots=True)
class _Pinned:
    """A schema in the code, compiled."""

    schema: Any
    canonical: str
    read: Callable[[bytes, int], Any]
    write: Writer
    names: tuple[str, ...]


@cache
def _compiled(text: str) -> _Pinned:
    schema = json.loads(text)
    branches = schema if isinstance(schema, list) else [schema]
    return _Pinned(
        schema=fastavro.parse_schema(schema),
        canonical=to_parsing_canonical_form(schema),
        read=compile_reader(schema),
        write=compile_writer(schema),
        names=tuple(branch["name"] for branch in branches),
    )


def _pinned(topic: Topic) -> _Pinned:
    if topic.schema is None:
        raise UnwritableRecordError(topic.name, "a record", "raw bytes: the topic has no schema")
    return _compiled(topic.schema_text)


class Codec:
    """Writes and reads the values of topics; belongs to the event loop of its registry."""

    def __init__(self, registry: Registry, clock: Clock) -> None:
        self._schemas = Schemas(registry, clock)
        self._decoders: Kept[tuple[str, int], Decode] = Kept(KEPT_MAX)

    async def encode(self, topic: Topic, record: Record, deadline: Deadline | None = None) -> bytes:
        """Return the value of a record in a topic.

        Args:
            topic: Where it will stand; decides the schema.
            record: What to write.
            deadline: How long to wait for the registry when the schema's id is not known yet;
                None: 30 s.

        Raises:
            UnwritableRecordError: It does not fit the schema, or is too large.
            NotRegisteredError: Nobody has registered the topic's schema.
            RegistryUnavailableError: The registry did not answer in time.
        """
        body = write_body(topic, record)
        schema_id = await self._schemas.id_of(topic, deadline)
        return _HEADER.pack(MAGIC, schema_id) + body

    async def decode(
        self, topic: Topic, payload: bytes | None, deadline: Deadline | None = None
    ) -> Record:
        """Return the record that a value holds.

        Args:
            topic: Where it stands; decides the reader's schema.
            payload: The value's bytes.
            deadline: How long to wait for the registry when the writer's schema is not known
                yet; None: 30 s.

        Raises:
            NotAvroError: It is not in the wire format.
            UnknownSchemaError: A registry that answered has no such schema.
            SchemaMismatchError: The bytes do not fit their schema, or it does not fit ours.
            RegistryUnavailableError: The registry did not answer in time; read it again later.
        """
        pinned = _pinned(topic)
        schema_id = schema_id_of(payload)
        if payload is None or schema_id is None:
            raise NotAvroError(f"a value that begins with {(payload or b'')[:HEADER_BYTES]!r}")
        decode = self._decoders.get((topic.name, schema_id))
        if decode is None:
            stored = await self._schemas.by_id(schema_id, deadline)
            decode = _decoder(pinned, stored, schema_id)
            self._decoders.put((topic.name, schema_id), decode)
        return decode(payload)


def write_body(topic: Topic, record: Record) -> bytes:
    """Return the Avro body of a record in a topic's schema.

    Raises:
        UnwritableRecordError: It does not fit, or is too large.
    """
    pinned = _pinned(topic)
    name = type(record).__name__
    if name not in pinned.names:
        raise UnwritableRecordError(topic.name, name, f"one of {', '.join(pinned.names)}")
    values = to_values(record)
    if len(values.get("ts", ())) > CHUNK_BARS_MAX:
        raise UnwritableRecordError(f"{name}.ts", len(values["ts"]), "at most 2,000 bars")
    out = bytearray()
    pinned.write(out, values if len(pinned.names) == 1 else (name, values))
    if len(out) + HEADER_BYTES > VALUE_BYTES_MAX:
        raise UnwritableRecordError(name, f"{len(out)} bytes", f"at most {VALUE_BYTES_MAX}")
    return bytes(out)


def read_body(topic: Topic, body: bytes) -> Record:
    """Return the record of an Avro body that was written in the topic's own schema.

    Raises:
        SchemaMismatchError: It was not.
    """
    pinned = _pinned(topic)
    try:
        return _named(pinned, pinned.read(body, 0))
    except MalformedError as error:
        raise SchemaMismatchError(str(error)) from error


def _named(pinned: _Pinned, value: Any) -> Record:
    """Return the typed record of what a reader returned."""
    if isinstance(value, tuple):
        name, values = value
        return to_record(name.rpartition(".")[2], values)
    if len(pinned.names) == 1:
        return to_record(pinned.names[0], value)
    return to_record(_branch_of(pinned, value), value)


def _branch_of(pinned: _Pinned, values: Values) -> str:
    """Return which of the reader's branches has these fields: the writer had no union."""
    for branch in pinned.schema:
        if {field["name"] for field in branch["fields"]} == values.keys():
            return str(branch["name"]).rpartition(".")[2]
    raise MalformedError("the writer's record is none of the topic's")


def _decoder(pinned: _Pinned, stored: StoredSchema, schema_id: int) -> Decode:
    """Return how values of one writer's schema are read."""
    try:
        if stored.kind != "AVRO":
            raise MalformedError(f"it is a schema of {stored.kind}")
        writer = json.loads(stored.text)
        same = to_parsing_canonical_form(writer) == pinned.canonical
        parsed = fastavro.parse_schema(writer)
    except (*_FASTAVRO_ERRORS, SchemaParseException, UnknownType) as error:
        reason = f"the schema {schema_id} cannot be used: {type(error).__name__} {error}"
        return _always(SchemaMismatchError(reason, schema_id))

    def read_pinned(payload: bytes) -> Record:
        try:
            return _named(pinned, pinned.read(payload, HEADER_BYTES))
        except MalformedError as error:
            raise SchemaMismatchError(str(error), schema_id) from error

    def read_resolved(payload: bytes) -> Record:
        try:
            return _named(pinned, _resolve(payload, parsed, pinned.schema))
        except _FASTAVRO_ERRORS as error:
            reason = f"schema {schema_id}: {type(error).__name__} {error}"
            raise SchemaMismatchError(reason, schema_id) from error

    return read_pinned if same else read_resolved


def _resolve(payload: bytes, writer: Any, reader: Any) -> Any:
    stream = io.BytesIO(payload)
    stream.seek(HEADER_BYTES)
    value = fastavro.schemaless_reader(
        stream, writer, reader, return_record_name=True, return_record_name_override=True
    )
    if stream.tell() != len(payload):
        raise MalformedError(f"{len(payload) - stream.tell()} bytes are left after the record")
    return value


def _always(error: UnreadableRecordError) -> Decode:
    def refuse(_payload: bytes) -> Record:
        raise type(error)(str(error), error.schema_id)

    return refuse
