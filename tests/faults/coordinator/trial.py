"""Three nodes, the ways between them, a load on them, and what must hold in the end."""

import asyncio
import json
import math
import os
import time
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import httpx

from coordinator.recovery.offline import SnapshotReport, verify_snapshot
from runtime.clock import Clock, SystemClock
from tests.faults.coordinator.evidence import Logs
from tests.faults.coordinator.links import Links, links_between
from tests.faults.coordinator.load import SESSION_TTL_MS, Heard, Load, load_on
from tests.faults.coordinator.nodes import Cluster, How, cluster
from tests.faults.coordinator.victim import FAULT, LINKS, Fault
from tests.simulation.checkers import violations
from tests.simulation.history import Ending, History

NODES = 3
WORKERS = 6
LEASE_TTL_MS = 12_000
"""Long: a lease must be in force up to 5 s before its end, and that must be long enough to say
something."""

EQUAL_S = 5.0
ANSWERS = 100
RESUME_S = 2.0
ASK_S = 2.0
ANSWER_S = 20.0
"""Longer than a node waits for its log."""

LOOK_S = 0.02
VICTIM = "tests.faults.coordinator.victim"


class TrialError(AssertionError):
    """Something did not hold."""


@dataclass(kw_only=True)
class Trial:
    """A cluster under load to which something happens."""

    nodes: Cluster
    links: Links
    http: httpx.AsyncClient
    load: Load
    history: History
    logs: Logs

    @property
    def heard(self) -> Heard:
        """What the workers were told."""
        return self.load.heard

    def fault(self, number: int, fault: Fault) -> None:
        """Have something go wrong in a node from now on."""
        write_fault(self.nodes, number, fault)

    async def begin(self) -> None:
        """Start everything; return when the first lease has been granted."""
        began = time.monotonic()
        await self.start(*self.nodes.numbers)
        await self.load.start()
        await self.served(began)

    async def start(self, *numbers: int) -> None:
        """Start nodes and wait until they are ready."""
        for number in numbers:
            self.nodes.start(number)
        await self.nodes.ready(*numbers)

    async def status(self, number: int) -> dict[str, Any]:
        """Return what a node says of itself; empty: it says nothing."""
        url = self.nodes.urls[number - 1]
        try:
            answer = await self.http.get(f"{url}/v1/state?read=local")
        except httpx.HTTPError:
            return {}
        found: dict[str, Any] = answer.json()
        return found

    async def leader(self, *but: int, within_s: float = 10.0) -> tuple[int, int]:
        """Return the node that leads, another than some, and its term."""
        others = [number for number in self.nodes.numbers if number not in but]
        async with asyncio.timeout(within_s):
            while True:
                told = {number: await self.status(number) for number in others}
                leads = [n for n, told in told.items() if told and told["node"]["is_leader"]]
                if leads:
                    leader = max(leads, key=lambda number: int(told[number]["node"]["term"]))
                    return leader, int(told[leader]["node"]["term"])
                await asyncio.sleep(LOOK_S)

    async def ask(self, number: int, name: object) -> int:
        """Ask one node for a lease as a worker would; return the term in which it was granted.

        0: it was not. Whoever asks here has nothing to do with the windows that it gets.
        """
        try:
            answer = await self.http.post(
                f"{self.nodes.urls[number - 1]}/v1/leases:acquire",
                json={"session_id": "w0", "limit": 1},
                headers={"Idempotency-Key": f"asked-{number}-{name}"},
                timeout=ANSWER_S,
            )
        except httpx.HTTPError:
            return 0
        granted = answer.status_code == httpx.codes.OK and answer.json()["reply"]["leases"]
        return int(answer.json()["term"]) if granted else 0

    async def served(self, after: float, term: int = 0) -> float:
        """Return how long after a time a lease was granted again."""
        return await self.heard.granted(after, term) - after

    async def longest_wait(self, begin: float, end: float) -> float:
        """Return the longest time from one to another in which no worker was granted anything."""
        last, longest = begin, 0.0
        while last < end:
            now = await self.heard.granted(last)
            longest, last = max(longest, now - last), now
        return longest

    @property
    def equal_s(self) -> float:
        """How long after healing all nodes were equal."""
        assert self.history.equal_after_s is not None
        return self.history.equal_after_s

    async def prove(self, healed: float) -> None:
        """End the load and check that all held.

        Args:
            healed: When the last fault ended, monotonic.

        Raises:
            TrialError: Something did not; with the seed.
        """
        await self.served(healed)
        self.history.served_after_heal = True
        await self.heard.worked(ANSWERS)
        await self.load.end()
        found = await self._equal(healed)
        self.logs.read(time.monotonic(), found.index)
        require(self.logs.digest() == found.digest, "the logs give another state than the nodes")
        for number, process in self.nodes.running.items():
            if process.poll() is not None:
                self.history.broken.append(f"node-{number}: {self.nodes.log(number)[-2_000:]}")
        lost = [told for worker in self.load.workers for told in worker.lost]
        require(
            not lost, f"leases were lost before their holders had to stop: {'; '.join(lost[:5])}"
        )
        broken = violations(self.history)
        require(not broken, "\n".join(broken))
        require(set(self.nodes.running) == set(self.nodes.numbers), "not every node runs")

    async def _equal(self, healed: float) -> SnapshotReport:
        """Return what the nodes hold when all hold the same."""
        while True:
            states = await asyncio.gather(*(self.state(number) for number in self.nodes.numbers))
            took = time.monotonic() - healed
            if states[0] and len(set(states)) == 1:
                break
            require(took < EQUAL_S, f"not equal after {took:.1f} s")
            await asyncio.sleep(LOOK_S)
        leader, _ = await self.leader()
        self.history.equal_after_s = took
        # The same bytes on all of them; the state in them is one.
        found = verify_snapshot(states[0])
        self.history.endings = [
            Ending(
                node=f"node-{number}",
                applied=found.index,
                digest=found.digest,
                leads=number == leader,
            )
            for number in self.nodes.numbers
        ]
        return found

    async def state(self, number: int) -> bytes:
        """Return all that a node holds; nothing: it does not say."""
        try:
            answer = await self.http.get(f"{self.nodes.urls[number - 1]}/v1/admin/snapshot")
        except httpx.HTTPError:
            return b""
        return answer.content if answer.status_code == httpx.codes.OK else b""


def p99(values: Sequence[float]) -> float:
    """Return what 99 in a hundred values do not exceed."""
    return sorted(values)[math.ceil(len(values) * 0.99) - 1]


def require(held: object, told: str) -> None:
    """Raise unless it holds."""
    if not held:
        raise TrialError(told)


async def until(condition: Callable[[], bool], told: str, within_s: float = 10.0) -> None:
    """Return when something holds that nobody tells of.

    Raises:
        TrialError: It does not in that time.
    """
    end = time.monotonic() + within_s
    while not condition():
        require(time.monotonic() < end, f"not within {within_s} s: {told}")
        await asyncio.sleep(LOOK_S)


def write_fault(nodes: Cluster, number: int, fault: Fault) -> Path:
    """Tell a node's process what goes wrong; return the file that says so."""
    file = nodes.folder / f"{number}.fault"
    part = file.with_suffix(".part")
    part.write_text(json.dumps(asdict(fault)), "utf-8")
    part.replace(file)
    return file


@asynccontextmanager
async def trial(
    folder: Path,
    seed: int,
    *,
    faults: Sequence[Fault] = (Fault(),) * NODES,
    victims: bool = True,
    clocks: Sequence[Clock] = (SystemClock(),) * WORKERS,
    way: Callable[[], httpx.AsyncBaseTransport] = httpx.AsyncHTTPTransport,
    start: bool = True,
) -> AsyncGenerator[Trial]:
    """Have three nodes ready and a load that works.

    Args:
        folder: For everything.
        seed: Of the load; printed.
        faults: What goes wrong in each node from the beginning.
        victims: Whether faults can be told to nodes and ways between them be cut; else each is
            exactly what `python -m coordinator` is.
        clocks: Of the workers.
        way: Makes what the workers' requests go by.
        start: Whether to begin; else `begin` does.
    """
    print(f"seed {seed}; what the load does again: python -m tests.faults --seed {seed}")
    history = History(lease_ttl_s=LEASE_TTL_MS / 1_000, session_ttl_s=SESSION_TTL_MS / 1_000)
    limits = httpx.Limits(max_keepalive_connections=0)
    with cluster(folder, NODES) as nodes:
        nodes.configure(backfill={"lease_ttl_ms": LEASE_TTL_MS})
        async with (
            links_between(nodes.peers) as links,
            httpx.AsyncClient(limits=limits, timeout=ASK_S, trust_env=False) as http,
            load_on(nodes.urls, Heard(history), seed, clocks, way) as load,
        ):
            if victims:
                for number, fault in enumerate(faults, 1):
                    told = write_fault(nodes, number, fault)
                    environ = {FAULT: os.fspath(told), LINKS: json.dumps(links.of(number))}
                    nodes.how[number] = How(module=VICTIM, environ=environ)
            folders = {f"node-{number}": nodes.data(number) for number in nodes.numbers}
            logs = Logs(folders, history, time.monotonic())
            made = Trial(nodes=nodes, links=links, http=http, load=load, history=history, logs=logs)
            if start:
                await made.begin()
            yield made
