"""One seed from beginning to end: faults, healing, five seconds of grace, the checks."""

import multiprocessing
from collections import Counter
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial

from tests.simulation.builds import BUILDS, HONEST, Build
from tests.simulation.checkers import violations
from tests.simulation.cluster import Cluster
from tests.simulation.faults import Faults
from tests.simulation.history import Ending, History
from tests.simulation.nodes import new_history
from tests.simulation.workers import Burst, Client, older_life, planner_life, worker_life
from tests.simulation.world import World

FAULTS_S = 10.0
GRACE_S = 5.0
WORK_S = FAULTS_S + 3.0
"""Workers go on after healing: there must be somebody who is served."""

LOOK_S = 0.02
WORKERS = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What one seed has shown."""

    seed: int
    build: str
    violations: list[str]
    history: History

    def __str__(self) -> str:
        found = "\n  ".join(self.violations)
        return (
            f"seed {self.seed} of the {self.build} build:\n  {found}\n"
            f"replay: python -m tests.simulation --first {self.seed} --seeds 1"
        )


def simulate(seed: int, build: Build = HONEST) -> Report:
    """Run one seed."""
    world = World(seed)
    shape = world.chance("shape")
    nodes = shape.choice((3, 3, 3, 3, 3, 3, 5, 1))
    history = new_history()
    with world.installed():
        cluster = Cluster(world, nodes, history, build, compact=shape.choice((40, 120, 10_000)))
        for name in cluster.names:
            cluster.start(name)
        clients = [Client(cluster, f"w{number}", history) for number in range(WORKERS)]
        for client in clients:
            client.live(worker_life(client, cluster, WORK_S))
        planner = Client(cluster, "planner", history)
        planner.live(planner_life(planner, cluster, WORK_S))
        older = Client(cluster, "older", history)
        older.live(older_life(older, cluster, WORK_S))
        Faults(cluster, Burst(cluster, history), FAULTS_S)
        world.run_until(WORK_S)
        while world.now < FAULTS_S + GRACE_S and history.equal_after_s is None:
            world.run_until(world.now + LOOK_S)
            if _equal(cluster):
                history.equal_after_s = world.now - FAULTS_S
        for client in (*clients, planner, older):
            client.stop()
        history.endings = [_ending(cluster, name) for name in cluster.names]
    history.served_after_heal = any(
        op.reply is not None and op.called >= FAULTS_S for op in history.ops
    )
    history.count(f"{nodes} nodes")
    return Report(seed=seed, build=build.name, violations=violations(history), history=history)


def _equal(cluster: Cluster) -> bool:
    applied = set()
    for host in cluster.hosts.values():
        if host.engine is None:
            return False
        applied.add((host.engine.core.raftLastApplied, host.engine.journal.last_index))
    (one, *others) = applied
    leader = cluster.leader()
    return not others and one[0] == one[1] and leader is not None


def _ending(cluster: Cluster, name: str) -> Ending:
    engine = cluster.hosts[name].engine
    if engine is None:
        return Ending(node=name, applied=0, digest="down", leads=False)
    return Ending(
        node=name,
        applied=engine.core.raftLastApplied,
        digest=engine.replica.digest(),
        leads=engine.status.is_leader,
    )


def simulate_many(
    seeds: Iterable[int], processes: int, build: str = HONEST.name
) -> Iterator[tuple[str | None, Counter[str]]]:
    """Run seeds in so many processes.

    Yields:
        What a seed has shown, None if nothing, and what happened in it; in the order of the seeds.
    """
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(processes, mp_context=context) as pool:
        yield from pool.map(partial(_told, build), seeds, chunksize=4)


def _told(build: str, seed: int) -> tuple[str | None, Counter[str]]:
    report = simulate(seed, BUILDS[build])
    return (str(report) if report.violations else None), Counter(report.history.counts)
