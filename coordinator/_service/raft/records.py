"""The journal's bytes: records one after another, each with its own checksum. Pure.

A record is `magic, length, CRC32, synced, payload`; all integers little endian. `synced` is how
many bytes of the file were known to be safe when the record was written. So a reader can tell a
torn tail, which no one was ever told of and which is cut, from damage to what was safe, which must
stop the node: some later record says that the damaged place had been safe.

Payloads begin with their kind: the head (format, node), the term with its vote, the commit index,
an entry, a cut (all entries from an index on are gone).
"""

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TypeAlias

from coordinator._service.raft.errors import JournalCorruptError

FORMAT = 1

Entry: TypeAlias = tuple[bytes, int, int]
"""Command, index, term: as PySyncObj has them."""

_MAGIC = b"\xf1SL\x01"
_HEAD = struct.Struct("<4sIIQ")
_TWO = struct.Struct("<QQ")
_ONE = struct.Struct("<Q")
_RECORD_BYTES_MAX = 64 * 2**20

_FILE, _TERM, _COMMIT, _ENTRY, _CUT = range(5)


@dataclass(slots=True, kw_only=True)
class Contents:
    """What a journal holds."""

    node_id: str = ""
    term: int = 0
    vote: str | None = None
    """Whom this node has voted for in that term."""

    commit: int = 1
    """Highest index that was known to be committed, some time ago."""

    entries: list[Entry] = field(default_factory=list)
    """Indexes without a gap."""

    whole: int = 0
    """Bytes that could be read; what follows them was torn off by a crash."""


def file_record(node_id: str, synced: int = 0) -> bytes:
    """Return the record that a journal begins with."""
    return _record(bytes((_FILE, FORMAT)) + node_id.encode(), synced)


def term_record(term: int, vote: str | None, synced: int = 0) -> bytes:
    """Return a record of a term and whom this node voted for in it."""
    told = b"" if vote is None else b"\x01" + vote.encode()
    return _record(bytes((_TERM,)) + _ONE.pack(term) + told, synced)


def commit_record(commit: int, synced: int = 0) -> bytes:
    """Return a record of a commit index."""
    return _record(bytes((_COMMIT,)) + _ONE.pack(commit), synced)


def entry_record(entry: Entry, synced: int = 0) -> bytes:
    """Return the record of an entry."""
    command, index, term = entry
    return _record(bytes((_ENTRY,)) + _TWO.pack(index, term) + command, synced)


def cut_record(index: int, synced: int = 0) -> bytes:
    """Return a record that takes back all entries from an index on."""
    return _record(bytes((_CUT,)) + _ONE.pack(index), synced)


def _record(payload: bytes, synced: int) -> bytes:
    return _HEAD.pack(_MAGIC, len(payload), _crc(synced, payload), synced) + payload


def _crc(synced: int, payload: bytes) -> int:
    return zlib.crc32(payload, zlib.crc32(_ONE.pack(synced)))


def read_journal(data: bytes, path: str) -> Contents:
    """Return what a journal's bytes hold, up to where a crash has torn them.

    Raises:
        JournalCorruptError: Something that had been safe cannot be read, or makes no sense.
    """
    contents = Contents()
    offset = 0
    while (found := _record_at(data, offset)) is not None:
        _take(contents, found[1], path, offset)
        offset = found[2]
    contents.whole = offset
    for later, synced in _later_records(data, offset):
        if synced > offset:
            reason = f"the record at byte {later} says that it had been safe"
            raise JournalCorruptError(path, offset, reason)
    return contents


def _record_at(data: bytes, offset: int) -> tuple[int, bytes, int] | None:
    """Return a record's `synced`, its payload and its end; None: there is no whole record."""
    if offset + _HEAD.size > len(data):
        return None
    magic, length, crc, synced = _HEAD.unpack_from(data, offset)
    begin = offset + _HEAD.size
    if magic != _MAGIC or not 0 < length <= _RECORD_BYTES_MAX or begin + length > len(data):
        return None
    payload = data[begin : begin + length]
    return (synced, payload, begin + length) if _crc(synced, payload) == crc else None


def _later_records(data: bytes, offset: int) -> Iterator[tuple[int, int]]:
    place = data.find(_MAGIC, offset + 1)
    while place >= 0:
        found = _record_at(data, place)
        if found is not None:
            yield place, found[0]
        place = data.find(_MAGIC, place + 1)


def _take(contents: Contents, payload: bytes, path: str, offset: int) -> None:
    kind, body = payload[0], payload[1:]
    try:
        if (kind == _FILE) != (offset == 0):
            raise ValueError("a journal begins with its head, and only there")
        if kind == _FILE:
            _take_head(contents, body)
        elif kind == _TERM:
            (contents.term,) = _ONE.unpack_from(body)
            told = body[_ONE.size :]
            contents.vote = told[1:].decode() if told else None
        elif kind == _COMMIT:
            (contents.commit,) = _ONE.unpack(body)
        elif kind == _ENTRY:
            _take_entry(contents, body)
        elif kind == _CUT:
            _take_cut(contents, _ONE.unpack(body)[0])
        else:
            raise ValueError(f"no kind of record is {kind}")
    except (ValueError, struct.error) as error:
        raise JournalCorruptError(path, offset, str(error)) from error


def _take_head(contents: Contents, body: bytes) -> None:
    if body[0] != FORMAT:
        raise ValueError(f"format must be {FORMAT}, was {body[0]}")
    contents.node_id = body[1:].decode()


def _take_entry(contents: Contents, body: bytes) -> None:
    index, term = _TWO.unpack_from(body)
    if contents.entries and index != contents.entries[-1][1] + 1:
        raise ValueError(f"entry {index} follows entry {contents.entries[-1][1]}")
    contents.entries.append((body[_TWO.size :], index, term))


def _take_cut(contents: Contents, index: int) -> None:
    kept = index - contents.entries[0][1] if contents.entries else 0
    if not 0 <= kept <= len(contents.entries):
        raise ValueError(f"entries from {index} on are taken back, which are not there")
    del contents.entries[kept:]
