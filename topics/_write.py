"""Writes Avro bodies: the other half of `_read`, strict about every value.

Nothing is cast: a number out of range, a missing field, an array of another type are an
`UnwritableRecordError` that says where. Arrays are written as one block.
"""

import operator
import struct
from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from avro_schemas import Schema
from topics.errors import UnwritableRecordError

Writer: TypeAlias = Callable[[bytearray, Any], None]

_DOUBLE = struct.Struct("<d")
_BITS = {"int": 32, "long": 64}
_SHIFTS = np.arange(0, 63, 7, dtype=np.uint64)
_LOW = np.uint64(0x7F)
_MORE = np.uint8(0x80)


def write_long(out: bytearray, value: int) -> None:
    """Append a zigzag varint."""
    rest = (value << 1) ^ (value >> 63)
    while rest > 0x7F:  # noqa: PLR2004 - what seven bits hold
        out.append((rest & 0x7F) | 0x80)
        rest >>= 7
    out.append(rest)


def write_longs(out: bytearray, values: NDArray[np.int64]) -> None:
    """Append a zigzag varint for each value, of which there is at least one."""
    raw = ((values << 1) ^ (values >> 63)).view(np.uint64)
    each = _length(int(raw.max()))
    if each <= len(_SHIFTS) and _length(int(raw.min())) == each:
        table = ((raw[:, None] >> _SHIFTS[:each]) & _LOW).astype(np.uint8)
        table[:, :-1] |= _MORE
        out += table.tobytes()
        return
    for value in values.tolist():
        write_long(out, value)


def _length(raw: int) -> int:
    """Return how many bytes a number takes."""
    return max(1, -(-raw.bit_length() // 7))


def _integer(path: str, bits: int) -> Writer:
    low, high = -(1 << (bits - 1)), (1 << (bits - 1)) - 1
    allowed = f"a whole number of {bits} bits"

    def write(out: bytearray, value: Any) -> None:
        if isinstance(value, (bool, np.bool_)):
            raise UnwritableRecordError(path, value, allowed)
        try:
            number = operator.index(value)
        except TypeError:
            raise UnwritableRecordError(path, value, allowed) from None
        if not low <= number <= high:
            raise UnwritableRecordError(path, value, allowed)
        write_long(out, number)

    return write


def _boolean(path: str) -> Writer:
    def write(out: bytearray, value: Any) -> None:
        if not isinstance(value, (bool, np.bool_)):
            raise UnwritableRecordError(path, value, "true or false")
        out.append(1 if value else 0)

    return write


def _double(path: str) -> Writer:
    def write(out: bytearray, value: Any) -> None:
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise UnwritableRecordError(path, value, "a number")
        out += _DOUBLE.pack(value)

    return write


def _string(path: str) -> Writer:
    def write(out: bytearray, value: Any) -> None:
        if not isinstance(value, str):
            raise UnwritableRecordError(path, value, "text")
        try:
            encoded = value.encode()
        except UnicodeEncodeError:
            raise UnwritableRecordError(path, value, "text that UTF-8 can encode") from None
        write_long(out, len(encoded))
        out += encoded

    return write


def _enum(path: str, symbols: list[str]) -> Writer:
    index = {symbol: i for i, symbol in enumerate(symbols)}

    def write(out: bytearray, value: Any) -> None:
        if value not in index:
            raise UnwritableRecordError(path, value, f"one of {', '.join(symbols)}")
        write_long(out, index[value])

    return write


def _numbers(path: str, dtype: type[np.generic]) -> Writer:
    allowed = f"a one-dimensional array of {np.dtype(dtype).name}"

    def write(out: bytearray, value: Any) -> None:
        if not isinstance(value, np.ndarray) or value.dtype != dtype or value.ndim != 1:
            raise UnwritableRecordError(path, getattr(value, "dtype", value), allowed)
        if value.size:
            write_long(out, value.size)
            if dtype is np.int64:
                write_longs(out, value)
            else:
                out += value.astype("<f8", copy=False).tobytes()
        out.append(0)

    return write


def _array(item: Writer) -> Writer:
    def write(out: bytearray, value: Any) -> None:
        if value:
            write_long(out, len(value))
            for each in value:
                item(out, each)
        out.append(0)

    return write


def _record(path: str, fields: list[tuple[str, Writer]]) -> Writer:
    names = {name for name, _ in fields}

    def write(out: bytearray, value: Any) -> None:
        if not isinstance(value, dict) or value.keys() != names:
            found = sorted(value) if isinstance(value, dict) else value
            raise UnwritableRecordError(path, found, f"a record of {', '.join(sorted(names))}")
        for name, item in fields:
            item(out, value[name])

    return write


def _optional(null_index: int, item: Writer) -> Writer:
    def write(out: bytearray, value: Any) -> None:
        write_long(out, null_index if value is None else 1 - null_index)
        if value is not None:
            item(out, value)

    return write


def _one_of(path: str, branches: dict[str, tuple[int, Writer]]) -> Writer:
    def write(out: bytearray, value: Any) -> None:
        name, record = value
        if name not in branches:
            raise UnwritableRecordError(path, name, f"one of {', '.join(branches)}")
        index, item = branches[name]
        write_long(out, index)
        item(out, record)

    return write


def _compile_union(schema: list[Any], path: str, known: dict[str, Writer]) -> Writer:
    if "null" in schema:
        null_index = schema.index("null")
        return _optional(null_index, _compile(schema[1 - null_index], path, known))
    return _one_of(
        path, {b["name"]: (i, _compile(b, b["name"], known)) for i, b in enumerate(schema)}
    )


def _compile_name(schema: str, path: str, known: dict[str, Writer]) -> Writer:
    match schema:
        case "int" | "long":
            return _integer(path, _BITS[schema])
        case "boolean":
            return _boolean(path)
        case "double":
            return _double(path)
        case "string":
            return _string(path)
        case _:
            return known[schema]


def _compile(schema: Any, path: str, known: dict[str, Writer]) -> Writer:
    if isinstance(schema, list):
        return _compile_union(schema, path, known)
    if isinstance(schema, str):
        return _compile_name(schema, path, known)
    match schema["type"]:
        case "array" if schema["items"] == "long":
            return _numbers(path, np.int64)
        case "array" if schema["items"] == "double":
            return _numbers(path, np.float64)
        case "array":
            return _array(_compile(schema["items"], f"{path}[]", known))
        case "enum":
            known[schema["name"]] = _enum(path, schema["symbols"])
            return known[schema["name"]]
        case "record":
            fields = [
                (f["name"], _compile(f["type"], f"{path}.{f['name']}", known))
                for f in schema["fields"]
            ]
            known[schema["name"]] = _record(path, fields)
            return known[schema["name"]]
        case other:
            return _compile(other, path, known)


def compile_writer(schema: Schema) -> Writer:
    """Return a function that appends a record's body to a buffer.

    It takes what `compile_reader`'s functions return. The function raises
    UnwritableRecordError for anything that the schema does not say, extra fields included.
    """
    name = schema.get("name", "") if isinstance(schema, dict) else "record"
    return _compile(schema, name, {})
