"""A road with a fleet: four fetch workers, three coordinators, a source with bad days."""

import asyncio
import os
import signal
from collections import Counter
from collections.abc import AsyncIterator, Collection, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import yaml

from avro_schemas import BarChunk, ConformanceReport, Verdict
from bars.series import Series
from bars.window import Window, covered
from ops.deadletters import Filters
from ops.stack import LocalStack
from ops.stack.fleet import NodePorts
from runtime import Settings, SystemClock
from sources.testing import calls_of
from tests.faults.processes import PATIENCE_S, Agent, Places, RoadError
from tests.faults.road import Road
from topics import (
    Catalogue,
    Codec,
    RawMessage,
    Registry,
    Tail,
    Topic,
    bounds,
    deadletter_info,
    partition_of,
    read_to_end,
)
from worker.kafka import StoreLedger

NODES = 3
WORKERS = 4
TTL_MS = 10_000
"""Holders stop five seconds before the end, so that half of it is for working."""

NEVER_MS = 600_000
"""As long as a lazy worker thinks that leases live: it looks after them every 37 s."""

CLOCKS_S = 0.1
"""A source's answer and the end of its lease are noted by two processes."""


@dataclass(frozen=True, slots=True)
class Grant:
    """A lease as the log tells of it."""

    token: int
    session_id: str
    node: str
    window: Window


class FleetRoad(Road):
    """Its agents are conform, materialize, `coordinator-N` and `worker-N`."""

    def __init__(self, stack: LocalStack, folder: Path, *, seed: int) -> None:
        self.seed = seed
        self.ports = NodePorts.free(NODES)
        super().__init__(stack, folder)

    def _config(self, session_ms: int) -> dict[str, object]:
        made: dict[str, Any] = super()._config(session_ms)
        made["backfill"] |= {"lease_ttl_ms": TTL_MS, "retry_backoff_ms": 100, "max_attempts": 20}
        options = made["sources"]["truth"]["options"]
        flaky = {"kind": "python", "fetcher": "sources.testing:FlakyFiles"}
        sources = {**made["sources"], "flaky": {**flaky, "options": {**options, "seed": self.seed}}}
        node = {"interval": "1m", "sources": list(sources), "calendar": "24/7"}
        section = self.ports.settings()
        return made | {
            "sources": sources,
            "nodes": dict.fromkeys(self.truth, node),
            "coordinator": {
                "urls": list(section.urls),
                "peers": list(section.peers),
                "data_dir": str(self.places.folder / "coordinator"),
            },
        }

    def _hire(self) -> dict[str, Agent]:
        made = {role: Agent(self.places, role) for role in ("conform", "materialize")}
        for number in range(1, NODES + 1):
            words = ["coordinator", "--node", str(number)]
            made[f"coordinator-{number}"] = Agent(self.places, "coordinator", number, words)
        for number in range(1, WORKERS + 1):
            made[f"worker-{number}"] = Agent(self.places, "worker", number)
        return made

    @property
    def workers(self) -> list[Agent]:
        """Those that fetch."""
        return [agent for agent in self.agents.values() if agent.role == "worker"]

    async def leader(self) -> int:
        """Return which coordinator leads, from 1."""
        async with httpx.AsyncClient(trust_env=False, timeout=2) as http:
            for _ in range(100):
                for number, url in enumerate(self.ports.settings().urls, 1):
                    try:
                        # Only the leader can see to it that nothing was missed.
                        answer = await http.get(f"{url}/v1/jobs", params={"job_id": "none"})
                    except httpx.TransportError:
                        continue
                    if answer.status_code in {200, 404} and "reply" in answer.json():
                        return number
                await asyncio.sleep(0.1)
        raise RoadError(f"nobody leads\n{self.tails()}")

    async def ratio(self) -> float:
        """Return the completion ratio of everything that is wanted now."""
        url = self.ports.settings().urls[await self.leader() - 1]
        async with httpx.AsyncClient(trust_env=False, timeout=5) as http:
            text = (await http.get(f"{url}/metrics")).text
        found = [
            float(line.rpartition(" ")[2])
            for line in text.splitlines()
            if line.startswith("backfill_completion_ratio")
        ]
        return min(found, default=1.0)

    async def events(self, number: int) -> list[Mapping[str, Any]]:
        """Return everything that one coordinator has seen happen since it was started last.

        Raises:
            RoadError: There was too much of it.
        """
        url, start = self.ports.settings().urls[number - 1], 0
        found: list[Mapping[str, Any]] = []
        async with httpx.AsyncClient(trust_env=False, timeout=5) as http:
            while True:
                answer = await http.get(f"{url}/v1/watch", params={"from": start, "limit": 1_000})
                page = answer.json()
                if page["gap"]:
                    raise RoadError(f"coordinator {number} has forgotten events")
                found += page["events"]
                if page["next"] <= start or not page["events"]:
                    return found
                start = page["next"]

    def sleeper(self) -> Agent:
        """Return one more worker, which looks after its leases hardly ever."""
        text = yaml.safe_load(self.places.config.read_text("utf-8"))
        text["backfill"]["lease_ttl_ms"] = NEVER_MS
        lazy = self.places.folder / "lazy"
        lazy.mkdir(exist_ok=True)
        (lazy / "seamless.yaml").write_text(yaml.safe_dump(text), "utf-8")
        return Agent(Places(lazy), "worker", WORKERS + 1)

    async def until_held(self, node: str, pid: int) -> list[int]:
        """Return the tokens under which a worker asks its source for a node, once there are some.

        It is known by its process in the name that it has in the lease service.
        """
        for _ in range(int(PATIENCE_S / 0.2)):
            events = await self.events(await self.leader())
            live = live_of(events, node).values()
            found = [grant.token for grant in live if f":{pid}:" in grant.session_id]
            if found:
                return found
            await asyncio.sleep(0.2)
        raise RoadError(f"worker {pid} holds nothing of {node}\n{self.tails()}")

    async def until_all_done(self, node: str) -> None:
        """Return when all windows of a node are done for the lease service."""
        for _ in range(int(PATIENCE_S / 0.2)):
            events = await self.events(await self.leader())
            done = [
                Window(*event["window"])
                for event in events
                if event["event"] == "window_done" and event["target"]["series"]["node"] == node
            ]
            if covered(self.window, done):
                return
            await asyncio.sleep(0.2)
        raise RoadError(f"not all of {node} is done\n{self.tails()}")

    async def until_judged(self, series: Series) -> None:
        """Return when a worker would say that every chunk of a series is judged and visible."""
        chunks = Catalogue.of(self.settings.kafka).chunks.name
        partition = partition_of(series.key, self.settings.kafka.partitions)
        end = (await asyncio.to_thread(bounds, self.settings.kafka, (chunks,)))[
            chunks, partition
        ].end
        with self.store() as store:
            async with codec_of(self.settings) as codec:
                ledger = StoreLedger(store.ledger, self.settings.kafka, codec, SystemClock())
                for _ in range(int(PATIENCE_S / 0.2)):
                    if await ledger.judged(series) >= end:
                        return
                    await asyncio.sleep(0.2)
        raise RoadError(f"chunks of {series} below {end} are not told as visible\n{self.tails()}")

    async def letters(self, error_class: str, count: int) -> list[tuple[int, str]]:
        """Return token and node of so many dead letters of a class."""
        topics = Catalogue.of(self.settings.kafka)
        filters = Filters(error_class=error_class)
        async with codec_of(self.settings) as codec:
            for _ in range(int(PATIENCE_S / 0.5)):
                found = await asyncio.to_thread(_everything, self.settings, topics.deadletter)
                chunks = [
                    await codec.decode(topics.chunks, message.value)
                    for message in found
                    if (info := deadletter_info(message)) is not None and filters.mean(info, "")
                ]
                told = [(c.lease_token, c.node_id) for c in chunks if isinstance(c, BarChunk)]
                if len(told) >= count:
                    return told
                await asyncio.sleep(0.5)
        raise RoadError(f"no {count} letters of class {error_class}\n{self.tails()}")

    async def verdicts(self, tokens: Collection[int]) -> list[Verdict]:
        """Return the verdicts on the chunks of some leases."""
        topics = Catalogue.of(self.settings.kafka)
        found: list[Verdict] = []
        async with codec_of(self.settings) as codec:
            for message in await asyncio.to_thread(_everything, self.settings, topics.reports):
                report = await codec.decode(topics.reports, message.value)
                if isinstance(report, ConformanceReport) and report.lease_token in tokens:
                    found.append(report.verdict)
        return found

    def check_leases(self, events: list[Mapping[str, Any]], node: str) -> int:
        """Check that each window of a node was asked for by one live lease at a time.

        Returns:
            How many leases there were.

        Raises:
            RoadError: Two leases overlapped, or there were more calls than leases.
        """
        grants: list[Grant] = []
        live_of(events, node, grants)
        calls = [call for call in calls_of(self.places.calls) if call["node"] == node]
        no_two_at_once(calls)
        held = Counter(grant.window for grant in grants)
        asked = Counter(Window(call["start"], call["end"]) for call in calls)
        for window, count in asked.items():
            if count > held[window]:
                raise RoadError(f"{node} {window}: {count} calls under {held[window]} leases")
        return len(grants)


@asynccontextmanager
async def codec_of(settings: Settings) -> AsyncIterator[Codec]:
    """Open a codec."""
    registry = Registry(settings.registry)
    try:
        yield Codec(registry, SystemClock())
    finally:
        await registry.close()


def _everything(settings: Settings, topic: Topic) -> list[RawMessage]:
    """Return every record of a topic."""
    found: list[RawMessage] = []
    with Tail(settings.kafka, (topic.name,), 1_000_000) as tail:
        for batch in read_to_end(tail, SystemClock()):
            found += batch
    return found


def live_of(
    events: list[Mapping[str, Any]], node: str, every: list[Grant] | None = None
) -> dict[int, Grant]:
    """Return the leases of a node that are in force, by token; add all there were to `every`.

    Raises:
        RoadError: One was granted while another of an overlapping window was in force, or with a
            token that is not above all before.
    """
    live: dict[int, Grant] = {}
    last = 0
    for event in events:
        lease = event.get("lease")
        if lease is None or lease["target"]["series"]["node"] != node:
            continue
        token, window = lease["token"], Window(*lease["window"])
        if event["event"] == "lease_ended":
            live.pop(token, None)  # granted before this coordinator was started
            continue
        if token <= last:
            raise RoadError(f"token {token} was granted after {last}")
        last = token
        for other in live.values():
            if other.window.intersect(window):
                raise RoadError(f"{node} {window}: lease {token} while {other.token} was in force")
        live[token] = Grant(token, lease["session_id"], node, window)
        if every is not None:
            every.append(live[token])
    return live


def no_two_at_once(calls: list[dict[str, Any]]) -> None:
    """Check that no window was asked for twice at the same time."""
    calls.sort(key=lambda call: call["began_s"])
    for number, call in enumerate(calls):
        for later in calls[number + 1 :]:
            if later["began_s"] > call["ended_s"] - CLOCKS_S:
                break
            if Window(call["start"], call["end"]).intersect(Window(later["start"], later["end"])):
                raise RoadError(f"asked for at the same time: {call} and {later}")


def kill(agent: Agent) -> int:
    """End a process at once; return its id. Its supervisor starts another."""
    pid = agent.pid
    os.kill(pid, signal.SIGKILL)
    return pid
