"""The snapshot of one node: made, kept, sent and received, behind PySyncObj's serializer.

PySyncObj's own would put an unchecked file in the place of a good one, and neither of them safely.
Here a received snapshot counts when all of it has come, its checksum is right and it is safe on
disk; until then the old one stands.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Protocol, TypeAlias

from pysyncobj.config import SERIALIZER_STATE

from coordinator._service.log import StoppedLogError
from coordinator._service.raft import folder, snapshot
from coordinator._service.raft.errors import SnapshotCorruptError
from coordinator._service.raft.files import Files, replace
from coordinator._service.raft.records import Entry
from coordinator._service.raft.snapshot import Snapshot
from coordinator._service.raft.unpickler import Refusals

CHUNK_BYTES: Final = 2**18

Chunk: TypeAlias = tuple[bytes, bool, bool]
"""Bytes, whether they are the first ones, whether they are the last ones."""

Spawn: TypeAlias = Callable[[Callable[[], None]], None]
"""Has something done, now or soon, perhaps by another thread."""


class Captured(Protocol):
    """A state at one instant; never changes, so any thread may write it down."""

    def snapshot(self) -> bytes:
        """Return all of it as one document."""
        ...


def inline(task: Callable[[], None]) -> None:
    """Do it now."""
    task()


@dataclass(slots=True)
class _Making:
    """A snapshot that is being written down."""

    previous: Entry
    last: Entry
    data: bytes | None = None
    failure: BaseException | None = None


class SnapshotStore:
    """A node's newest snapshot. For one thread."""

    def __init__(
        self,
        files: Files,
        kept: Snapshot | None,
        refusals: Refusals,
        capture: Callable[[], Captured],
    ) -> None:
        """Begin with what is on disk.

        Args:
            files: The node's folder.
            kept: The snapshot in it.
            refusals: Where damaged snapshots from peers are counted.
            capture: Returns the state as it stands.
        """
        self.spawn: Spawn = inline
        self.received: Snapshot | None = None
        """The last that came from a peer, whole and safe only in memory."""

        self._files = files
        self._refusals = refusals
        self._capture = capture
        self._data = None if kept is None else snapshot.encode(kept)
        self._making: _Making | None = None
        self._sending: dict[object, int] = {}
        self._receiving: bytearray | None = None

    @property
    def making(self) -> bool:
        """Whether a snapshot is being written down."""
        return self._making is not None

    def keep(self, data: bytes) -> None:
        """Put a snapshot on disk in the place of the one before.

        Raises:
            StoppedLogError: The disk failed.
        """
        try:
            replace(self._files, folder.SNAPSHOT, data)
        except OSError as error:
            raise StoppedLogError(f"the disk of the snapshot failed: {error}") from error
        self._data = data
        # Who was in the middle of the old one begins again with this one.
        self._sending.clear()
        self._making = None

    # What PySyncObj asks; names and meaning are its own.

    def serialize(self, data: tuple[object, ...], entry_id: int) -> None:
        """Begin to write the state down as it stands."""
        del entry_id
        _, last, previous, _ = data
        making = _Making(previous=_entry(previous), last=_entry(last))
        self._making = making
        captured = self._capture()
        self.spawn(lambda: _write_down(making, captured))

    def checkSerializing(self) -> tuple[int, int | None]:  # noqa: N802
        """Return how far it is, and before which entry the log may be dropped.

        Raises:
            StoppedLogError: The disk failed.
        """
        making = self._making
        if making is None:
            return SERIALIZER_STATE.NOT_SERIALIZING, None
        if making.failure is not None:
            raise making.failure
        if making.data is None:
            return SERIALIZER_STATE.SERIALIZING, None
        self.keep(making.data)
        return SERIALIZER_STATE.SUCCESS, making.previous[1]

    def getTransmissionData(self, transmissionID: object) -> Chunk | None:  # noqa: N802, N803
        """Return the next part of the snapshot for a node; None: there is no snapshot."""
        if self._data is None:
            return None
        begin = self._sending.get(transmissionID, 0)
        end = begin + CHUNK_BYTES
        last = end >= len(self._data)
        if last:
            self._sending.pop(transmissionID, None)
        else:
            self._sending[transmissionID] = end
        return self._data[begin:end], begin == 0, last

    def cancelTransmisstion(self, id: object) -> None:  # noqa: A002, N802 - the library's spelling
        """Begin anew with a node that was not reached."""
        self._sending.pop(id, None)

    def setTransmissionData(self, data: Chunk | None) -> bool:  # noqa: N802
        """Take in a part; return whether a snapshot has come that is whole and undamaged."""
        if data is None:
            return False
        part, first, last = data
        if first:
            self._receiving = bytearray()
        if self._receiving is None:
            return False
        self._receiving += part
        if len(self._receiving) > snapshot.BYTES_MAX:
            self._refusals.count("snapshot_size")
            self._receiving = None
            return False
        if not last:
            return False
        whole, self._receiving = bytes(self._receiving), None
        try:
            self.received = snapshot.decode(whole)
        except SnapshotCorruptError:
            self._refusals.count("snapshot_damaged")
            return False
        return True


def _entry(entry: object) -> Entry:
    match entry:
        case (bytes() as command, int() as index, int() as term):
            return command, index, term
        case _:
            raise TypeError(f"an entry was {entry!r}")


def _write_down(making: _Making, captured: Captured) -> None:
    try:
        taken = Snapshot(previous=making.previous, last=making.last, state=captured.snapshot())
        making.data = snapshot.encode(taken)
    except BaseException as error:  # noqa: BLE001 - told to the thread that waits for it
        making.failure = error
