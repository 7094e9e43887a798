"""The log of one node on its disk, behind PySyncObj's interface of a journal.

Nothing is promised when a method returns: entries, votes and terms are safe after `sync`, which
whoever sends a message calls first. So one wait for the disk serves all that came together. An
error of the disk is for good: what a failed write or sync has left on the disk nobody knows, so
this journal takes nothing in any more and its node stops.
"""

from collections.abc import Callable
from typing import overload

from pysyncobj.journal import Journal as LibraryJournal

from coordinator._service.log import StoppedLogError
from coordinator._service.raft import folder, records
from coordinator._service.raft.errors import JournalCorruptError
from coordinator._service.raft.files import Appending, Files, replace
from coordinator._service.raft.records import Contents, Entry
from coordinator._service.raft.snapshot import Snapshot


class Journal(LibraryJournal):  # type: ignore[misc]  # the library has no types
    """Entries, term and vote of one node. For one thread."""

    def __init__(self, files: Files, node_id: str, monotonic: Callable[[], float]) -> None:
        """Open a node's journal, or make it.

        Args:
            files: The node's folder.
            node_id: Whose it is.
            monotonic: Seconds, to measure the disk with.

        Raises:
            JournalCorruptError: It is damaged, or another node's.
            SnapshotCorruptError: The snapshot beside it is damaged.
            OSError: The disk failed.
        """
        self._files = files
        self._monotonic = monotonic
        self.failure: str | None = None
        """Why nothing is taken in any more."""

        self.sync_s = 0.0
        """How long the disk took last time."""

        self.syncs = 0
        """How often it was waited for."""

        view = folder.read(files)
        self.snapshot = None if view is None else view.snapshot
        """What the log goes on from."""

        self._unwritten: list[bytes] = []
        self._contents = Contents(node_id=node_id) if view is None else view.contents
        if self._contents.node_id != node_id:
            reason = f"it belongs to node {self._contents.node_id!r}, not to {node_id!r}"
            raise JournalCorruptError(folder.JOURNAL, 0, reason)
        if view is None:
            self._contents.entries.append(folder.FIRST_ENTRY)
        if view is None or view.changed:
            replace(files, folder.JOURNAL, folder.compose(self._contents))
        self._commit_on_disk = self._contents.commit
        self._file, self._size = self._open()

    def _open(self) -> tuple[Appending, int]:
        file = self._files.append(folder.JOURNAL)
        # What a killed process has written is in memory only, and will be answered for now.
        file.sync()
        self._dirty = False
        size = len(self._files.read(folder.JOURNAL) or b"")
        self._synced = size
        return file, size

    # What the rest of this package asks.

    @property
    def first_index(self) -> int:
        """Index of the first entry that is kept."""
        return self._contents.entries[0][1]

    @property
    def last_index(self) -> int:
        """Index of the newest entry."""
        return self._contents.entries[-1][1]

    @property
    def size_bytes(self) -> int:
        """Size of the file."""
        return self._size

    def term_at(self, index: int) -> int | None:
        """Return the term of an entry; None: there is no such entry, or no more."""
        place = index - self._contents.entries[0][1]
        if 0 <= place < len(self._contents.entries):
            return self._contents.entries[place][2]
        return None

    def first_of_term(self, index: int) -> int:
        """Return the first index whose term, and that of all up to `index`, is that of `index`."""
        term = self.term_at(index)
        while index > self.first_index and self.term_at(index - 1) == term:
            index -= 1
        return index

    def adopt(self, kept: Snapshot) -> None:
        """Go on from a snapshot that is safe: keep what follows it, in one step.

        Raises:
            StoppedLogError: The disk failed.
        """
        self._contents.entries = folder.reconcile(self._contents.entries, kept)
        self._contents.commit = max(self._contents.commit, kept.index)
        self.snapshot = kept
        self._rewrite()

    def sync(self) -> None:
        """Return when all that was taken in is safe.

        Raises:
            StoppedLogError: The disk failed, now or before.
        """
        if self.failure is not None:
            raise StoppedLogError(self.failure)
        if not self._dirty:
            return
        began = self._monotonic()
        self._flush()
        try:
            self._file.sync()
        except OSError as error:
            self._fail(error)
        self.sync_s = self._monotonic() - began
        self.syncs += 1
        self._synced = self._size
        self._dirty = False

    def close(self) -> None:
        """Let go of the file; what was not synced may be lost, as in a crash."""
        self._file.close()

    # What PySyncObj asks; names and meaning are its own.

    def add(self, command: bytes, idx: int, term: int) -> None:
        """Take in an entry."""
        entry = (command, idx, term)
        self._write(records.entry_record(entry, self._synced))
        self._contents.entries.append(entry)

    def clear(self) -> None:
        """Refuse: a log never becomes empty; `adopt` says what it goes on from."""
        raise JournalCorruptError(folder.JOURNAL, 0, "somebody wanted to forget all of it")

    def deleteEntriesFrom(self, entryFrom: int) -> None:  # noqa: N802, N803 - as the library calls it
        """Take back the entries from a place in the list on."""
        index = self._contents.entries[entryFrom][1]
        self._write(records.cut_record(index, self._synced))
        del self._contents.entries[entryFrom:]

    def deleteEntriesTo(self, entryTo: int) -> None:  # noqa: N802, N803
        """Drop the entries before a place in the list: a snapshot has them."""
        del self._contents.entries[:entryTo]
        self._rewrite()

    @overload
    def __getitem__(self, item: int) -> Entry: ...
    @overload
    def __getitem__(self, item: slice) -> list[Entry]: ...
    def __getitem__(self, item: int | slice) -> Entry | list[Entry]:
        return self._contents.entries[item]

    def __len__(self) -> int:
        return len(self._contents.entries)

    def _destroy(self) -> None:
        self.close()

    def setRaftCommitIndex(self, raftCommitIndex: int) -> None:  # noqa: N802, N803
        """Remember how far the log is committed; reaches the disk once in a while."""
        self._contents.commit = raftCommitIndex

    def getRaftCommitIndex(self) -> int:  # noqa: N802
        """Return how far the log was known to be committed."""
        return self._contents.commit

    def setCurrentTerm(self, term: int, votedForNodeId: str | None) -> None:  # noqa: N802, N803
        """Take in a term and the vote in it."""
        self._write(records.term_record(term, votedForNodeId, self._synced))
        self._contents.term, self._contents.vote = term, votedForNodeId

    def getCurrentTerm(self) -> int:  # noqa: N802
        """Return the highest term this node knows."""
        return self._contents.term

    def getVotedForNodeId(self) -> str | None:  # noqa: N802
        """Return whom it has voted for in that term."""
        return self._contents.vote

    def onOneSecondTimer(self) -> None:  # noqa: N802
        """Write the commit index down: those who read the folder offline are told more."""
        if self._commit_on_disk != self._contents.commit:
            dirty = self._dirty
            self._write(records.commit_record(self._contents.commit, self._synced))
            # Nobody relies on it, so nobody waits for it.
            self._flush()
            self._dirty = dirty
            self._commit_on_disk = self._contents.commit

    def _write(self, record: bytes) -> None:
        if self.failure is not None:
            raise StoppedLogError(self.failure)
        self._dirty = True
        self._unwritten.append(record)
        self._size += len(record)

    def _flush(self) -> None:
        """Write what was taken in, all at once: each write would let another thread go first."""
        records, self._unwritten = self._unwritten, []
        if not records:
            return
        try:
            self._file.write(b"".join(records))
        except OSError as error:
            self._fail(error)

    def _rewrite(self) -> None:
        if self.failure is not None:
            raise StoppedLogError(self.failure)
        try:
            self._file.close()
            self._unwritten.clear()
            replace(self._files, folder.JOURNAL, folder.compose(self._contents))
            self._file, self._size = self._open()
        except OSError as error:
            self._fail(error)
        self._commit_on_disk = self._contents.commit

    def _fail(self, error: OSError) -> None:
        self.failure = f"the disk of the journal failed: {error}"
        raise StoppedLogError(self.failure) from error
