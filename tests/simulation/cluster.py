"""The nodes of one run: real engines on simulated disks, which die, freeze and come back."""

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from coordinator._service.log import LogError, NotLeaderError, QueueFullError, StoppedLogError
from coordinator._service.raft.outside import Outside
from coordinator._service.raft.proposal import Proposal
from coordinator._service.raft.settings import Member, RaftSettings
from coordinator.machine import Event, LeaseEnd, LeaseEnded, initial
from coordinator.machine.replica import Replica
from tests.simulation.builds import HONEST, Build
from tests.simulation.disk import PowerLostError, SimDisk
from tests.simulation.history import Application, History
from tests.simulation.network import Network, SimNode, wire
from tests.simulation.nodes import CONFIG, IdlePoller, SimEngine
from tests.simulation.world import World

TURN_S = (0.02, 0.05)
"""Between two turns of a node without work."""

SOON_S = 0.0003


@dataclass(slots=True, kw_only=True)
class SimHost:
    """One machine: its disk lives on when the node on it dies."""

    name: str
    disk: SimDisk
    rate: float
    """Seconds of its clock in a true second."""

    engine: SimEngine | None = None
    life: int = 0
    """How often it was started."""

    frozen_until: float = 0.0
    inbox: deque[Callable[[], None]] = field(default_factory=deque)
    """What came while it was frozen."""


class Cluster:
    """All nodes of a run, and the way workers reach them."""

    def __init__(
        self, world: World, nodes: int, history: History, build: Build = HONEST, compact: int = 120
    ) -> None:
        self.world = world
        self.history = history
        self.names = tuple(f"n{number}:1" for number in range(nodes))
        self.network = Network(world, self.names)
        self.network.may_send = self._may_send
        self.late: list[tuple[int, bytes]] = []
        """Term and bytes of all entries that leaders have written."""

        self._build = build
        self._compact = compact
        self._chance = world.chance("cluster")
        rates = world.chance("clocks")
        self.hosts = {
            name: SimHost(
                name=name,
                disk=SimDisk(world.chance(f"disk {name}"), syncs=build.syncs),
                rate=rates.uniform(0.96, 1.04),
            )
            for name in self.names
        }

    # Life and death.

    def start(self, name: str, program: type[Replica] | None = None) -> None:
        """Start a node on what its disk holds, with another program than the build's or not."""
        host = self.hosts[name]
        host.life += 1
        host.frozen_until = 0.0
        host.inbox.clear()
        members = tuple(
            Member(node_id=each, address=each, url=f"http://{each}") for each in self.names
        )
        settings = RaftSettings(
            node_id=name,
            members=members,
            bind=name,
            folder=Path(name),
            secret_file=Path(name),
            heartbeat_s=0.08,
            election_s=(0.3, 0.7),
            compact_entries=self._compact,
            digest_every=10**9,
            send_bytes=1_200,
        )
        outside = Outside(
            files=host.disk,
            transport=wire(self.network),
            node=SimNode,
            poller=IdlePoller(),
            wake=lambda: None,
            monotonic=self._clock(host),
        )
        replica = (program or self._build.replica)(initial(1, CONFIG), self._look_at_events)
        with self.world.seen_by(outside.monotonic):
            try:
                engine = SimEngine(settings, replica, outside)
            except (PowerLostError, OSError):
                self._lose(host, power=True)
                return
            except LogError as error:
                self.history.broken.append(f"{name} does not start: {error}")
                return
        engine.history, engine.world = self.history, self.world
        host.engine = engine
        self._look_at_restores(engine)
        self._look_at_entries(engine)
        self.history.count("started")
        self.network.join(name, _Station(self, host))
        self._turn_later(host, SOON_S)

    def kill(self, name: str, *, power: bool) -> None:
        """End a node between two of its steps."""
        host = self.hosts[name]
        if host.engine is not None:
            self.history.count("power" if power else "killed")
            self._lose(host, power=power)

    def freeze(self, name: str, seconds: float) -> None:
        """Stop a node without its knowing."""
        self.hosts[name].frozen_until = self.world.now + seconds
        self.history.count("frozen")

    def _lose(self, host: SimHost, *, power: bool) -> None:
        engine, host.engine = host.engine, None
        if engine is not None:
            engine.queue.clear()
            engine._waiting.clear()
            self.network.leave(host.name, told=not power)
        if power:
            host.disk.power_cut()
        else:
            host.disk.process_killed()

    # Turns.

    def turn(self, host: SimHost) -> None:
        """Let a node do what is due."""
        engine = host.engine
        if engine is None:
            return
        self._during(host, lambda: engine.turn(0.0))
        if host.engine is engine:
            self._turn_later(host, self._chance.uniform(*TURN_S))

    def _turn_later(self, host: SimHost, seconds: float) -> None:
        life = host.life

        def turn() -> None:
            if host.life != life:
                return
            if self.world.now < host.frozen_until:
                self.world.at(host.frozen_until, turn)
            else:
                self.turn(host)

        self.world.after(seconds, turn)

    def turn_soon(self, host: SimHost) -> None:
        """Let a node turn once more: something has come."""
        life = host.life

        def turn() -> None:
            engine = host.engine
            if host.life == life and engine is not None and self.world.now >= host.frozen_until:
                self._during(host, lambda: engine.turn(0.0))

        self.world.after(SOON_S, turn)

    def _during(self, host: SimHost, work: Callable[[], None]) -> None:
        """Have a node do something that may be its last."""
        engine = host.engine
        assert engine is not None
        with self.world.seen_by(engine.core.monotonic):
            try:
                work()
            except PowerLostError:
                self.history.count("power in a write")
                self._lose(host, power=True)
            except StoppedLogError:
                self.history.count("disk failed")
                self._lose(host, power=True)
            except Exception as error:  # noqa: BLE001 - whatever stops a node is a finding
                self.history.broken.append(f"{host.name}: {type(error).__name__}: {error}")
                self._lose(host, power=False)

    # What workers do.

    def propose(self, name: str, proposal: Proposal) -> None:
        """Do what a node's API does with a command that arrives."""
        host = self.hosts[name]
        engine = host.engine
        if engine is None:
            return
        status = engine.status
        if not status.is_leader:
            proposal.done(NotLeaderError(status.leader_url))
        elif engine.pending >= engine.settings.pending_max:
            proposal.done(QueueFullError(engine.pending, engine.settings.pending_max))
        else:
            engine.queue.append(proposal)
            self.turn_soon(host)

    def leader(self) -> SimHost | None:
        """Return the node that leads in the highest term."""
        leading = [h for h in self.hosts.values() if h.engine and h.engine.status.is_leader]
        return max(leading, key=lambda h: h.engine.status.term if h.engine else 0, default=None)

    # Looking on.

    def _clock(self, host: SimHost) -> Callable[[], float]:
        return lambda: 1_000.0 + self.world.now * host.rate

    def _may_send(self, name: str) -> None:
        engine = self.hosts[name].engine
        if engine is not None and engine.journal.failure is not None:
            self.history.after_failure.append(name)

    def _look_at_events(self, events: Sequence[Event]) -> None:
        for event in events:
            if isinstance(event, LeaseEnded) and event.end is LeaseEnd.CANCELLED:
                self.history.cancelled.setdefault(event.lease.token, self.world.now)

    def _look_at_restores(self, engine: SimEngine) -> None:
        restore = engine.replica.restore

        def looked_at(state: bytes) -> None:
            restore(state)
            received = engine.core._store.received
            assert received is not None
            self._restored(engine, received.index)

        if engine.journal.snapshot is not None:
            self._restored(engine, engine.journal.snapshot.index)
        engine.replica.restore = looked_at  # type: ignore[method-assign, assignment]

    def _restored(self, engine: SimEngine, index: int) -> None:
        self.history.count("restored")
        seen = Application(
            node=engine.settings.node_id,
            index=index,
            entry=0,
            chain=engine.replica.capture()._rest.chain,
            now=self.world.now,
            clock_ms=engine.replica.state.clock_ms,
        )
        self.history.restored.append(seen)

    def _look_at_entries(self, engine: SimEngine) -> None:
        append = engine.core.append

        def looked_at(entry: bytes, told: Callable[[Any, int], None]) -> int:
            self.late.append((engine.core.raftCurrentTerm, entry))
            index: int = append(entry, told)
            return index

        engine.core.append = looked_at  # type: ignore[method-assign]

    def append_late(self, host: SimHost, entry: bytes) -> None:
        """Put an entry of an earlier leader into a leader's log, past all that keeps it out."""
        engine = host.engine
        if engine is None or not engine.status.is_leader or engine._fresh:
            return

        def work() -> None:
            type(engine.core).append(engine.core, entry, lambda *_: None)
            engine.core.send_entries()

        self.history.count("late entry")
        self._during(host, work)


class _Station:
    def __init__(self, cluster: Cluster, host: SimHost) -> None:
        self._cluster = cluster
        self._host = host
        self._life = host.life

    def receive(self, sender: str, message: Any) -> None:
        self._do(lambda core: core._SyncObj__transport._onMessageReceived(SimNode(sender), message))

    def connected(self, peer: str, *, up: bool) -> None:
        name = "_onNodeConnected" if up else "_onNodeDisconnected"
        self._do(lambda core: getattr(core._SyncObj__transport, name)(SimNode(peer)))

    def _do(self, work: Callable[[Any], None]) -> None:
        host, cluster = self._host, self._cluster

        def done() -> None:
            engine = host.engine
            if host.life == self._life and engine is not None:
                cluster._during(host, lambda: work(engine.core))
                cluster.turn_soon(host)

        def thaw() -> None:
            while host.inbox and cluster.world.now >= host.frozen_until:
                host.inbox.popleft()()
            if host.inbox:
                cluster.world.at(host.frozen_until, thaw)

        if cluster.world.now >= host.frozen_until and not host.inbox:
            done()
            return
        if not host.inbox:
            cluster.world.at(host.frozen_until, thaw)
        host.inbox.append(done)
