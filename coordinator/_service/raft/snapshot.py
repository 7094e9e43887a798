"""A snapshot's bytes: the state after some entry of the log, checked from end to end. Pure.

`magic, CRC32, format, previous entry, last entry, state`. The two entries are what PySyncObj keeps
of a log whose beginning is gone. The same bytes are what a node stores, sends to another node and
hands to a person.
"""

import struct
import zlib
from dataclasses import dataclass
from typing import Final

from coordinator._service.raft.errors import SnapshotCorruptError
from coordinator._service.raft.records import Entry

FORMAT: Final = 1

BYTES_MAX: Final = 256 * 2**20
"""No state of the machine comes near it: 5,000 lanes and 20,000 replies take some ten megabytes."""

_MAGIC: Final = b"\xf1SNAP\r\n\x1a"
_HEAD: Final = struct.Struct("<8sI")
_BODY: Final = struct.Struct("<HQQIQQI")


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """The state after entry `last`."""

    previous: Entry
    """The entry before the last one that is in the state."""

    last: Entry
    """The last entry that is in the state."""

    state: bytes
    """What the replica made of itself."""

    @property
    def index(self) -> int:
        """Index of the last entry that is in the state."""
        return self.last[1]

    @property
    def term(self) -> int:
        """Term of that entry."""
        return self.last[2]


def encode(snapshot: Snapshot) -> bytes:
    """Return a snapshot as it is stored and sent."""
    before, before_index, before_term = snapshot.previous
    last, last_index, last_term = snapshot.last
    sizes = (before_index, before_term, len(before), last_index, last_term, len(last))
    body = b"".join((_BODY.pack(FORMAT, *sizes), before, last, snapshot.state))
    return _HEAD.pack(_MAGIC, zlib.crc32(body)) + body


def decode(data: bytes) -> Snapshot:
    """Return the snapshot of its bytes.

    Raises:
        SnapshotCorruptError: They are not, to the last bit, what `encode` returned.
    """
    if len(data) < _HEAD.size + _BODY.size:
        raise SnapshotCorruptError(f"a snapshot of {len(data)} bytes is too short")
    magic, crc = _HEAD.unpack_from(data)
    body = memoryview(data)[_HEAD.size :]
    if magic != _MAGIC:
        raise SnapshotCorruptError("this is no snapshot")
    if zlib.crc32(body) != crc:
        raise SnapshotCorruptError("the snapshot is damaged: its checksum differs")
    version, before_index, before_term, before_size, index, term, size = _BODY.unpack_from(body)
    if version != FORMAT:
        raise SnapshotCorruptError(f"the snapshot's format must be {FORMAT}, was {version}")
    begin = _BODY.size + before_size
    return Snapshot(
        previous=(bytes(body[_BODY.size : begin]), before_index, before_term),
        last=(bytes(body[begin : begin + size]), index, term),
        state=bytes(body[begin + size :]),
    )
