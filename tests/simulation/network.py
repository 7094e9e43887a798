"""Connections between nodes as TCP has them: in order on each, in any order between them.

A direction that is cut loses nothing by itself: what was sent waits, until the link heals or one of
the two has heard nothing for so long that it gives the connection up; then it is lost. For a while
one side may take a connection for alive that the other has given up.
"""

import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

from pysyncobj.node import Node
from pysyncobj.transport import Transport

from coordinator._service.raft.transport import SyncsFirst
from tests.simulation.world import World

SILENCE_S = (0.3, 1.2)
"""When a side that hears nothing gives a connection up."""

RECONNECT_S = (0.02, 0.25)


class SimNode(Node):  # type: ignore[misc]  # the library has no types
    """A node whose place in a set does not depend on the process."""

    def __hash__(self) -> int:
        return zlib.crc32(self.id.encode())


class Station(Protocol):
    """A node as the network sees it."""

    def receive(self, sender: str, message: Any) -> None:
        """Take a message."""
        ...

    def connected(self, peer: str, *, up: bool) -> None:
        """Learn that a connection stands or has ended."""
        ...


@dataclass(slots=True)
class _Link:
    """What two nodes have between them."""

    sides: tuple[str, str]
    up: set[str] = field(default_factory=set)
    """The sides that take the connection for alive."""

    number: int = 0
    """Of the connection: what was sent on an earlier one never arrives."""

    cut: set[str] = field(default_factory=set)
    """Senders whose messages do not get through."""

    last: dict[str, float] = field(default_factory=dict)
    held: dict[str, list[Any]] = field(default_factory=dict)

    def other(self, side: str) -> str:
        return self.sides[1] if side == self.sides[0] else self.sides[0]


class Network:
    """All links of a cluster."""

    def __init__(self, world: World, names: tuple[str, ...]) -> None:
        self._world = world
        self._chance = world.chance("network")
        self._stations: dict[str, Station] = {}
        self._links = {
            frozenset((a, b)): _Link((a, b)) for i, a in enumerate(names) for b in names[i + 1 :]
        }
        self.sent = 0
        self.may_send: Callable[[str], None] = lambda _: None
        """Called with who sends, before each message."""

    @property
    def pairs(self) -> list[tuple[str, str]]:
        """All links by their two ends."""
        return [link.sides for link in self._links.values()]

    def join(self, name: str, station: Station) -> None:
        """Put a node on the network; its links come up one after the other."""
        self._stations[name] = station
        for link in self._links_of(name):
            self._soon(link)

    def leave(self, name: str, *, told: bool) -> None:
        """Take a node off; its peers learn it at once from its machine, or when they miss it."""
        del self._stations[name]
        for link in self._links_of(name):
            link.up.discard(name)
            peer = link.other(name)
            delay = self._chance.uniform(0.001, 0.02) if told else self._chance.uniform(*SILENCE_S)
            self._give_up_after(link, peer, delay)

    def cut(self, sender: str, receiver: str) -> None:
        """Let nothing through in one direction."""
        link = self._links[frozenset((sender, receiver))]
        if sender not in link.cut:
            link.cut.add(sender)
            self._give_up_after(link, receiver, self._chance.uniform(*SILENCE_S))

    def heal(self, a: str, b: str) -> None:
        """Let everything through again."""
        link = self._links[frozenset((a, b))]
        if not link.cut:
            return
        link.cut.clear()
        for sender, held in link.held.items():
            for message in held:
                self._carry(link, sender, message)
        link.held = {}
        self._soon(link)

    def send(self, sender: str, receiver: str, message: Any) -> bool:
        """Send a message; False: the sender knows of no connection."""
        link = self._links[frozenset((sender, receiver))]
        if sender not in link.up:
            return False
        self.may_send(sender)
        self.sent += 1
        copy = {k: list(v) if isinstance(v, list) else v for k, v in message.items()}
        if sender in link.cut:
            link.held.setdefault(sender, []).append(copy)
        else:
            self._carry(link, sender, copy)
        return True

    def _carry(self, link: _Link, sender: str, message: Any) -> None:
        chance = self._chance
        slow = chance.random() < 0.01
        delay = chance.uniform(0.1, 0.6) if slow else chance.uniform(0.0005, 0.008)
        when = max(self._world.now + delay, link.last.get(sender, 0.0))
        link.last[sender] = when
        number = link.number

        def arrive() -> None:
            receiver = link.other(sender)
            if link.number == number and receiver in link.up:
                self._stations[receiver].receive(sender, message)

        self._world.at(when, arrive)

    def _links_of(self, name: str) -> list[_Link]:
        return [link for link in self._links.values() if name in link.sides]

    def _give_up_after(self, link: _Link, side: str, delay: float) -> None:
        number = link.number
        peer = link.other(side)

        def give_up() -> None:
            stands = peer in self._stations and peer in link.up and peer not in link.cut
            if link.number != number or side not in link.up or stands:
                return
            link.up.discard(side)
            link.held = {}
            self._stations[side].connected(peer, up=False)
            if side not in link.cut:
                self._give_up_after(link, peer, self._chance.uniform(0.001, 0.02))
            self._soon(link)

        self._world.after(delay, give_up)

    def _soon(self, link: _Link) -> None:
        def connect() -> None:
            alive = all(side in self._stations for side in link.sides)
            if not alive or link.cut or len(link.up) == len(link.sides):
                return
            link.number += 1
            link.held = {}
            link.last = {}
            for side in link.sides:
                if side in link.up:
                    # It had not noticed that the other one was gone.
                    self._stations[side].connected(link.other(side), up=False)
            link.up = set(link.sides)
            for side in link.sides:
                self._stations[side].connected(link.other(side), up=True)

        self._world.after(self._chance.uniform(*RECONNECT_S), connect)


def wire(network: Network) -> type[Transport]:
    """Return the transport of a network, as PySyncObj wants one: a class."""

    class _Bare(Transport):  # type: ignore[misc]  # the library has no types
        def __init__(self, syncObj: Any, selfNode: Node, otherNodes: Any) -> None:  # noqa: N803
            super().__init__(syncObj, selfNode, otherNodes)
            self._syncObj = syncObj
            self._me = selfNode.id

        def send(self, node: Node, message: Any) -> bool:
            return network.send(self._me, node.id, message)

    class Wire(SyncsFirst, _Bare):
        """The simulated transport: the disk first, as the real one."""

    return Wire
