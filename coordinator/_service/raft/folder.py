"""A node's folder: the files in it, and what of the log they hold together. Works offline.

`journal.log` is the log since the snapshot, with term, vote and commit index; `state.snapshot` the
state before it. A `.new` file is the rest of a write that a crash has ended; it counts for nothing.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from coordinator._service.raft import records, snapshot
from coordinator._service.raft.errors import JournalCorruptError
from coordinator._service.raft.files import Files, replace
from coordinator._service.raft.records import Contents, Entry
from coordinator._service.raft.snapshot import Snapshot

JOURNAL: Final = "journal.log"
SNAPSHOT: Final = "state.snapshot"

FIRST_ENTRY: Final[Entry] = (b"\x01", 1, 0)
"""What every log of PySyncObj begins with: a command that does nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FolderView:
    """What a node would start from."""

    contents: Contents
    """Term, vote, commit index, and the entries from the one before the snapshot's last on."""

    snapshot: Snapshot | None
    changed: bool
    """Whether the journal's file holds more than that: a torn tail, entries that the snapshot has,
    or entries that are not of the log that the snapshot is of."""

    @property
    def committed(self) -> Sequence[Entry]:
        """Entries that are known to be committed and not in the snapshot.

        There may be more: the commit index on disk is some time old.
        """
        after = 1 if self.snapshot is None else self.snapshot.index
        return [e for e in self.contents.entries if after < e[1] <= self.contents.commit]

    @property
    def uncertain(self) -> Sequence[Entry]:
        """Entries of which only the other nodes know whether they are committed."""
        after = 1 if self.snapshot is None else self.snapshot.index
        return [e for e in self.contents.entries if e[1] > max(after, self.contents.commit)]


def read(files: Files) -> FolderView | None:
    """Return what a folder holds, changing nothing; None: no node has ever started in it.

    Raises:
        JournalCorruptError: What was safe on disk cannot be read.
        SnapshotCorruptError: The snapshot is damaged.
    """
    data, state = files.read(JOURNAL), files.read(SNAPSHOT)
    if data is None:
        if state is not None:
            reason = f"there is a {SNAPSHOT} and no journal: whom this node voted for is lost"
            raise JournalCorruptError(JOURNAL, 0, reason)
        return None
    kept = None if state is None else snapshot.decode(state)
    contents = records.read_journal(data, JOURNAL)
    entries = reconcile(contents.entries, kept)
    changed = contents.whole != len(data) or entries != contents.entries
    contents.entries = entries
    if kept is not None:
        contents.term = max(contents.term, kept.term)
        contents.commit = max(contents.commit, kept.index)
    contents.commit = min(contents.commit, entries[-1][1])
    return FolderView(contents=contents, snapshot=kept, changed=changed)


def reconcile(entries: Sequence[Entry], kept: Snapshot | None) -> list[Entry]:
    """Return the log that goes on from a snapshot: its last two entries and what follows them.

    Entries that do not follow are no loss: all that is committed up to there is in the state.

    Raises:
        JournalCorruptError: Entries between the snapshot and the journal are missing.
    """
    first = entries[0][1] if entries else None
    if kept is None:
        if first not in {None, FIRST_ENTRY[1]}:
            raise JournalCorruptError(JOURNAL, 0, f"it begins at entry {first}: no snapshot")
        return list(entries) or [FIRST_ENTRY]
    head = [kept.previous, kept.last]
    if first is None:
        return head
    if first > kept.index:
        reason = f"it begins at entry {first}, the snapshot ends at {kept.index}"
        raise JournalCorruptError(JOURNAL, 0, reason)
    place = kept.index - first
    if place < len(entries) and entries[place][2] == kept.term:
        return [*head, *entries[place + 1 :]]
    return head


def compose(contents: Contents) -> bytes:
    """Return the bytes of a journal without history."""
    parts = [records.file_record(contents.node_id)]
    parts.append(records.term_record(contents.term, contents.vote))
    parts.append(records.commit_record(contents.commit))
    parts.extend(records.entry_record(entry) for entry in contents.entries)
    return b"".join(parts)


def seed(files: Files, node_id: str, state: Snapshot) -> None:
    """Make a folder in which a node begins from a snapshot, as if it had never voted.

    Only for a cluster that is made anew from a backup, on every one of its nodes.

    Raises:
        JournalCorruptError: A node has lived in the folder.
    """
    if files.read(JOURNAL) is not None or files.read(SNAPSHOT) is not None:
        raise JournalCorruptError(JOURNAL, 0, "the folder must be empty")
    # Journal first: beside a journal the snapshot may be missing, the other way round not.
    contents = Contents(node_id=node_id, entries=[FIRST_ENTRY])
    replace(files, JOURNAL, compose(contents))
    replace(files, SNAPSHOT, snapshot.encode(state))
