"""Snapshots: whole and undamaged, or not there."""

import random
from collections.abc import Callable

import pytest
from pysyncobj.config import SERIALIZER_STATE

from coordinator._service.log import StoppedLogError
from coordinator._service.raft import folder, snapshot
from coordinator._service.raft.errors import SnapshotCorruptError
from coordinator._service.raft.snapshot import Snapshot
from coordinator._service.raft.store import CHUNK_BYTES, SnapshotStore
from coordinator._service.raft.unpickler import Refusals
from tests.simulation.disk import SimDisk

TAKEN = Snapshot(previous=(b"\x00p", 8, 1), last=(b"\x00last", 9, 2), state=b"the state")


class _State:
    def __init__(self, data: bytes) -> None:
        self.data = data

    def snapshot(self) -> bytes:
        return self.data


def _store(disk: SimDisk, state: bytes = b"s", kept: Snapshot | None = None) -> SnapshotStore:
    return SnapshotStore(disk, kept, Refusals(), lambda: _State(state))


def test_a_snapshot_comes_back_as_it_was() -> None:
    """Entries and state, to the byte."""
    assert snapshot.decode(snapshot.encode(TAKEN)) == TAKEN
    assert (TAKEN.index, TAKEN.term) == (9, 2)


def test_damage_to_any_byte_is_found() -> None:
    """It came over a network and lay on a disk."""
    data = snapshot.encode(TAKEN)
    for place in range(len(data)):
        damaged = bytearray(data)
        damaged[place] ^= 0x20
        with pytest.raises(SnapshotCorruptError):
            snapshot.decode(bytes(damaged))
    for end in range(len(data)):
        with pytest.raises(SnapshotCorruptError):
            snapshot.decode(data[:end])


def test_a_later_format_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """An older program must not guess what a newer one has written."""
    with monkeypatch.context() as patch:
        patch.setattr(snapshot, "FORMAT", 2)
        data = snapshot.encode(TAKEN)
    with pytest.raises(SnapshotCorruptError, match="format must be 1, was 2"):
        snapshot.decode(data)


def test_a_snapshot_is_on_disk_before_the_log_may_be_dropped() -> None:
    """SUCCESS is what has PySyncObj drop the log."""
    disk = SimDisk(random.Random(0))
    store = _store(disk, b"now")
    assert store.checkSerializing() == (SERIALIZER_STATE.NOT_SERIALIZING, None)
    store.serialize((None, TAKEN.last, TAKEN.previous, set()), 8)
    assert disk.read(folder.SNAPSHOT) is None
    assert store.checkSerializing() == (SERIALIZER_STATE.SUCCESS, 8)
    disk.power_cut()
    data = disk.read(folder.SNAPSHOT)
    assert data is not None
    assert snapshot.decode(data).state == b"now"
    assert store.checkSerializing() == (SERIALIZER_STATE.NOT_SERIALIZING, None)


def test_a_snapshot_that_is_still_being_written_down_gives_way_to_a_received_one() -> None:
    """The older one must not come out on top: its log is gone by then."""
    disk = SimDisk(random.Random(0))
    store = _store(disk, b"old")
    tasks: list[Callable[[], None]] = []
    store.spawn = tasks.append
    store.serialize((None, TAKEN.last, TAKEN.previous, set()), 8)
    assert store.checkSerializing() == (SERIALIZER_STATE.SERIALIZING, None)
    store.keep(snapshot.encode(TAKEN))
    tasks.pop()()
    assert store.checkSerializing() == (SERIALIZER_STATE.NOT_SERIALIZING, None)
    assert disk.read(folder.SNAPSHOT) == snapshot.encode(TAKEN)


def test_a_disk_that_cannot_take_it_stops_the_node() -> None:
    """Whatever else it has lost: it is not to be trusted."""
    disk = SimDisk(random.Random(0))
    store = _store(disk)
    store.serialize((None, TAKEN.last, TAKEN.previous, set()), 8)
    disk.error_at = 0
    with pytest.raises(StoppedLogError, match="disk of the snapshot"):
        store.checkSerializing()


def test_a_snapshot_crosses_in_parts_and_an_interrupted_one_begins_anew() -> None:
    """A part that is lost must not be filled with a part of another."""
    kept = Snapshot(previous=TAKEN.previous, last=TAKEN.last, state=bytes(3 * CHUNK_BYTES))
    sender = _store(SimDisk(random.Random(0)), kept=kept)
    receiver = _store(SimDisk(random.Random(1)))
    assert not receiver.setTransmissionData(sender.getTransmissionData("r"))
    sender.getTransmissionData("r")
    sender.cancelTransmisstion("r")
    parts = 0
    while not receiver.setTransmissionData(sender.getTransmissionData("r")):
        parts += 1
    assert parts == 3
    assert receiver.received == kept


def test_parts_that_do_not_fit_are_refused_and_counted() -> None:
    """A hole, or a stranger's bytes: the checksum tells."""
    disk = SimDisk(random.Random(0))
    refusals = Refusals()
    store = SnapshotStore(disk, None, refusals, lambda: _State(b""))
    data = snapshot.encode(TAKEN)
    assert not store.setTransmissionData(None)
    assert not store.setTransmissionData((data[9:], False, True))
    store.setTransmissionData((data[:9], True, False))
    assert not store.setTransmissionData((data[10:], False, True))
    assert refusals.by_reason() == {"snapshot_damaged": 1}
    assert store.received is None


def test_a_peer_cannot_fill_the_memory_with_a_snapshot(monkeypatch: pytest.MonkeyPatch) -> None:
    """It has no end that it must keep to by itself."""
    monkeypatch.setattr(snapshot, "BYTES_MAX", 1_000)
    refusals = Refusals()
    store = SnapshotStore(SimDisk(random.Random(0)), None, refusals, lambda: _State(b""))
    store.setTransmissionData((bytes(600), True, False))
    store.setTransmissionData((bytes(600), False, False))
    assert refusals.by_reason() == {"snapshot_size": 1}
    assert not store.setTransmissionData((bytes(10), False, True)), "it begins anew"


def test_without_a_snapshot_there_is_nothing_to_send() -> None:
    """The log goes back to its beginning."""
    assert _store(SimDisk(random.Random(0))).getTransmissionData("r") is None
