"""Nodes of two programs in one cluster: what one does not know parts it from nobody."""

from collections.abc import Callable
from dataclasses import replace

from coordinator._service.log import OlderNodesError
from coordinator._service.raft.core import HEARD_S
from coordinator._service.raft.proposal import Applied, Outcome, Proposal
from coordinator.machine import AnyCommand, Barrier, Code, Configure
from coordinator.machine.wire import decode_reply
from tests.simulation import checkers
from tests.simulation.builds import OlderProgram
from tests.simulation.cluster import Cluster
from tests.simulation.nodes import CONFIG, new_history
from tests.simulation.world import World

NEWER = Configure(config=replace(CONFIG, max_attempts=9), version=0, reason="a test")


class Upgrade:
    """Three nodes, the last of which still runs the older program."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.history = new_history()
        self.cluster = Cluster(world, 3, self.history)
        self.first, self.second, self.old = self.cluster.names
        self.cluster.start(self.first)
        self.cluster.start(self.second)
        self.until(lambda: self.cluster.leader() is not None)
        self.cluster.start(self.old, OlderProgram)
        self.run(1.0)

    def run(self, seconds: float) -> None:
        self.world.run_until(self.world.now + seconds)

    def until(self, so: Callable[[], bool]) -> None:
        for _ in range(400):
            if so():
                return
            self.run(0.05)
        raise AssertionError("it never came to that")

    def ask(self, command: AnyCommand, name: str) -> Outcome:
        """Have the leader take a command in, and return how it ended."""
        leader, ends = self.cluster.leader(), list[Outcome]()
        assert leader is not None
        assert leader.name != self.old
        self.cluster.propose(leader.name, Proposal.of(command, name, ends.append))
        self.until(lambda: bool(ends))
        return ends[0]

    def digests(self) -> set[str]:
        engines = [host.engine for host in self.cluster.hosts.values()]
        return {engine.replica.digest() for engine in engines if engine}


def obeyed(outcome: Outcome) -> bool:
    return isinstance(outcome, Applied) and decode_reply(outcome.reply).code is Code.OK


def test_what_an_older_node_does_not_know_is_not_proposed_while_it_is_heard() -> None:
    """It would stop, and with it perhaps the majority."""
    world = World(11)
    with world.installed():
        made = Upgrade(world)
        refused = made.ask(NEWER, "too early")
        assert isinstance(refused, OlderNodesError)
        assert refused.nodes == (made.old,)
        assert refused.retriable
        assert obeyed(made.ask(Barrier(), "known to all"))
        made.cluster.kill(made.old, power=False)
        made.cluster.start(made.old)
        made.run(1.0)
        assert obeyed(made.ask(NEWER, "when all are of one program"))
        made.run(1.0)
        assert len(made.digests()) == 1
        assert made.history.broken == []


def test_an_older_node_that_was_away_stops_at_what_it_does_not_know_and_catches_up_later() -> None:
    """It refused the entry and went on before: from there its state was another."""
    world = World(12)
    with world.installed():
        made = Upgrade(world)
        made.cluster.kill(made.old, power=False)
        made.run(HEARD_S + 1.0)
        assert obeyed(made.ask(NEWER, "while it is away"))
        made.cluster.start(made.old, OlderProgram)
        made.until(lambda: made.cluster.hosts[made.old].engine is None)
        (told,) = made.history.broken
        assert told.startswith(f"{made.old}: UnsupportedVersionError: command.op must be")
        assert obeyed(made.ask(Barrier(), "the others go on"))
        made.cluster.start(made.old, OlderProgram)
        made.until(lambda: made.cluster.hosts[made.old].engine is None)
        made.cluster.start(made.old)
        made.run(2.0)
        assert made.cluster.hosts[made.old].engine is not None
        assert len(made.digests()) == 1
        assert list(checkers.no_divergence(made.history)) == []
