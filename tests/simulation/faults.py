"""What goes wrong, when: drawn by chance, healed at a time."""

import errno
from collections.abc import Callable

from tests.simulation.cluster import Cluster
from tests.simulation.workers import Burst

PAUSE_S = (0.01, 1.0)
"""Between two faults; as often below a tenth of a second as above."""

DOWN_S = (0.05, 1.5)

BURST = 0.4
"""Chance that a fault finds many commands on their way."""

HALF = 0.5

BACK = 0.2
"""Chance, at each fault, that a node that is down is started."""


class Faults:
    """Has things go wrong until a time, and then has all of it end."""

    def __init__(self, cluster: Cluster, burst: Burst, until: float) -> None:
        self._cluster = cluster
        self._burst = burst
        self._world = cluster.world
        self._chance = cluster.world.chance("faults")
        self._until = until
        self._weights: dict[Callable[[str], None], int] = {
            self._power_lost: 4,
            self._killed: 2,
            self._power_lost_in_a_write: 4,
            self._power_lost_everywhere: 1,
            self._disk_fails: 1,
            self._cut: 4,
            self._cut_one_way: 3,
            self._cut_off: 3,
            self._heal: 4,
            self._freeze: 2,
            self._hand_over: 1,
            self._late_entries: 4,
        }
        self._next()

    def _next(self) -> None:
        low, high = PAUSE_S
        when = self._world.now + low * (high / low) ** self._chance.random()
        self._world.at(min(when, self._until), self._act)

    def _act(self) -> None:
        if self._world.now >= self._until:
            self._heal_all()
            return
        for name in self._cluster.names:
            if self._chance.random() < BACK:
                self._back(name)
        (act,) = self._chance.choices(list(self._weights), list(self._weights.values()))
        self._cluster.history.count(f"fault: {act.__name__.strip('_')}")
        leader = self._cluster.leader()
        if leader is not None and self._chance.random() < BURST:
            self._burst.send(leader.name, self._chance.randrange(1, 12))
        # At once, in the middle of what that began, or just behind it.
        self._world.after(self._chance.choice((0.0, 0.002, 0.01)), lambda: self._do(act))
        self._next()

    def _do(self, act: Callable[[str], None]) -> None:
        if self._world.now < self._until:
            act(self._victim())

    def _power_lost(self, name: str) -> None:
        self._cluster.kill(name, power=True)
        self._back_later(name)

    def _killed(self, name: str) -> None:
        self._cluster.kill(name, power=False)
        self._back_later(name)

    def _power_lost_everywhere(self, name: str) -> None:
        del name
        for each in self._cluster.names:
            self._power_lost(each)

    def _power_lost_in_a_write(self, name: str) -> None:
        disk = self._cluster.hosts[name].disk
        disk.dark_at = disk.steps + self._chance.randrange(1, 12)
        self._back_later(name)

    def _disk_fails(self, name: str) -> None:
        disk = self._cluster.hosts[name].disk
        disk.error = self._chance.choice((errno.EIO, errno.ENOSPC))
        disk.error_at = disk.steps + self._chance.randrange(1, 12)
        self._back_later(name)

    def _cut(self, name: str) -> None:
        for one, other in self._ends(name):
            self._cluster.network.cut(one, other)
            self._cluster.network.cut(other, one)

    def _cut_one_way(self, name: str) -> None:
        for one, other in self._ends(name):
            self._cluster.network.cut(one, other)

    def _ends(self, name: str) -> list[tuple[str, str]]:
        """Return one of a node's links, from one end or the other; none if it is alone."""
        others = [other for other in self._cluster.names if other != name]
        if not others:
            return []
        other = self._chance.choice(others)
        return [(name, other) if self._chance.random() < HALF else (other, name)]

    def _cut_off(self, name: str) -> None:
        for other in self._cluster.names:
            if other != name:
                self._cluster.network.cut(name, other)
                self._cluster.network.cut(other, name)

    def _heal(self, name: str) -> None:
        del name
        for a, b in self._cluster.network.pairs:
            self._cluster.network.heal(a, b)

    def _freeze(self, name: str) -> None:
        seconds = self._chance.uniform(0.2, 3.0)
        self._cluster.freeze(name, min(seconds, self._until - self._world.now))

    def _hand_over(self, name: str) -> None:
        engine = self._cluster.hosts[name].engine
        if engine is not None:
            engine.hand_over()

    def _victim(self) -> str:
        leader = self._cluster.leader()
        if leader is not None and self._chance.random() < HALF:
            return leader.name
        return self._chance.choice(self._cluster.names)

    def _late_entries(self, name: str) -> None:
        """What deposed leaders wrote reaches the leader's log after all, some of it twice."""
        del name
        leader = self._cluster.leader()
        if leader is None or leader.engine is None:
            return
        term = leader.engine.status.term
        old = [entry for written, entry in self._cluster.late[-60:] if written < term]
        for entry in old[-self._chance.randrange(1, 30) :]:
            self._cluster.append_late(leader, entry)

    def _back_later(self, name: str) -> None:
        self._world.after(self._chance.uniform(*DOWN_S), lambda: self._back(name))

    def _back(self, name: str) -> None:
        if self._cluster.hosts[name].engine is None:
            self._cluster.start(name)

    def _heal_all(self) -> None:
        cluster = self._cluster
        for a, b in cluster.network.pairs:
            cluster.network.heal(a, b)
        for name, host in cluster.hosts.items():
            host.frozen_until = min(host.frozen_until, self._world.now)
            host.disk.mend()
            self._back(name)
