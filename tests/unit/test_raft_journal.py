"""The journal: what was synced is there after any crash, and what is damaged is not believed."""

import errno
import random
from collections.abc import Callable
from contextlib import suppress

import pytest

from coordinator._service.log import StoppedLogError
from coordinator._service.raft import folder, records, snapshot
from coordinator._service.raft.errors import JournalCorruptError, SnapshotCorruptError
from coordinator._service.raft.files import replace
from coordinator._service.raft.journal import Journal
from coordinator._service.raft.records import Contents, read_journal
from coordinator._service.raft.snapshot import Snapshot
from tests.simulation.disk import PowerLostError, SimDisk


def _disk(seed: int = 0) -> SimDisk:
    return SimDisk(random.Random(seed))


def _open(disk: SimDisk, node_id: str = "a") -> Journal:
    return Journal(disk, node_id, lambda: 0.0)


def _snapshot(index: int, term: int = 1) -> Snapshot:
    before, last = (b"\x00p", index - 1, term), (b"\x00l", index, term)
    return Snapshot(previous=before, last=last, state=b"state")


def test_a_new_journal_begins_as_every_log_does() -> None:
    """PySyncObj adds that entry itself when a journal is empty: here it never is."""
    journal = _open(_disk())
    assert journal[:] == [folder.FIRST_ENTRY]
    assert (journal.getCurrentTerm(), journal.getVotedForNodeId()) == (0, None)


def test_what_was_synced_survives_the_loss_of_power() -> None:
    """Entries, term, vote; also what was taken back."""
    for seed in range(20):
        disk = _disk(seed)
        journal = _open(disk)
        journal.setCurrentTerm(3, "b")
        for index in range(2, 8):
            journal.add(b"\x00%d" % index, index, 3)
        journal.deleteEntriesFrom(4)
        journal.sync()
        journal.add(b"\x00never promised", 5, 3)
        disk.power_cut()
        again = _open(disk)
        assert [index for _, index, _ in again[:4]] == [1, 2, 3, 4], f"seed {seed}"
        assert (again.getCurrentTerm(), again.getVotedForNodeId()) == (3, "b")


def test_what_a_killed_process_wrote_is_made_safe_before_it_is_answered_for() -> None:
    """It is in the machine's memory and comes back as if it were safe; then the power goes."""
    disk = _disk(1)
    journal = _open(disk)
    journal.add(b"\x00x", 2, 1)
    journal.setRaftCommitIndex(2)
    journal.onOneSecondTimer()  # writes, and waits for nothing
    disk.process_killed()
    assert _open(disk).last_index == 2
    for _ in range(20):
        disk.power_cut()
        assert _open(disk).last_index == 2


class _Promises:
    """Does everything that a journal can, and writes down what was promised by then."""

    def __init__(self, disk: SimDisk) -> None:
        self.term = 0
        self.vote: str | None = None
        self.entries: dict[int, int] = {1: 0}
        self._disk = disk

    def work(self) -> None:
        journal = _open(self._disk)
        self._vote(journal, 1, "a")
        for index in range(2, 6):
            journal.add(b"\x00%d" % index, index, 1)
        self._sync(journal)
        self._vote(journal, 2, "b")
        # A leader takes entries back: until the new ones are safe nothing is promised of them.
        del self.entries[4], self.entries[5]
        journal.deleteEntriesFrom(3)
        journal.add(b"\x00again", 4, 2)
        self._sync(journal)
        journal.setRaftCommitIndex(4)
        journal.onOneSecondTimer()
        taken = Snapshot(previous=journal[2], last=journal[3], state=b"state")
        replace(self._disk, folder.SNAPSHOT, snapshot.encode(taken))
        journal.adopt(taken)
        journal.add(b"\x00after", 5, 2)
        self._sync(journal)

    def _vote(self, journal: Journal, term: int, vote: str) -> None:
        journal.setCurrentTerm(term, vote)
        journal.sync()
        self.term, self.vote = term, vote

    def _sync(self, journal: Journal) -> None:
        journal.sync()
        self.entries = {index: term for _, index, term in journal[:]}

    def broken_by(self, journal: Journal) -> list[str]:
        """Return which of them a journal does not keep."""
        vote = (journal.getCurrentTerm(), journal.getVotedForNodeId())
        found = [] if vote[0] > self.term or vote == (self.term, self.vote) else [f"vote {vote}"]
        kept = {index: term for _, index, term in journal[:]}
        below = journal.first_index
        return found + [
            f"entry {index} of term {term}"
            for index, term in self.entries.items()
            if index >= below and kept.get(index) != term
        ]


def test_power_lost_in_any_step_takes_nothing_that_was_promised() -> None:
    """Every write, sync, rename and sync of the folder, each with what a crash may leave of it."""
    whole = _disk()
    _Promises(whole).work()
    for step in range(1, whole.steps + 1):
        for seed in range(8):
            disk = _disk(seed)
            disk.dark_at = step
            promises = _Promises(disk)
            with suppress(PowerLostError):
                promises.work()
            disk.power_cut()
            assert promises.broken_by(_open(disk)) == [], f"step {step}, seed {seed}"


@pytest.mark.parametrize("code", [errno.EIO, errno.ENOSPC])
def test_after_an_error_of_the_disk_a_journal_takes_nothing_in_any_more(code: int) -> None:
    """After a failed fsync the system may forget what it could not write, and succeed."""
    disk = _disk()
    journal = _open(disk)
    whole = disk.steps
    for step in (1, 2):
        disk = _disk()
        journal = _open(disk)
        disk.error, disk.error_at = code, whole + step
        with pytest.raises(StoppedLogError, match="disk"):
            _write_and_sync(journal)
        disk.mend()
        for call in _CALLS:
            with pytest.raises(StoppedLogError):
                call(journal)


_CALLS: tuple[Callable[[Journal], None], ...] = (
    lambda journal: journal.add(b"\x00y", 3, 1),
    lambda journal: journal.setCurrentTerm(9, None),
    lambda journal: journal.adopt(_snapshot(9)),
    lambda journal: journal.sync(),
)


def _write_and_sync(journal: Journal) -> None:
    journal.add(b"\x00x", 2, 1)
    journal.sync()


def test_a_journal_of_another_node_is_refused() -> None:
    """Two nodes that swap folders would vote twice."""
    disk = _disk()
    _open(disk, "a")
    with pytest.raises(JournalCorruptError, match="belongs to node 'a', not to 'b'"):
        _open(disk, "b")


def test_a_snapshot_without_a_journal_is_refused() -> None:
    """The vote is lost: the node might vote twice in a term."""
    disk = _disk()
    replace(disk, folder.SNAPSHOT, snapshot.encode(_snapshot(9)))
    with pytest.raises(JournalCorruptError, match="no journal"):
        _open(disk)


def test_a_damaged_snapshot_is_refused() -> None:
    """It was safe: a disk that changes bytes is not to be trusted."""
    disk = _disk()
    _open(disk)
    replace(disk, folder.SNAPSHOT, snapshot.encode(_snapshot(9))[:-1])
    with pytest.raises(SnapshotCorruptError):
        _open(disk)


def test_entries_before_the_snapshot_are_dropped_and_those_after_it_kept() -> None:
    """A crash between the snapshot and the journal's rewriting: PySyncObj lost 50 of 150 here."""
    disk = _disk()
    journal = _open(disk)
    for index in range(2, 12):
        journal.add(b"\x00", index, 1)
    journal.sync()
    replace(disk, folder.SNAPSHOT, snapshot.encode(_snapshot(8)))
    again = _open(disk)
    assert [index for _, index, _ in again[:]] == [7, 8, 9, 10, 11]
    assert again.getRaftCommitIndex() == 8


def test_a_gap_between_snapshot_and_journal_is_refused() -> None:
    """A newer snapshot was there and is lost."""
    disk = _disk()
    journal = _open(disk)
    replace(disk, folder.SNAPSHOT, snapshot.encode(_snapshot(20)))
    journal.adopt(_snapshot(20))
    replace(disk, folder.SNAPSHOT, snapshot.encode(_snapshot(8)))
    with pytest.raises(JournalCorruptError, match="begins at entry 19"):
        _open(disk)


def test_a_folder_made_from_a_backup_starts_from_it() -> None:
    """As a cluster that never voted; and it is made once."""
    disk = _disk()
    folder.seed(disk, "a", _snapshot(30, 4))
    journal = _open(disk)
    assert (journal.first_index, journal.last_index) == (29, 30)
    assert journal.getCurrentTerm() == 4
    with pytest.raises(JournalCorruptError, match="must be empty"):
        folder.seed(disk, "a", _snapshot(30, 4))


def test_a_folder_is_read_without_changing_it() -> None:
    """Offline, without quorum: what is committed for certain, and what only the others know."""
    disk = _disk()
    assert folder.read(disk) is None
    journal = _open(disk)
    for index in range(2, 6):
        journal.add(b"\x00%d" % index, index, 1)
    journal.setRaftCommitIndex(3)
    journal.onOneSecondTimer()
    journal.sync()
    steps = disk.steps
    view = folder.read(disk)
    assert view is not None
    assert [index for _, index, _ in view.committed] == [2, 3]
    assert [index for _, index, _ in view.uncertain] == [4, 5]
    assert disk.steps == steps


def _bytes() -> bytes:
    contents = Contents(node_id="a", term=2, vote="b", commit=3)
    contents.entries = [folder.FIRST_ENTRY, (b"\x00x", 2, 1), (b"\x00y", 3, 2)]
    return folder.compose(contents)


def test_a_torn_tail_is_cut_wherever_it_tears() -> None:
    """What follows the last whole record was never promised."""
    data = _bytes()
    last = len(data) - len(records.entry_record((b"\x00y", 3, 2)))
    for end in range(last, len(data)):
        contents = read_journal(data[:end], "j")
        assert contents.whole == last
        assert contents.entries[-1][1] == 2
        assert read_journal(data[:end] + bytes(7), "j").whole == last


def test_damage_to_what_was_safe_is_found_in_every_byte() -> None:
    """A later record says that it had been safe: cutting there would lose what was promised."""
    data = _bytes()
    tail = records.commit_record(3, synced=len(data))
    for place in range(len(data)):
        damaged = bytearray(data + tail)
        damaged[place] ^= 0x41
        with pytest.raises(JournalCorruptError, match="j is damaged at byte"):
            read_journal(bytes(damaged), "j")


@pytest.mark.parametrize(
    ("tail", "reason"),
    [
        (records.entry_record((b"\x00", 9, 2)), "entry 9 follows entry 3"),
        (records.cut_record(9), "which are not there"),
        (records.file_record("b"), "begins with its head, and only there"),
        (records._record(b"\x09", 0), "no kind of record is 9"),
        (records._record(b"\x03", 0), "unpack"),
    ],
)
def test_a_record_that_makes_no_sense_is_refused(tail: bytes, reason: str) -> None:
    """Its checksum is right: a program wrote it, and not this one."""
    with pytest.raises(JournalCorruptError, match=reason):
        read_journal(_bytes() + tail, "j")


def test_a_later_format_is_refused() -> None:
    """A program that is older than its files must not guess."""
    head = records.file_record("a")
    later = records._record(bytes((0, 2)) + b"a", 0)
    with pytest.raises(JournalCorruptError, match="format must be 1, was 2"):
        read_journal(later + _bytes()[len(head) :], "j")


def test_a_log_is_never_emptied() -> None:
    """PySyncObj clears it before it loads a snapshot; a crash in between would lose all."""
    with pytest.raises(JournalCorruptError, match="forget"):
        _open(_disk()).clear()
