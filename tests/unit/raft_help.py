"""One node on a bench: its peers are this test, its disk and its time too."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pysyncobj.node import Node
from pysyncobj.transport import Transport

from coordinator._service.raft.engine import Engine
from coordinator._service.raft.files import Files
from coordinator._service.raft.outside import Outside
from coordinator._service.raft.proposal import Outcome, Proposal
from coordinator._service.raft.records import Entry
from coordinator._service.raft.settings import Member, RaftSettings
from coordinator._service.raft.transport import SyncsFirst
from coordinator.machine import AnyCommand, Barrier, MachineConfig, initial
from coordinator.machine.replica import Replica
from coordinator.machine.wire import Entry as Written
from coordinator.machine.wire import encode_entry
from tests.simulation.disk import SimDisk
from tests.simulation.network import SimNode
from tests.simulation.nodes import IdlePoller
from tests.simulation.world import World

FIRST: Entry = (b"\x01", 1, 0)
"""What every log begins with."""


class _Bare(Transport):  # type: ignore[misc]  # the library has no types
    def __init__(self, syncObj: Any, selfNode: Node, otherNodes: Any) -> None:  # noqa: N803
        super().__init__(syncObj, selfNode, otherNodes)
        self._syncObj = syncObj
        self.sent: list[tuple[str, dict[str, Any]]] = []

    def send(self, node: Node, message: dict[str, Any]) -> bool:
        self.sent.append((node.id, message))
        return True


class Recording(SyncsFirst, _Bare):
    """Writes down what a node says."""


def command(name: str, term: int = 1, elapsed_ms: int = 0) -> bytes:
    """Return the bytes that the log holds for a barrier with that request id."""
    written = Written(term=term, elapsed_ms=elapsed_ms, request_id=name, command=Barrier())
    return b"\x00" + encode_entry(written)


def entries(first: int, count: int, term: int) -> list[Entry]:
    """Return entries of one term."""
    return [(command(f"{term}-{i}", term), i, term) for i in range(first, first + count)]


class Bench:
    """A node `n0:1` of a cluster, and all that happens to it."""

    def __init__(
        self, world: World, nodes: int = 3, disk: Files | None = None, **settings: Any
    ) -> None:
        self.world = world
        self.files: Files = disk or SimDisk(world.chance("disk"))
        self.names = [f"n{number}:1" for number in range(nodes)]
        members = tuple(Member(node_id=n, address=n, url=f"http://{n}") for n in self.names)
        self.settings = RaftSettings(
            node_id="n0:1",
            members=members,
            bind="n0:1",
            folder=Path("folder"),
            secret_file=Path("secret"),
            **settings,
        )
        self.woken = 0
        self.outcomes: dict[str, Outcome] = {}
        self.start()

    def start(self) -> None:
        """Start the node, for the first time or again, on what its disk holds."""
        outside = Outside(
            files=self.files,
            transport=Recording,
            node=SimNode,
            poller=IdlePoller(),
            wake=self._wake,
            monotonic=lambda: self.world.now,
        )
        self.engine = Engine(self.settings, Replica(initial(1, MachineConfig())), outside)
        self.core = self.engine.core
        self.transport: Recording = self.core._SyncObj__transport

    @property
    def disk(self) -> SimDisk:
        """The simulated disk, where the test has brought no other."""
        assert isinstance(self.files, SimDisk)
        return self.files

    def _wake(self) -> None:
        self.woken += 1

    def connect(self, *peers: str) -> None:
        """Connect nodes, all others without a name."""
        for peer in peers or self.names[1:]:
            self.transport._onNodeConnected(SimNode(peer))

    def disconnect(self, *peers: str) -> None:
        """Lose the connections to nodes, to all others without a name."""
        for peer in peers or self.names[1:]:
            self.transport._onNodeDisconnected(SimNode(peer))

    def turn(self, seconds: float = 0.0) -> None:
        """Let time pass and the node do what is due."""
        self.world.now += seconds
        self.engine.turn(0.0)

    def hear(self, peer: str, **message: Any) -> None:
        """Bring a message of a peer."""
        self.transport._onMessageReceived(SimNode(peer), message)

    def hear_append(
        self, before: Entry, following: list[Entry], *, term: int, commit: int, peer: str = "n1:1"
    ) -> None:
        """Bring a leader's entries."""
        self.hear(
            peer,
            type="append_entries",
            term=term,
            commit_index=commit,
            prevLogIdx=before[1],
            prevLogTerm=before[2],
            entries=following,
        )

    def said(self, kind: str) -> list[dict[str, Any]]:
        """Return the messages of a kind since the last time, and forget all."""
        found = [message for _, message in self.transport.sent if message["type"] == kind]
        self.transport.sent.clear()
        return found

    def lead(self) -> None:
        """Have the node elected."""
        self.connect()
        while not self.core._isLeader():
            self.turn(0.1)
            for peer in self.names[1:]:
                self.hear(peer, type="response_vote", term=self.core.raftCurrentTerm)

    def acknowledge(self, index: int | None = None, peers: tuple[str, ...] = ("n1:1",)) -> None:
        """Have peers hold the log up to an index, the newest without one; the node turns."""
        last = self.engine.journal.last_index if index is None else index
        for peer in peers:
            self.hear(
                peer,
                type="next_node_idx",
                next_node_idx=last + 1,
                reset=False,
                success=True,
                term=self.core.raftCurrentTerm,
            )
        self.turn()

    def propose(self, request_id: str, command: AnyCommand | None = None) -> None:
        """Put a command into the queue."""

        def done(outcome: Outcome) -> None:
            assert request_id not in self.outcomes, "told twice"
            self.outcomes[request_id] = outcome

        self.engine.queue.append(Proposal.of(command or Barrier(), request_id, done))

    def grow(self, count: int) -> None:
        """Have a node alone apply so many commands, one after the other."""
        for _ in range(count):
            self.propose(f"grown-{len(self.outcomes)}")
            self.turn(0.01)
            self.turn(0.01)

    @property
    def log(self) -> list[tuple[int, int]]:
        """Index and term of all entries that are kept."""
        return [(index, term) for _, index, term in self.engine.journal[:]]


@contextmanager
def bench_world(seed: int = 0) -> Iterator[World]:
    """Give PySyncObj a world whose time is this test's."""
    world = World(seed)
    with world.installed():
        yield world


def leader_of(world: World) -> Bench:
    """Return a leader of three whose log is acknowledged."""
    bench = Bench(world)
    bench.lead()
    bench.turn()
    bench.acknowledge()
    return bench
