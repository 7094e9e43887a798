"""Reads Avro bodies whose writer's schema is the one in the code, arrays of numbers as numpy.

`compile_reader` turns a schema into nested functions once. They are strict: whatever is cut off,
left over, or out of range is a `MalformedError`, and no claim inside the bytes makes them reserve
more memory than the bytes themselves take. Encoding: Avro 1.12 specification, "Binary encoding".
"""

import struct
from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from avro_schemas import Schema

Reader: TypeAlias = Callable[[bytes, int], tuple[Any, int]]

VARINT_BYTES_MAX = 10
_DOUBLE = struct.Struct("<d")
_MORE = np.uint8(0x80)  # set in each byte of a number but its last
_LOW = np.uint8(0x7F)
_WEIGHTS = np.array([1 << (7 * k) for k in range(VARINT_BYTES_MAX - 1)], np.uint64)
_LAST_BYTE_MAX = 1  # the tenth byte holds the 64th bit and nothing above it
_INT_MIN, _INT_MAX = -(2**31), 2**31 - 1


class MalformedError(ValueError):
    """The bytes are not what the schema says; becomes a SchemaMismatchError with its id."""


def read_long(buf: bytes, pos: int) -> tuple[int, int]:
    """Return the zigzag varint at `pos` and the position after it."""
    start = pos
    byte = buf[pos]
    value = byte & 0x7F
    shift = 7
    while byte & 0x80:
        pos += 1
        byte = buf[pos]
        value |= (byte & 0x7F) << shift
        shift += 7
        if pos - start == VARINT_BYTES_MAX - 1 and byte > _LAST_BYTE_MAX:
            raise MalformedError(f"a number at byte {start} has more than 64 bits")
    return (value >> 1) ^ -(value & 1), pos + 1


def read_longs(buf: bytes, pos: int, count: int) -> tuple[NDArray[np.int64], int]:
    """Return `count` zigzag varints, at least one, from `pos` on and the position after them."""
    window = np.frombuffer(buf, np.uint8, min(len(buf) - pos, count * VARINT_BYTES_MAX), pos)
    ends = np.flatnonzero(window < _MORE)[:count]
    if ends.size < count:
        raise MalformedError(f"{count} numbers at byte {pos}: the bytes end before")
    size = int(ends[-1]) + 1
    each = int(ends[0]) + 1
    if size == each * count and each < VARINT_BYTES_MAX:
        table = window[:size].reshape(count, each)
        if bool((table[:, -1] < _MORE).all()):  # all of one length, as open times nearly always are
            return _unzigzag((table & _LOW) @ _WEIGHTS[:each]), pos + size
    return _unzigzag(_ragged(window, ends, pos)), pos + size


def _ragged(window: NDArray[np.uint8], ends: NDArray[np.intp], pos: int) -> NDArray[np.uint64]:
    """Return the numbers, zigzag still, that end at `ends` and may differ in length."""
    starts = np.empty_like(ends)
    starts[0] = 0
    starts[1:] = ends[:-1] + 1
    lengths = ends - starts + 1
    longest = int(lengths.max())
    if longest > VARINT_BYTES_MAX or (
        longest == VARINT_BYTES_MAX
        and bool((window[ends[lengths == VARINT_BYTES_MAX]] > _LAST_BYTE_MAX).any())
    ):
        raise MalformedError(f"a number after byte {pos} has more than 64 bits")
    raw = np.zeros(ends.size, np.uint64)
    for k in range(longest):
        rows = np.flatnonzero(lengths > k)
        raw[rows] |= (window[starts[rows] + k] & _LOW).astype(np.uint64) << np.uint64(7 * k)
    return raw


def _unzigzag(raw: NDArray[np.uint64]) -> NDArray[np.int64]:
    return (raw >> np.uint64(1)).view(np.int64) ^ -(raw & np.uint64(1)).view(np.int64)


def _read_int(buf: bytes, pos: int) -> tuple[int, int]:
    value, end = read_long(buf, pos)
    if not _INT_MIN <= value <= _INT_MAX:
        raise MalformedError(f"a number at byte {pos} has more than 32 bits")
    return value, end


def _read_boolean(buf: bytes, pos: int) -> tuple[bool, int]:
    if buf[pos] > 1:
        raise MalformedError(f"a boolean at byte {pos} is {buf[pos]}")
    return buf[pos] == 1, pos + 1


def _read_double(buf: bytes, pos: int) -> tuple[float, int]:
    return _DOUBLE.unpack_from(buf, pos)[0], pos + _DOUBLE.size


def _read_string(buf: bytes, pos: int) -> tuple[str, int]:
    size, begin = read_long(buf, pos)
    if not 0 <= size <= len(buf) - begin:
        raise MalformedError(f"a text at byte {pos} claims {size} bytes")
    return buf[begin : begin + size].decode(), begin + size


def _read_null(_buf: bytes, pos: int) -> tuple[None, int]:
    return None, pos


def _block(buf: bytes, pos: int) -> tuple[int, int, int | None]:
    """Return the number of items of an array's next block, where they begin, and must end."""
    count, at = read_long(buf, pos)
    end = None
    if count < 0:
        size, at = read_long(buf, at)
        count, end = -count, at + size
    if count > len(buf) - at:  # every item takes at least a byte
        raise MalformedError(f"an array at byte {pos} claims {count} items")
    return count, at, end


def _blocks(items: Callable[[bytes, int, int], tuple[Any, int]]) -> Callable[..., Any]:
    """Return a function that reads all blocks of an array and returns them as a list."""

    def read(buf: bytes, pos: int) -> tuple[list[Any], int]:
        parts: list[Any] = []
        while True:
            count, at, end = _block(buf, pos)
            if count == 0:
                if end is not None and end != at:
                    raise MalformedError(f"an empty block at byte {pos} claims a size")
                return parts, at
            part, pos = items(buf, at, count)
            if end is not None and end != pos:
                raise MalformedError(f"a block at byte {at} claims another size than it has")
            parts.append(part)

    return read


def _doubles(buf: bytes, pos: int, count: int) -> tuple[NDArray[np.float64], int]:
    end = pos + count * _DOUBLE.size
    if end > len(buf):
        raise MalformedError(f"{count} doubles at byte {pos}: the bytes end before")
    # Copied: aligned, writable, and it does not hold the whole message in memory.
    return np.frombuffer(buf, "<f8", count, pos).astype(np.float64), end


def _array_of_numbers(
    items: Callable[[bytes, int, int], tuple[NDArray[Any], int]], dtype: np.dtype[Any]
) -> Reader:
    blocks = _blocks(items)

    def read(buf: bytes, pos: int) -> tuple[NDArray[Any], int]:
        parts, pos = blocks(buf, pos)
        if len(parts) == 1:
            return parts[0], pos
        return np.concatenate(parts) if parts else np.empty(0, dtype), pos

    return read


def _array_of(item: Reader) -> Reader:
    def items(buf: bytes, pos: int, count: int) -> tuple[list[Any], int]:
        found = []
        for _ in range(count):
            value, pos = item(buf, pos)
            found.append(value)
        return found, pos

    blocks = _blocks(items)

    def read(buf: bytes, pos: int) -> tuple[list[Any], int]:
        parts, pos = blocks(buf, pos)
        return [value for part in parts for value in part], pos

    return read


def _record(fields: list[tuple[str, Reader]]) -> Reader:
    def read(buf: bytes, pos: int) -> tuple[dict[str, Any], int]:
        found = {}
        for name, item in fields:
            found[name], pos = item(buf, pos)
        return found, pos

    return read


def _choice(kind: str, choices: int, buf: bytes, pos: int) -> tuple[int, int]:
    index, end = read_long(buf, pos)
    if not 0 <= index < choices:
        raise MalformedError(f"{kind} at byte {pos} is number {index} of {choices}")
    return index, end


def _enum(symbols: list[str]) -> Reader:
    def read(buf: bytes, pos: int) -> tuple[str, int]:
        index, pos = _choice("an enum", len(symbols), buf, pos)
        return symbols[index], pos

    return read


def _union(branches: list[Reader], names: list[str], *, named: bool) -> Reader:
    """Return a reader of a union; of (name, value) where the branch has to be told."""

    def read(buf: bytes, pos: int) -> tuple[Any, int]:
        index, pos = _choice("a branch", len(branches), buf, pos)
        value, pos = branches[index](buf, pos)
        return ((names[index], value) if named else value), pos

    return read


_PRIMITIVES: dict[str, Reader] = {
    "null": _read_null,
    "boolean": _read_boolean,
    "int": _read_int,
    "long": read_long,
    "double": _read_double,
    "string": _read_string,
}


def _compile(schema: Any, known: dict[str, Reader]) -> Reader:
    if isinstance(schema, list):
        branches = [_compile(branch, known) for branch in schema]
        names = [b["name"] if isinstance(b, dict) else b for b in schema]
        return _union(branches, names, named=sum(isinstance(b, dict) for b in schema) > 1)
    if isinstance(schema, str):
        return _PRIMITIVES.get(schema) or known[schema]
    match schema["type"]:
        case "array":
            numbers = {
                "long": (read_longs, np.dtype(np.int64)),
                "double": (_doubles, np.dtype(np.float64)),
            }
            if isinstance(schema["items"], str) and schema["items"] in numbers:
                return _array_of_numbers(*numbers[schema["items"]])
            return _array_of(_compile(schema["items"], known))
        case "enum":
            known[schema["name"]] = _enum(schema["symbols"])
            return known[schema["name"]]
        case "record":
            fields = [(f["name"], _compile(f["type"], known)) for f in schema["fields"]]
            known[schema["name"]] = _record(fields)
            return known[schema["name"]]
        case other:
            return _compile(other, known)


def compile_reader(schema: Schema) -> Callable[[bytes, int], Any]:
    """Return a function of (bytes, position of the body) that reads one whole record.

    Records are dicts, arrays of long and double numpy arrays, other arrays lists, enums their
    symbols. A union of several records gives (name of the record, dict).

    The function raises MalformedError unless the body fits the schema and ends with the bytes.
    """
    read = _compile(schema, {})

    def decode(buf: bytes, pos: int) -> Any:
        try:
            value, end = read(buf, pos)
        except (IndexError, struct.error):
            raise MalformedError("the bytes end inside the record") from None
        except UnicodeDecodeError as error:
            raise MalformedError(f"a text is not UTF-8: {error.reason}") from None
        if end != len(buf):
            raise MalformedError(f"{len(buf) - end} bytes are left after the record")
        return value

    return decode
