"""Windows acquired and completed, with 16 clients, one node and three, every disk honest.

Beside it PySyncObj itself with a counter: two increments for each pair of commands, asked for by
threads of the process that leads, with nothing between them and the log. Ours come over HTTP from
another process, with sessions, leases, events and encryption between the nodes: once from sockets
that know the two requests by heart, which is what the service costs, once from its client, which
takes its share of the same machine. Both keep to one processor while they ask: the kernel would
let a client that an answer wakes go before the node that is about to send the next one. What other
work a machine has hits the one harder that needs more of it: so they take turns, many short ones,
and the middle of the ratios counts. Where it is busy, look at CPU for a pair too.
"""

import asyncio
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypeVar

import yaml

from bars.series import Series
from bars.window import Grid, Window
from benchmarks._lease_pairs import Pairs
from benchmarks._process import Measured, cpu_s
from coordinator.client import ClientOptions, DistributedBackfillCoordinator, JobSpec, SeriesLane
from ops.stack.fleet import NodePorts

T = TypeVar("T")

CLIENTS = 16
SECONDS = 1.5
ROUNDS = 13
WARM_S = 1.0
START_S = 60.0
END_S = 20.0
WINDOWS = 100_000
GOAL = 0.7
BARE, SOCKETS, CLIENT = "bare PySyncObj", "lease service", "lease service with its client"


@dataclass(frozen=True, slots=True)
class Figure:
    """One round."""

    pairs_s: float
    p50_ms: float
    p99_ms: float
    cpu_ms: float
    """CPU time of all processes for one pair."""


def figure(took_s: Sequence[float], seconds: float, used_s: float) -> Figure:
    """Return the figure of pairs that took so long each."""
    cuts = statistics.quantiles(took_s, n=100)
    pairs = len(took_s)
    return Figure(pairs / seconds, cuts[49] * 1_000, cuts[98] * 1_000, used_s * 1_000 / pairs)


async def run() -> None:
    """Measure in turn and print the ratios."""
    print(f"coordinator: acquire and complete, {CLIENTS} clients, fsync on", flush=True)
    for nodes in (1, 3):
        found: dict[str, list[Figure]] = {BARE: [], SOCKETS: [], CLIENT: []}
        async with AsyncExitStack() as stack:
            counter = stack.enter_context(_bare(nodes))
            service = await stack.enter_async_context(_service(nodes))
            measures = {
                BARE: counter.measure,
                SOCKETS: service.measure_sockets,
                CLIENT: service.measure_clients,
            }
            for measure in measures.values():
                await measure(WARM_S)
            for _ in range(ROUNDS):
                for name, measure in measures.items():
                    found[name].append(await measure(SECONDS))
        print(
            f"  {nodes} node(s), lease service: {service.entries_per_sync:.1f} entries for each "
            "wait for the disk of the node that leads",
            flush=True,
        )
        for name, figures in found.items():
            _line(f"{nodes} node(s), {name}", figures)
        for name in (SOCKETS, CLIENT):
            pairs = list(zip(found[name], found[BARE], strict=True))
            speeds = [ours.pairs_s / bare.pairs_s for ours, bare in pairs]
            slower = [ours.p99_ms / bare.p99_ms for ours, bare in pairs]
            goal = f", goal {GOAL}" if name == SOCKETS else ""
            print(
                f"  {nodes} node(s), {name} / {BARE}: pairs/s {statistics.median(speeds):.2f} "
                f"({min(speeds):.2f}-{max(speeds):.2f}{goal}), p99 "
                f"{statistics.median(slower):.1f}",
                flush=True,
            )


def _line(name: str, found: Sequence[Figure]) -> None:
    print(
        f"  {name}: {statistics.median(f.pairs_s for f in found):,.0f} pairs/s, p50 "
        f"{statistics.median(f.p50_ms for f in found):.1f} ms, p99 "
        f"{statistics.median(f.p99_ms for f in found):.1f} ms, CPU "
        f"{statistics.median(f.cpu_ms for f in found):.1f} ms a pair",
        flush=True,
    )


class _Bare:
    def __init__(self, processes: Sequence["subprocess.Popen[str]"]) -> None:
        self._processes = processes

    async def measure(self, seconds: float) -> Figure:
        """Have whoever leads measure."""
        before_s = self._cpu_s()
        for process in self._processes:
            assert process.stdin is not None
            process.stdin.write(f"{CLIENTS} {seconds}\n")
            process.stdin.flush()
        answers = await asyncio.gather(*(asyncio.to_thread(_answer, p) for p in self._processes))
        (took,) = [each for each in answers if each]
        return figure(took, seconds, self._cpu_s() - before_s)

    def _cpu_s(self) -> float:
        return sum(cpu_s(process.pid) for process in self._processes)


def _answer(process: "subprocess.Popen[str]") -> list[float]:
    assert process.stdout is not None
    found: list[float] = json.loads(process.stdout.readline())
    return found


@contextmanager
def _bare(nodes: int) -> Iterator[_Bare]:
    addresses = [f"127.0.0.1:{port}" for port in NodePorts.free(nodes).raft]
    processes = [
        subprocess.Popen(
            [
                *(sys.executable, "-m", "benchmarks.bare_raft", own),
                *(other for other in addresses if other != own),
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for own in addresses
    ]
    try:
        yield _Bare(processes)
    finally:
        for process in processes:
            _end(process)


def _end(process: subprocess.Popen[str]) -> None:
    """Let it end by itself, as it does with its input: it removes its folder then."""
    try:
        process.communicate(timeout=END_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()


class _Service:
    def __init__(
        self,
        nodes: Sequence[Measured],
        clients: Sequence[DistributedBackfillCoordinator],
        sockets: Sequence[Pairs],
        leader: str,
    ) -> None:
        self._nodes = nodes
        self._clients = clients
        self._sockets = sockets
        self._leader = leader
        self._entries, self._syncs = 0.0, 0.0

    @property
    def entries_per_sync(self) -> float:
        """Entries that shared a wait for the disk, on average of all measures."""
        return self._entries / self._syncs

    async def measure_clients(self, seconds: float) -> Figure:
        """Have every client take windows and complete them, one at a time."""
        return await self._measure(_client, self._clients, seconds)

    async def measure_sockets(self, seconds: float) -> Figure:
        """The same by sockets."""
        return await self._measure(_pairs, self._sockets, seconds)

    async def _measure(
        self,
        work: Callable[[T, str, float], Awaitable[list[float]]],
        workers: Sequence[T],
        seconds: float,
    ) -> Figure:
        disk = await asyncio.to_thread(self._disk)
        before_s, until_s = self._cpu_s(), time.monotonic() + seconds
        with _on_one_processor():
            took = await asyncio.gather(
                *(work(each, f"s{number}", until_s) for number, each in enumerate(workers))
            )
        used_s = self._cpu_s() - before_s
        entries, syncs = await asyncio.to_thread(self._disk)
        self._entries += entries - disk[0]
        self._syncs += syncs - disk[1]
        return figure([pair for own in took for pair in own], seconds, used_s)

    def _disk(self) -> tuple[float, float]:
        """Return how many entries the node that leads has, and how often it waited for its disk."""
        with urllib.request.urlopen(f"{self._leader}/metrics") as answer:
            lines = answer.read().decode().splitlines()
        names = ("coordinator_raft_applied_index ", "coordinator_raft_syncs_total ")
        entries, syncs = (
            next(float(line.split()[1]) for line in lines if line.startswith(name))
            for name in names
        )
        return entries, syncs

    def _cpu_s(self) -> float:
        return time.process_time() + sum(node.cpu_s() for node in self._nodes)


@contextmanager
def _on_one_processor() -> Iterator[None]:
    """Keep this thread to one processor, if there are several; what is started would inherit it."""
    usable = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {max(usable)})
    try:
        yield
    finally:
        os.sched_setaffinity(0, usable)


async def _client(
    client: DistributedBackfillCoordinator, session_id: str, until_s: float
) -> list[float]:
    took = []
    while (began_s := time.monotonic()) < until_s:
        (lease,) = await client.acquire(session_id, 1)
        await client.complete(lease)
        took.append(time.monotonic() - began_s)
    return took


async def _pairs(pairs: Pairs, _session_id: str, until_s: float) -> list[float]:
    return await pairs.measure(until_s)


def _leading(urls: Sequence[str]) -> tuple[str, int]:
    """Return host and port of the node that leads."""
    until_s = time.monotonic() + START_S
    while time.monotonic() < until_s:
        for url in urls:
            with urllib.request.urlopen(f"{url}/v1/state?read=local", timeout=START_S) as answer:
                leads = json.load(answer)["node"]["is_leader"]
            if leads:
                host, _, port = url.removeprefix("http://").partition(":")
                return host, int(port)
        time.sleep(0.1)
    raise TimeoutError(f"no node has led within {START_S} s")


@asynccontextmanager
async def _service(nodes: int) -> AsyncIterator[_Service]:
    section = NodePorts.free(nodes).settings()
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="seamless-bench-")))
        config = folder / "seamless.yaml"
        described = {"urls": list(section.urls), "peers": list(section.peers)}
        document = {"state_dir": str(folder), "coordinator": described}
        config.write_text(yaml.safe_dump(document), encoding="utf-8")
        ready = [folder / f"{number}.ready" for number in range(1, nodes + 1)]
        running = []
        for number, file in enumerate(ready, 1):
            words = ["-m", "coordinator", "--config", str(config), "--node", str(number)]
            words += ["--ready-file", str(file), "--log-level", "WARNING"]
            node = Measured(words, {}, folder / f"{number}.log")
            running.append(stack.enter_context(node))
        async with asyncio.timeout(START_S):
            while not all(file.exists() for file in ready):  # noqa: ASYNC110 - files tell nobody
                await asyncio.sleep(0.05)
        clients = [
            await stack.enter_async_context(
                DistributedBackfillCoordinator(section.urls, ClientOptions())
            )
            for _ in range(CLIENTS)
        ]
        for number, client in enumerate(clients):
            await client.open_session(f"s{number}", 3_600_000)
            await client.submit_job(_job(number))
        host, port = await asyncio.to_thread(_leading, section.urls)
        loop, sockets = asyncio.get_running_loop(), []
        for number in range(CLIENTS):
            _, pairs = await loop.create_connection(partial(Pairs, f"s{number}"), host, port)
            stack.callback(pairs.close)
            sockets.append(pairs)
        yield _Service(running, clients, sockets, f"http://{host}:{port}")


def _job(number: int) -> JobSpec:
    whole = Window(0, WINDOWS)
    return JobSpec(
        job_id=f"j{number}",
        target=SeriesLane(Series(f"bench:node-{number:02d}", 1), "bf:bench"),
        window=whole,
        missing=(whole,),
        grid=Grid(1),
        window_bars=1,
    )
