"""A replicated log without a network, for tests: several nodes, one log, faults on demand.

It passes the behaviour suite of the real one. Time is the clock's: a test that lets time pass
has the leader `tick` for it, as the real one does by itself.
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from bars.errors import InvalidValueError
from coordinator._service.log import (
    Answer,
    Listener,
    LogStatus,
    NotLeaderError,
    QueueFullError,
    StoppedLogError,
    UnknownOutcomeError,
)
from coordinator._service.raft.snapshot import Snapshot, encode
from coordinator.machine import AnyCommand, Event, MachineConfig, State, Tick, initial, wire
from coordinator.machine.replica import ELAPSED_MS_MAX, Replica
from runtime.clock import Clock

NODE_URL = "http://node-1"


@dataclass(slots=True)
class Faults:
    """What goes wrong at one node; counts go down as they happen."""

    lost_answers: int = 0
    """Commands that are applied, and whose outcome nobody learns."""

    lost_commands: int = 0
    """Commands that are not applied, and whose outcome nobody learns."""

    refused: int = 0
    """Commands that are refused because too many wait."""

    stopped: str | None = None
    """Why the node has stopped; None: it runs."""

    gate: asyncio.Event = field(default_factory=asyncio.Event)
    """Commands wait until it is set, as behind a slow disk."""

    def __post_init__(self) -> None:
        self.gate.set()

    def take(self, name: str) -> bool:
        """Return whether a counted fault happens now."""
        left = int(getattr(self, name))
        setattr(self, name, max(0, left - 1))
        return left > 0


class MemoryCluster:
    """Nodes that share one log in one process; the first leads until told otherwise."""

    def __init__(
        self,
        clock: Clock,
        urls: Sequence[str] = (NODE_URL,),
        *,
        epoch: int = 1,
        config: MachineConfig | None = None,
    ) -> None:
        """Begin with an empty log.

        Args:
            clock: Measures the time between commands.
            urls: API address of each node.
            epoch: Of the first tokens.
            config: Lives, retries, limits.
        """
        if not urls:
            raise InvalidValueError("urls", list(urls), "one address or more")
        self.clock = clock
        self.term = 1
        self.index = 0
        self.leader_changes = 1
        first = initial(epoch, config or MachineConfig())
        self.nodes = {url: MemoryLog(self, url, first) for url in urls}
        self.leader: str | None = next(iter(self.nodes))
        self._told_s = clock.monotonic()

    def __getitem__(self, url: str) -> "MemoryLog":
        return self.nodes[url]

    @property
    def first(self) -> "MemoryLog":
        """The first node."""
        return next(iter(self.nodes.values()))

    def lead(self, url: str | None) -> None:
        """Have another node lead in a new term, from now on; None: nobody."""
        self.leader = url
        if url is not None:
            self.term += 1
            self.leader_changes += 1
            self._told_s = self.clock.monotonic()

    def rename(self, url: str, new: str) -> None:
        """Give a node another API address: a server knows its port only once it listens."""
        self.nodes = {new if key == url else key: node for key, node in self.nodes.items()}
        self.nodes[new].url = new
        self.leader = new if self.leader == url else self.leader

    def tick(self) -> None:
        """Have the log learn what time it is, in as many steps as one entry may let pass."""
        while (left_ms := self._elapsed_ms()) > 0:
            self.append(Tick(), "", min(left_ms, ELAPSED_MS_MAX))

    def append(self, command: AnyCommand, request_id: str, elapsed_ms: int | None = None) -> bytes:
        """Apply a command on every node that keeps up; return the reply."""
        passed_ms = self._elapsed_ms() if elapsed_ms is None else elapsed_ms
        self._told_s += passed_ms / 1_000
        self.index += 1
        entry = wire.encode_entry(
            wire.Entry(term=self.term, elapsed_ms=passed_ms, command=command, request_id=request_id)
        )
        replies = [node.apply(self.index, entry) for node in self.nodes.values() if not node.lags]
        assert len(set(replies)) == 1, "the machine is not the same on every node"  # noqa: S101
        return replies[0]

    def _elapsed_ms(self) -> int:
        return int((self.clock.monotonic() - self._told_s) * 1_000)


class MemoryLog:
    """One node's view of the log: a `ReplicatedLog`."""

    def __init__(self, cluster: MemoryCluster, url: str, first: State) -> None:
        self.url = url
        self.faults = Faults()
        self.lags = False
        self._cluster = cluster
        self._applied = 0
        self._events: list[Event] = []
        self._listeners: list[Listener] = []
        self._replica = Replica(first, self._events.extend)

    async def propose(self, command: AnyCommand, request_id: str, timeout_s: float) -> Answer:
        """Have a command applied on every node; at the leader only."""
        self._check_leads()
        if self.faults.take("refused"):
            raise QueueFullError(1_000, 1_000)
        try:
            async with asyncio.timeout(timeout_s):
                await self.faults.gate.wait()
        except TimeoutError:
            raise UnknownOutcomeError(request_id, "the log did not answer in time") from None
        if self.faults.take("lost_commands"):
            raise UnknownOutcomeError(request_id, "the leader changed")
        self._check_leads()
        text = self._cluster.append(command, request_id)
        if self.faults.take("lost_answers"):
            raise UnknownOutcomeError(request_id, "the leader changed")
        return Answer(
            reply=wire.decode_reply(text),
            text=text,
            index=self._applied,
            term=self._cluster.term,
            clock_ms=self._replica.state.clock_ms,
        )

    def _check_leads(self) -> None:
        if self.faults.stopped is not None:
            raise StoppedLogError(self.faults.stopped)
        if self._cluster.leader != self.url:
            raise NotLeaderError(self._cluster.leader)

    def apply(self, index: int, entry: bytes) -> bytes:
        """Apply an entry and tell who listens; return the reply."""
        self._events.clear()
        reply = self._replica.apply(entry)
        self._applied = index
        for listener in tuple(self._listeners):
            listener(index, tuple(self._events))
        return reply

    def catch_up(self) -> None:
        """Jump to where the leader is, as by a snapshot, and keep up from now on."""
        leader = self._cluster.leader
        if leader is None:
            raise NotLeaderError(None)
        self._replica.restore(self._cluster[leader]._replica.snapshot())  # noqa: SLF001
        self._applied = self._cluster.index
        self.lags = False
        for listener in tuple(self._listeners):
            listener(self._applied, None)

    def state(self) -> State:
        """Return the state as this node has applied it."""
        return self._replica.state

    def digest(self) -> tuple[int, str]:
        """Return the index and the digest of the state."""
        return self._applied, self._replica.digest()

    def status(self) -> LogStatus:
        """Return how this node sees the cluster."""
        stopped = self.faults.stopped is not None
        return LogStatus(
            node_id=self.url,
            leader_url=self._cluster.leader,
            is_leader=self._cluster.leader == self.url and not stopped,
            has_quorum=self._cluster.leader is not None,
            term=self._cluster.term,
            commit_index=self._cluster.index,
            applied_index=self._applied,
            log_bytes=0,
            leader_changes=self._cluster.leader_changes,
            peers=tuple(self._cluster.nodes),
        )

    def subscribe(self, listener: Listener) -> Callable[[], None]:
        """Have a listener called for every entry; return what ends that."""
        self._listeners.append(listener)

        def end() -> None:
            if listener in self._listeners:
                self._listeners.remove(listener)

        return end

    async def transfer_leadership(self, timeout_s: float) -> None:
        """Let the next node lead."""
        self._check_leads()
        urls = [url for url, node in self._cluster.nodes.items() if not node.faults.stopped]
        others = [url for url in urls if url != self.url]
        if not others:
            raise UnknownOutcomeError("", f"no other node took over within {timeout_s:g} s")
        self._cluster.lead(others[0])

    async def snapshot(self, timeout_s: float) -> bytes:
        """Return this node's state as a snapshot."""
        del timeout_s
        if self.faults.stopped is not None:
            raise StoppedLogError(self.faults.stopped)
        last = (b"", self._applied, self._cluster.term)
        before = (b"", max(0, self._applied - 1), self._cluster.term)
        return encode(Snapshot(previous=before, last=last, state=self._replica.snapshot()))
