"""The replicated lease service under chance; a failing seed is told with the command for it.

Two processes: the machine that tests run on has two cores. `make simulate SEEDS=10000` runs more.
"""

import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator

import pytest

from tests.simulation.builds import BROKEN, Build
from tests.simulation.cluster import Cluster
from tests.simulation.nodes import new_history
from tests.simulation.run import Report, simulate, simulate_many
from tests.simulation.workers import Burst
from tests.simulation.world import World

SEEDS = 200
PROCESSES = 2


@pytest.mark.timeout(600)
def test_two_hundred_seeds_show_nothing() -> None:
    """No divergence, nothing acknowledged lost, no token twice, one live lease, equal in 5 s."""
    happened: Counter[str] = Counter()
    for told, counts in simulate_many(range(SEEDS), PROCESSES):
        assert told is None, told
        happened += counts
    print(dict(happened))
    # A run in which nothing happens shows nothing.
    for what in ("answered", "burst answered", "claimed", "restored", "late entry", "disk failed"):
        assert happened[what] > SEEDS / 2, what
    assert happened["power in a write"] > SEEDS


@pytest.mark.parametrize("build", BROKEN, ids=lambda build: build.name)
def test_a_broken_build_is_caught(build: Build) -> None:
    """Within 200 seeds by the same checkers: else 200 good seeds would mean nothing."""
    assert any(report.violations for report in _runs(build))


def _runs(build: Build) -> Iterator[Report]:
    for seed in range(SEEDS):
        report = simulate(seed, build)
        yield report
        if report.violations:
            print(report)


def test_a_seed_is_the_same_run_in_every_process() -> None:
    """Else the number that a failure prints would replay something else."""
    code = (
        "from tests.simulation.run import simulate\n"
        "seen = simulate(7).history.applications\n"
        "print([(a.node, a.index, a.entry, a.now) for a in seen])"
    )
    seen = {
        subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert len(seen) == 1


@pytest.mark.parametrize("tail", [200, 1_000])
def test_a_leader_that_comes_back_with_a_long_tail_holds_nobody_up(tail: int) -> None:
    """PySyncObj steps back one entry a heartbeat: 1,000 entries of another leader took 64 s."""
    world = World(tail)
    history = new_history()
    with world.installed():
        cluster = Cluster(world, 3, history, compact=100_000)
        burst = Burst(cluster, history)
        for name in cluster.names:
            cluster.start(name)
        old = _lead(world, cluster)
        others = [name for name in cluster.names if name != old]
        for other in others:
            cluster.network.cut(old, other)
            cluster.network.cut(other, old)
        burst.send(old, tail)
        world.run_until(world.now + 3.0)
        new = _lead(world, cluster, but=old)
        burst.send(new, 300)
        world.run_until(world.now + 2.0)
        lengths = {n: h.engine.journal.last_index for n, h in cluster.hosts.items() if h.engine}
        assert lengths[old] > tail
        assert lengths[new] > 300
        # The leader of the majority dies, and the old one comes back.
        cluster.kill(new, power=True)
        for other in others:
            cluster.network.heal(old, other)
        began, answered = world.now, history.counts["burst answered"]
        while history.counts["burst answered"] == answered:
            world.run_until(world.now + 0.05)
            leader = cluster.leader()
            if leader is not None:
                burst.send(leader.name, 1)
            assert world.now - began < 2.0, "no command was committed in time"


def _lead(world: World, cluster: Cluster, but: str = "") -> str:
    """Return the node that leads, when one does."""
    for _ in range(400):
        world.run_until(world.now + 0.05)
        leader = cluster.leader()
        if leader is not None and leader.name != but:
            return leader.name
    raise AssertionError("nobody leads")
