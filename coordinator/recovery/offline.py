"""A node's folder and snapshots, read without any node: no quorum, no network, nothing written.

What is committed can be said for certain only up to the commit index that the node has written
down, which is some time old; what follows it is told as uncertain.
"""

import errno
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bars.errors import InvalidValueError
from coordinator._service import genesis
from coordinator._service.api import rows
from coordinator._service.raft import folder, snapshot
from coordinator._service.raft.files import Appending, DiskFiles
from coordinator._service.raft.folder import FolderView
from coordinator._service.raft.records import Entry
from coordinator._service.raft.snapshot import Snapshot
from coordinator.machine import BumpEpoch, Code, MachineConfig, State, initial
from coordinator.machine.replica import Replica
from coordinator.machine.wire import Entry as LogEntry
from coordinator.machine.wire import (
    UnsupportedVersionError,
    command_document,
    decode_entry,
    decode_reply,
    encode_entry,
)

COMMAND = b"\x00"
"""What an entry with a command begins with; others are the log's own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FolderReport:
    """What a folder says."""

    node_id: str
    term: int
    vote: str | None
    commit_index: int
    snapshot_index: int
    """Last entry that the snapshot holds; 0: there is none."""

    committed: int
    """Entries after the snapshot that are known to be committed."""

    uncertain: int
    """Entries of which only the other nodes know."""

    torn: bool
    """Whether a crash has left a torn end; the node cuts it off when it starts."""

    state: State
    """With all that is known to be committed."""

    digest: str
    tail: tuple[Mapping[str, Any], ...]
    """The last entries, as people read them."""

    def document(self) -> dict[str, Any]:
        """Return it as JSON shows it."""
        return {
            "node_id": self.node_id,
            "term": self.term,
            "vote": self.vote,
            "commit_index": self.commit_index,
            "snapshot_index": self.snapshot_index,
            "committed": self.committed,
            "uncertain": self.uncertain,
            "torn": self.torn,
            "clock_ms": self.state.clock_ms,
            "state": rows.summary(self.state),
            "leases": list(rows.leases(self.state, {})),
            "poisoned": list(rows.poisoned(self.state, {})),
            "digest": self.digest,
            "tail": list(self.tail),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class SnapshotReport:
    """What a snapshot holds."""

    index: int
    term: int
    state: State
    digest: str

    def document(self) -> dict[str, Any]:
        """Return it as JSON shows it."""
        return {
            "index": self.index,
            "term": self.term,
            "clock_ms": self.state.clock_ms,
            "state": rows.summary(self.state),
            "digest": self.digest,
        }


def inspect_folder(path: Path, tail: int = 20) -> FolderReport:
    """Return what a node's folder holds; the node may run meanwhile.

    Args:
        path: The folder, such as `~/.seamless/coordinator/node-1`.
        tail: How many of the last entries to tell.

    Raises:
        InvalidValueError: No node has ever started there.
        SeamlessError: Its files are damaged; the message says where.
    """
    view = folder.read(_Reading(path))
    if view is None:
        raise InvalidValueError("folder", str(path), "one that a node has started in")
    replica = Replica(_first_state(path))
    if view.snapshot is not None:
        replica.restore(view.snapshot.state)
    for entry in view.committed:
        _apply(replica, entry)
    return FolderReport(
        node_id=view.contents.node_id,
        term=view.contents.term,
        vote=view.contents.vote,
        commit_index=view.contents.commit,
        snapshot_index=0 if view.snapshot is None else view.snapshot.index,
        committed=len(view.committed),
        uncertain=len(view.uncertain),
        torn=view.changed,
        state=replica.state,
        digest=replica.digest(),
        tail=tuple(_told(view, entry) for entry in view.contents.entries[-tail:] if tail),
    )


def verify_snapshot(data: bytes) -> SnapshotReport:
    """Return what a snapshot holds once all of it has been read.

    Raises:
        SeamlessError: It is damaged, or of a version that this program does not know.
    """
    found = snapshot.decode(data)
    replica = _replica_of(found)
    return SnapshotReport(
        index=found.index, term=found.term, state=replica.state, digest=replica.digest()
    )


def restore_node(data: bytes, data_dir: Path, node_id: str, reason: str) -> SnapshotReport:
    """Make a folder in which a node begins from a snapshot, in an epoch of its own.

    Whatever was granted after the snapshot is not in it: the next epoch is above all of that. The
    same snapshot gives the same folder on every machine, and all nodes have to be made from it.

    Args:
        data: The snapshot.
        data_dir: Where the folders of nodes lie.
        node_id: Whose folder, such as `node-1`.
        reason: Why, for the audit.

    Raises:
        SeamlessError: The snapshot is damaged, or a node lives in the folder already.
    """
    found = snapshot.decode(data)
    replica = _replica_of(found)
    order = BumpEpoch(epoch=replica.state.epoch + 1, expected=replica.state.epoch, reason=reason)
    entry = LogEntry(term=replica.term, elapsed_ms=0, command=order)
    reply = decode_reply(replica.apply(encode_entry(entry)))
    if reply.code is not Code.OK:
        raise InvalidValueError("snapshot", reply.message, "one whose epoch can be raised")
    made = Snapshot(previous=found.previous, last=found.last, state=replica.snapshot())
    folder.seed(DiskFiles(data_dir / node_id), node_id, made)
    genesis.first_state(data_dir / node_id, replica.state.config)
    return SnapshotReport(
        index=made.index, term=made.term, state=replica.state, digest=replica.digest()
    )


def _replica_of(found: Snapshot) -> Replica:
    replica = Replica(initial(genesis.FIRST_EPOCH, MachineConfig()))
    try:
        replica.restore(found.state)
    except InvalidValueError as error:
        raise InvalidValueError(f"snapshot: {error.field}", error.found, error.allowed) from None
    return replica


def _first_state(path: Path) -> State:
    file = path / genesis.FILE
    return genesis.read(file) if file.exists() else initial(genesis.FIRST_EPOCH, MachineConfig())


def _apply(replica: Replica, entry: Entry) -> None:
    if entry[0][:1] != COMMAND:
        return
    try:
        replica.apply(entry[0][1:])
    except UnsupportedVersionError as error:
        raise InvalidValueError("folder", str(error), "written by no newer program") from None


def _told(view: FolderView, entry: Entry) -> Mapping[str, Any]:
    data, index, term = entry
    row: dict[str, Any] = {
        "index": index,
        "term": term,
        "committed": index <= view.contents.commit,
    }
    if data[:1] != COMMAND:
        return row | {"op": None}
    try:
        decoded = decode_entry(data[1:])
    except (InvalidValueError, UnsupportedVersionError) as error:
        return row | {"op": None, "problem": str(error)}
    command = command_document(decoded.command)
    return row | {
        "elapsed_ms": decoded.elapsed_ms,
        "request_id": decoded.request_id,
        **command,
    }


class _Reading:
    """A folder that is looked at: nothing is made in it, not even itself."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def read(self, name: str) -> bytes | None:
        """Return all of a file; None: there is none.

        Raises:
            SeamlessError: It cannot be read.
        """
        try:
            return (self._path / name).read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise InvalidValueError(
                str(self._path / name), error.strerror, "a file that can be read"
            ) from None

    def append(self, name: str) -> Appending:
        """Refuse."""
        raise OSError(errno.EROFS, "this folder is only looked at", name)

    create = append

    def rename(self, name: str, to: str) -> None:
        """Refuse."""
        raise OSError(errno.EROFS, f"this folder is only looked at, not renamed to {to}", name)

    def sync_folder(self) -> None:
        """Do nothing: nothing was written."""
