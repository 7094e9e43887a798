"""One node, turn by turn: commands become entries, entries become results. No thread, no loop.

Whoever turns it (a thread of the process, a simulation) calls `turn`. A command becomes an entry
in the same moment in which it is appended, so the term and the time in the entry are those of its
place in the log; nothing is queued in between and nothing is passed on to another node.
"""

from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Final

from pysyncobj import FAIL_REASON

from coordinator._service.log import (
    LogStatus,
    NotLeaderError,
    OlderNodesError,
    StoppedLogError,
    UnknownOutcomeError,
)
from coordinator._service.raft import compat, folder, records, snapshot
from coordinator._service.raft.core import Core, Parts
from coordinator._service.raft.journal import Journal
from coordinator._service.raft.outside import Outside, library_settings
from coordinator._service.raft.pace import TICK_MS, Elapsed, SlowDisk
from coordinator._service.raft.proposal import Applied, Proposal
from coordinator._service.raft.settings import RaftSettings
from coordinator._service.raft.snapshot import Snapshot
from coordinator._service.raft.store import SnapshotStore
from coordinator._service.raft.unpickler import Refusals
from coordinator.machine import Tick
from coordinator.machine.replica import Capture, Replica
from coordinator.machine.wire import UnsupportedVersionError, encode_command, entry_of

BATCH_MAX: Final = 256
"""Commands appended in one turn: what waits behind them waits for one disk access more."""

JOURNAL_BYTES_MAX: Final = 64 * 2**20
"""A journal of that size gives way to a snapshot, however few entries it has."""

HAND_OVER_S: Final = 1.0
"""How long commands wait for another node to take the lead."""

_LEADER: Final = 2
_TICK: Final = encode_command(Tick())


class Engine:
    """One node of the cluster. For one thread."""

    def __init__(self, settings: RaftSettings, replica: Replica, outside: Outside) -> None:
        """Open the node's files and begin where they end.

        Raises:
            LogError: The files are damaged.
            OSError: The disk failed.
        """
        compat.install()
        self.level = replica.level
        self.settings = settings
        self.replica = replica
        self.refusals = Refusals()
        self.queue: deque[Proposal] = deque()
        """What is to be proposed; others may append to it, this thread takes out."""

        self.before_wait: Callable[[], None] = _nothing
        """Called in every turn when there may be results, before peers are waited for."""

        self.applied: Callable[[int, bool], None] = _ignore
        """Called after every entry with its index, and whether a snapshot has skipped entries
        before it."""

        self._skipped = False
        self._outside = outside
        self._waiting: dict[int, Proposal] = {}
        self._elapsed = Elapsed()
        self._slow_disk = SlowDisk()
        self._fresh = False
        self._turned_at = outside.monotonic()
        self._hand_over_until = 0.0
        self._leader: tuple[str | None, int] = (None, 0)
        self._leader_changes = 0
        self._failure: str | None = None
        self.journal = Journal(outside.files, settings.node_id, outside.monotonic)
        kept = self.journal.snapshot
        if kept is not None:
            replica.restore(kept.state)
        self.digest = (1 if kept is None else kept.index, replica.digest())
        """A raft index and the digest of the state at that index."""

        try:
            self.core = self._make_core(kept)
        except BaseException:
            self.journal.close()
            raise
        self.status = self._look()

    def _make_core(self, kept: Snapshot | None) -> Core:
        outside, settings = self._outside, self.settings
        store = SnapshotStore(outside.files, kept, self.refusals, self.replica.capture)
        store.spawn = outside.spawn
        members = {m.node_id: outside.node(m.address) for m in settings.members}
        me = members.pop(settings.node_id)
        parts = Parts(
            journal=self.journal,
            store=store,
            refusals=self.refusals,
            monotonic=outside.monotonic,
            transport=outside.transport,
            conf=library_settings(settings, outside, self.journal, self._state_changed),
        )
        return Core(me, tuple(members.values()), parts, self)

    @property
    def failure(self) -> str | None:
        """Why the node has stopped; None: it has not."""
        return self._failure

    @property
    def pending(self) -> int:
        """Commands whose outcome is not known yet."""
        return len(self.queue) + len(self._waiting)

    def turn(self, wait_s: float) -> None:
        """Do what is due, then wait for peers for so long.

        Raises:
            StoppedLogError: The node has stopped; it will not do anything any more.
        """
        if self._failure is not None:
            raise StoppedLogError(self._failure)
        now = self._outside.monotonic()
        if now - self._turned_at > self.settings.election_s[0]:
            self.core.hear_first()
        try:
            # A leader counts itself among those who hold an entry: now it does.
            self.journal.sync()
            self.core.doTick(0.0 if self.core.behind else wait_s)
        except StoppedLogError as error:
            self.stop(error.reason)
            raise
        except UnsupportedVersionError as error:
            self.stop(f"its program is too old for what the others write: {error}")
            raise
        except BaseException as error:
            self.stop(f"{type(error).__name__}: {error}")
            raise
        self._turned_at = self._outside.monotonic()
        self.status = self._look()
        self._care()

    def stop(self, reason: str) -> None:
        """Take part no more; those who wait are told."""
        if self._failure is not None:
            return
        self._failure = reason
        while self.queue:
            self.queue.popleft().done(StoppedLogError(reason))
        self._lose_waiting(f"this node has stopped: {reason}")
        self.core.destroy()

    def hand_over(self) -> None:
        """Ask the node that is furthest to lead; commands wait for it a little."""
        self._hand_over_until = self._outside.monotonic() + HAND_OVER_S

    def document(self) -> Callable[[], bytes]:
        """Return what makes a snapshot of the state as it stands; any thread may call it."""
        place = self.core.raftLastApplied - self.journal.first_index
        before = self.journal[place - 1] if place else (folder.FIRST_ENTRY[0], 0, 0)
        return partial(_document, before, self.journal[place], self.replica.capture())

    # What the core calls.

    def apply(self, index: int, entry: bytes) -> Applied:
        """Apply an entry."""
        reply = self.replica.apply(entry)
        self.applied(index, self._skipped)
        self._skipped = False
        if index % self.settings.digest_every == 0:
            # Half a second of work the first time with a large state, and after a snapshot has
            # come: a leader that did it itself would lose the lead.
            digest = self.replica.digest_of_now()
            self._outside.spawn(lambda: self._publish_digest(index, digest()))
        clock_ms = self.replica.state.clock_ms
        return Applied(
            reply=reply,
            told=self.replica.reply,
            index=index,
            term=self.replica.term,
            clock_ms=clock_ms,
        )

    def _publish_digest(self, index: int, found: str) -> None:
        if index > self.digest[0]:  # several may be under way after a restart
            self.digest = (index, found)

    def restore(self, state: bytes) -> None:
        """Become what a snapshot says."""
        self.replica.restore(state)
        self._skipped = True

    def propose(self) -> None:
        """Append what waits, if this node leads and can be heard."""
        now = self._outside.monotonic()
        if not (self.core._isLeader() and self.core.hasQuorum):  # noqa: SLF001 - its only name
            self._turn_away()
        elif now >= self._hand_over_until:
            self._append_waiting(now)
        self.before_wait()

    def _append_waiting(self, now: float) -> None:
        first = self.journal.last_index
        if self._fresh:
            # The term's first entry, so that nothing of an earlier leader counts behind it.
            self._fresh = False
            self._elapsed.begin(now)
            self._append(_TICK, "", now, None)
        for _ in range(min(len(self.queue), BATCH_MAX)):
            proposal = self.queue.popleft()
            older = self.core.older(proposal.level)
            if older:
                proposal.done(OlderNodesError(older))
                continue
            self._append(proposal.command, proposal.request_id, now, proposal)
        if self._elapsed.so_far(now) >= TICK_MS and self._time_matters():
            self._append(_TICK, "", now, None)
        if self.journal.last_index > first:
            self.core.send_entries()
            if len(self.settings.members) == 1:
                # Nobody's answer will end the wait.
                self._outside.wake()

    def _append(
        self, command: bytes, request_id: str, now: float, proposal: Proposal | None
    ) -> None:
        entry = entry_of(self.core.raftCurrentTerm, self._elapsed.take(now), request_id, command)
        index = self.core.append(entry, self._told(self.journal.last_index + 1))
        if proposal is not None:
            self._waiting[index] = proposal

    def _told(self, index: int) -> Callable[[Applied | None, int], None]:
        def told(applied: Applied | None, reason: int) -> None:
            proposal = self._waiting.pop(index, None)
            if proposal is None:
                return
            if reason == FAIL_REASON.SUCCESS and applied is not None:
                proposal.done(applied)
            else:
                # Another leader's entry was applied in its place: it never will be.
                proposal.done(NotLeaderError(self.status.leader_url))

        return told

    def _time_matters(self) -> bool:
        state = self.replica.state
        return bool(state.sessions or state.leases or state.jobs)

    def _turn_away(self) -> None:
        if not self.queue:
            return
        leader = self.core._getLeader()  # noqa: SLF001 - its only name
        leads = self.core._isLeader()  # noqa: SLF001
        url = None if leader is None or leads else self.settings.url_of(leader.id)
        while self.queue:
            self.queue.popleft().done(NotLeaderError(url))

    def _state_changed(self, before: int, after: int) -> None:
        if after == _LEADER:
            self._fresh = True
            self._hand_over_until = 0.0
        elif before == _LEADER:
            self._lose_waiting("this node leads no more")

    def _lose_waiting(self, reason: str) -> None:
        waiting, self._waiting = self._waiting, {}
        for proposal in waiting.values():
            proposal.done(UnknownOutcomeError(proposal.request_id, reason))

    def _care(self) -> None:
        """Do what keeps the node fit: compact its log, leave the lead to a faster disk."""
        now = self._outside.monotonic()
        entries = self.journal.last_index - self.journal.first_index
        long = entries >= self.settings.compact_at or self.journal.size_bytes >= JOURNAL_BYTES_MAX
        if long and not self.core.behind:  # else a snapshot would take in a part, and then the next
            self.core.compact()
        slow = self._slow_disk.should_hand_over(self.journal.syncs, self.journal.sync_s, now)
        if not self.status.is_leader:
            return
        if slow and len(self.settings.members) > 1:
            self.hand_over()
        if now < self._hand_over_until:
            self.core.transferLeadership()

    def _look(self) -> LogStatus:
        core = self.core
        leader = core._getLeader()  # noqa: SLF001
        address = None if leader is None else leader.id
        seen = (address, core.raftCurrentTerm)
        if address is not None and seen != self._leader:
            self._leader = seen
            self._leader_changes += 1
        quorum = core.hasQuorum
        return LogStatus(
            node_id=self.settings.node_id,
            leader_url=self.settings.url_of(address),
            is_leader=core._isLeader() and quorum,  # noqa: SLF001
            has_quorum=quorum,
            term=core.raftCurrentTerm,
            commit_index=core.raftCommitIndex,
            applied_index=core.raftLastApplied,
            log_bytes=self.journal.size_bytes,
            leader_changes=self._leader_changes,
            peers=tuple(member.url for member in self.settings.members),
        )


def _nothing() -> None:
    """Do nothing."""


def _ignore(_index: int, _skipped: bool) -> None:
    """Do nothing."""


def _document(before: records.Entry, last: records.Entry, captured: Capture) -> bytes:
    return snapshot.encode(Snapshot(previous=before, last=last, state=captured.snapshot()))
