"""The rules of Raft that PySyncObj leaves out, put where its code passes by.

PySyncObj elects and copies; read with the paper beside it (Ongaro, Ousterhout 2014), 0.3.17 departs
from it where a committed command can be lost. Set right here, each with a test that fails without:

* a follower drops entries that it holds only if they contradict the leader's (section 5.3), not
  whenever the leader repeats something;
* it takes nothing for committed that this message has not compared (section 5.3);
* a snapshot takes back nothing that was applied, nor entries behind it that agree (section 7), and
  nothing counts as committed while it is on its way;
* an acknowledgement counts in the term that it was given in only;
* a follower that contradicts names the first entry of the contradicting term (section 5.3), so a
  leader is back in step after a few messages, not after one for each entry; and what is refused
  only because it came behind a refused message does not undo that;
* a node that has slept listens before it wants to lead;
* a node with much to apply, as after a restart, does so in parts and listens in between.

And one of our own: a follower says with each answer which commands its program knows.

The names that begin with `_SyncObj__` are PySyncObj's private ones; `compat` has the list.
"""

from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any, Final, Protocol

import pysyncobj.syncobj
from pysyncobj import SyncObj, SyncObjConf
from pysyncobj.node import Node
from pysyncobj.transport import Transport

from coordinator._service.raft.journal import Journal
from coordinator._service.raft.snapshot import Snapshot, encode
from coordinator._service.raft.store import SnapshotStore
from coordinator._service.raft.unpickler import Refusals
from coordinator._service.raft.vetting import Message, fault_of

HEARD_S: Final = 5.0
"""A node that has not answered for so long does not count among those that must know a command:
it stops at what it does not know, if it comes back with the program that it had."""

APPLY_MAX: Final = 128
"""Entries applied in one turn, some tens of milliseconds: a node that is silent for longer than an
election takes is taken for dead, and would take its leader for dead."""

COMMAND: Final = b"\x00"
"""What an entry with a command begins with; others are PySyncObj's own."""


class UnsafeLogError(AssertionError):
    """The leader wants something back that this node has applied: one of the two is broken."""


class Host(Protocol):
    """Who has the state that the log is about."""

    level: int
    """Which commands it knows."""

    def apply(self, index: int, entry: bytes) -> object:
        """Apply an entry and return what its proposer is told; must not raise."""
        ...

    def restore(self, state: bytes) -> None:
        """Become what a snapshot says."""
        ...

    def propose(self) -> None:
        """Append what is to be proposed; called once a turn."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """What a core is put together from."""

    journal: Journal
    store: SnapshotStore
    refusals: Refusals
    monotonic: Callable[[], float]
    transport: type[Transport]
    conf: SyncObjConf


class Core(SyncObj):  # type: ignore[misc]  # the library has no types
    """One node of PySyncObj. For one thread."""

    _SyncObj__raftElectionDeadline: float

    def __init__(self, me: Node, others: Collection[Node], parts: Parts, host: Host) -> None:
        self.journal = parts.journal
        self.refusals = parts.refusals
        self.monotonic = parts.monotonic
        self._store = parts.store
        self._host = host
        self._keeps_tail = False
        self._levels: dict[str, tuple[int, float]] = {}
        self._has_news = False
        super().__init__(me, others, parts.conf, transportClass=parts.transport)
        self._SyncObj__serializer = parts.store
        self._SyncObj__needLoadDumpFile = False
        if self.journal.snapshot is not None:
            self._go_on_from(self.journal.snapshot)

    # What the engine asks.

    def append(self, entry: bytes, told: Callable[[Any, int], None]) -> int:
        """Put an entry into the log of this leader and return its index.

        Args:
            entry: What is to be applied.
            told: Called with what `apply` returned and 0, or with PySyncObj's reason.
        """
        index, term = self.journal.last_index + 1, self.raftCurrentTerm
        self.journal.add(COMMAND + entry, index, term)
        self._SyncObj__commandsWaitingCommit[index].append((term, told))
        return index

    def send_entries(self) -> None:
        """Send what was appended; the journal is waited for once."""
        self._SyncObj__sendAppendEntries()

    @property
    def behind(self) -> bool:
        """Whether more is committed than one turn applies."""
        committed: int = self.raftCommitIndex
        return committed - int(self.raftLastApplied) > APPLY_MAX

    def compact(self) -> None:
        """Have the log give way to a snapshot, unless one is being made already."""
        if not self._store.making:
            self.forceLogCompaction()

    def older(self, level: int) -> tuple[str, ...]:
        """Return the nodes heard of lately whose programs are below a level."""
        if level == 1 or not self._levels:
            return ()
        since = self.monotonic() - HEARD_S
        told = self._levels.items()
        return tuple(name for name, (known, at) in told if known < level and at >= since)

    def hear_first(self) -> None:
        """Listen before wanting to lead: this node has slept, and its leader may be well.

        PySyncObj looks at the clock before it looks at what has come, and would depose him.
        """
        if self._SyncObj__raftElectionDeadline:  # 0: it was told to want the lead.
            now = pysyncobj.syncobj.monotonicTime()
            self._SyncObj__raftElectionDeadline = now + self._SyncObj__generateRaftTimeout()

    # Where PySyncObj's code passes by.

    def _checkCommandsToApply(self) -> None:  # noqa: N802 - called by the library
        self._host.propose()
        if self._has_news and self._isLeader():
            self.send_entries()  # What was appended has gone out with it; nothing was.

    def _SyncObj__sendAppendEntries(self) -> None:  # noqa: N802
        self._has_news = False
        super()._SyncObj__sendAppendEntries()

    def _SyncObj__applyLogEntries(self) -> bool:  # noqa: N802
        """Apply what is committed, so much of it; return that nothing is to be sent for it.

        PySyncObj would at once tell the followers what is committed, and in the same turn send
        them the next entries, which say so too: half of all messages under load.
        """
        committed = self.raftCommitIndex
        self._SyncObj__raftCommitIndex = min(committed, self.raftLastApplied + APPLY_MAX)
        try:
            self._has_news |= super()._SyncObj__applyLogEntries()
        finally:
            self._SyncObj__raftCommitIndex = committed
        return False

    def _SyncObj__doApplyCommand(self, command: bytes) -> object:  # noqa: N802
        if command[:1] != COMMAND:
            return None
        return self._host.apply(self.raftLastApplied + 1, command[1:])

    def _SyncObj__onMessageReceived(self, node: Node, message: Message) -> None:  # noqa: N802
        fault = fault_of(message)
        if fault is not None:
            self.refusals.count(fault)
            return
        kind = message["type"]
        if kind == "next_node_idx":
            self._levels[node.id] = (message.get("level", 1), self.monotonic())
            if message["term"] != self.raftCurrentTerm:
                return
            message = {**message, "next_node_idx": self._following(node, message)}
        if kind == "append_entries" and message["term"] >= self.raftCurrentTerm:
            if "serialized" in message:
                committed = min(message["commit_index"], self.raftCommitIndex)
                message = {**message, "commit_index": committed}
            else:
                message = self._only_news(message)
        self._keeps_tail = not message.get("entries")
        super()._SyncObj__onMessageReceived(node, message)

    def _following(self, node: Node, message: Message) -> int:
        """Return which entry a follower is to be sent next, as it answers."""
        end = self.journal.last_index + 1
        # Behind a message that was refused come those that were sent with it: they are refused
        # for the gap, and what they say must not undo what the first one said.
        asked = self._SyncObj__raftNextIndex.get(node, end) if message["reset"] else end
        return min(int(message["next_node_idx"]), int(asked), end)

    def _only_news(self, message: Message) -> Message:
        """Return the message without the entries that this node holds just so."""
        before, term = message["prevLogIdx"], message["prevLogTerm"]
        entries = message["entries"]
        applied: int = self.raftLastApplied
        compared = max(before + len(entries), applied)
        if before < applied:
            # What was applied is committed, so every leader has it.
            for entry in entries:
                if entry[1] <= applied and self.journal.term_at(entry[1]) not in {None, entry[2]}:
                    raise UnsafeLogError(f"entry {entry[1]} was applied, the leader has another")
            entries = [entry for entry in entries if entry[1] > applied]
            before, term = applied, self.journal.term_at(applied)
        if self.journal.term_at(before) == term:
            held = 0
            while held < len(entries) and self._holds(entries[held]):
                _, before, term = entries[held]
                held += 1
            entries = entries[held:]
        return {
            **message,
            "prevLogIdx": before,
            "prevLogTerm": term,
            "entries": entries,
            "commit_index": min(message["commit_index"], compared),
        }

    def _holds(self, entry: tuple[bytes, int, int]) -> bool:
        return self.journal.term_at(entry[1]) == entry[2]

    def _SyncObj__deleteEntriesFrom(self, fromIDx: int) -> None:  # noqa: N802, N803
        if self._keeps_tail:
            return
        if fromIDx <= self.raftLastApplied:
            raise UnsafeLogError(f"entry {fromIDx} was applied and is to be taken back")
        super()._SyncObj__deleteEntriesFrom(fromIDx)

    def _SyncObj__sendNextNodeIdx(  # noqa: N802
        self,
        node: Node,
        reset: bool = False,
        nextNodeIdx: int | None = None,  # noqa: N803
        success: bool = False,
    ) -> None:
        following = self._refused_at(nextNodeIdx) if reset else nextNodeIdx
        if following is None:
            # A snapshot has come. What was applied is committed, so the leader has it too.
            following = self.raftLastApplied + 1
        answer = {
            "type": "next_node_idx",
            "next_node_idx": following,
            "reset": reset,
            "success": success,
            "term": self.raftCurrentTerm,
            "level": self._host.level,
        }
        self._SyncObj__transport.send(node, answer)

    def _refused_at(self, contradicted: int | None) -> int:
        if contradicted is None:
            return self.journal.last_index + 1
        return max(self.journal.first_of_term(contradicted), int(self.raftLastApplied) + 1)

    def _SyncObj__loadDumpFile(self, clearJournal: bool) -> None:  # noqa: N802, N803
        del clearJournal
        received = self._store.received
        if received is None or received.index <= self.raftLastApplied:
            return
        self._host.restore(received.state)
        self._store.keep(encode(received))
        self.journal.adopt(received)
        self._go_on_from(received)

    def _go_on_from(self, taken: Snapshot) -> None:
        self._SyncObj__raftLastApplied = taken.index
        self._SyncObj__raftCommitIndex = max(self.raftCommitIndex, taken.index)
        waiting = self._SyncObj__commandsWaitingCommit
        for index in [index for index in waiting if index <= taken.index]:
            del waiting[index]
