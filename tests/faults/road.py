"""One road on the local stack: a scripted source, three agents as processes, and the truth."""

import asyncio
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import numpy as np
import yaml
from confluent_kafka import OFFSET_END, TopicPartition
from confluent_kafka.admin import AdminClient

import topics
from avro_schemas import BackfillRequest, BackfillStatus, RequestKind, RequestState
from bars.frame import BarFrame
from bars.series import Series
from bars.window import Window, covered
from ops.stack import LocalStack
from provider.backfills import BackfillRequests
from runtime import Settings, SystemClock
from sources.testing import calls_of, write_truth
from store import Dsn, Store
from tests.faults.processes import PATIENCE_S, Agent, Places, RoadError, until
from topics import Catalogue

MINUTE = 60
WINDOW_BARS = 300
WINDOWS = 16
"""Of each request; the source takes its time, so a fault falls into the middle."""

START = 1_700_000_040 - 1_700_000_040 % (WINDOW_BARS * MINUTE)
NODES = 40


class Road:
    """A source, topics, three agents and tables that nobody else uses."""

    def __init__(self, stack: LocalStack, folder: Path, session_ms: int = 6_000) -> None:
        self.stack = stack
        self.places = Places(folder)
        self.truth = {f"fault:node-{i:02d}:1m": _walk(i) for i in range(NODES)}
        write_truth(self.places.truth, self.truth)
        write_truth(self.places.second, self.truth)
        # The sources in their order: the first one's lane ranks highest.
        text = yaml.safe_dump(self._config(session_ms), sort_keys=False)
        self.places.config.write_text(text, encoding="utf-8")
        self.settings = Settings.load(self.places.config, {})
        self._requests = BackfillRequests(self.settings, SystemClock())
        self._fresh = iter(sorted(self.truth))
        self.agents = self._hire()

    def _hire(self) -> dict[str, Agent]:
        """Return the agents by name."""
        return {role: Agent(self.places, role) for role in ("conform", "materialize", "worker")}

    def _config(self, session_ms: int) -> dict[str, object]:
        addresses, name = self.stack.addresses, f"f{secrets.token_hex(3)}"
        options = {
            "truth": str(self.places.truth),
            "calls": str(self.places.calls),
            "hold": str(self.places.hold),
            "delay_s": 0.25,
        }
        scripted = {"kind": "python", "fetcher": "sources.testing:ScriptedFiles"}
        sources = {
            "truth": {**scripted, "options": options},
            "second": {**scripted, "options": {**options, "truth": str(self.places.second)}},
        }
        node = {"interval": "1m", "sources": ["truth", "second"], "calendar": "24/7"}
        return {
            "kafka": {
                "bootstrap": addresses.bootstrap,
                "prefix": f"{name}.",
                "session_timeout_ms": session_ms,
                "heartbeat_ms": session_ms // 6,
                "transaction_timeout_ms": 10_000,
            },
            "registry": {"url": addresses.registry_url},
            "store": {"dsn": addresses.dsn, "table_prefix": f"{name}_"},
            "backfill": {"window_bars": WINDOW_BARS, "max_concurrent_requests": 2},
            "sources": sources,
            "nodes": dict.fromkeys(self.truth, node),
        }

    async def open(self) -> None:
        """Create the topics and start the agents."""
        await topics.apply(self.settings)
        # At once: nodes of a lease service wait for each other.
        await asyncio.gather(*(asyncio.to_thread(agent.start) for agent in self.agents.values()))

    async def close(self) -> None:
        """Stop the agents."""
        await self._requests.close()
        await asyncio.gather(*(asyncio.to_thread(agent.stop) for agent in self.agents.values()))

    def series(self) -> Series:
        """Return a series that nobody has asked for yet."""
        return Series(next(self._fresh), MINUTE)

    @property
    def window(self) -> Window:
        """What is asked for of every series."""
        return Window(START, START + WINDOWS * WINDOW_BARS * MINUTE)

    def ask(
        self, series: Series, *, refetch: bool = False, source: str = ""
    ) -> "asyncio.Task[BackfillStatus]":
        """Publish a request; the task ends with its last status."""
        request = BackfillRequest(
            request_id=secrets.token_hex(8),
            kind=RequestKind.SUBMIT,
            node_id=series.node,
            interval=series.interval,
            start=self.window.start,
            end=self.window.end,
            refetch=refetch,
            source=source,
        )

        async def follow() -> BackfillStatus:
            last = None
            async for status in self._requests.submit(request):
                last = status
            if last is None:
                raise RoadError("no status came")
            return last

        return asyncio.create_task(follow())

    async def until_calls(self, series: Series, calls: int = 4) -> None:
        """Return when the source has been asked that often: the request is in mid-work."""
        await asyncio.to_thread(
            until, lambda: self.calls(series) >= calls, f"{calls} calls", self.tails
        )

    def calls(self, series: Series) -> int:
        """Return how often the source was asked for a series."""
        return sum(call["node"] == series.node for call in calls_of(self.places.calls))

    async def done(self, task: "asyncio.Task[BackfillStatus]") -> BackfillStatus:
        """Return the last status of a request when it is done.

        Raises:
            RoadError: It failed, or took too long.
        """
        try:
            status = await asyncio.wait_for(task, PATIENCE_S)
        except TimeoutError:
            raise RoadError(f"the request did not end in {PATIENCE_S} s\n{self.tails()}") from None
        if status.state is not RequestState.DONE:
            raise RoadError(f"the request ended with {status}\n{self.tails()}")
        return status

    def tails(self) -> str:
        """Return the ends of all logs."""
        return "\n".join(f"--- {role}\n{agent.tail()}" for role, agent in self.agents.items())

    def compare(self, series: Series) -> None:
        """Compare the store with the source, bar by bar.

        Raises:
            RoadError: A bar differs, is missing or too many, or the ledger does not cover it.
        """
        with self.store() as store:
            wrong = self.difference(store, series)
        if wrong:
            raise RoadError(f"{series}: {wrong}")

    def difference(self, store: Store, series: Series) -> str:
        """Return how the store differs from the source; empty if it does not."""
        if not covered(self.window, store.ledger.windows(series)):
            return "the ledger does not cover the window"
        wanted = self.truth[series.node].inside(self.window)
        found = store.reader.bars(series, self.window, self.settings.ranks)
        if found.equals(wanted):
            return ""
        missing, extra = set(wanted.ts) - set(found.ts), set(found.ts) - set(wanted.ts)
        return f"{len(missing)} bars missing, {len(extra)} too many, of {len(wanted)}"

    def rows(self) -> int:
        """Return how many rows all tables of bars have: versions, not bars."""
        with self.store() as store:
            table = store.bars_table(MINUTE)
        return int(self.sql(f'SELECT count() FROM "{table}"')[0][0])

    def take_chunks(self) -> None:
        """Delete every chunk that stands in the topic now, as retention does."""
        kafka = self.settings.kafka
        name = Catalogue.of(kafka).chunks.name
        admin = AdminClient({"bootstrap.servers": kafka.bootstrap})
        whole = [TopicPartition(name, p, OFFSET_END) for p in range(kafka.partitions)]
        for deleted in admin.delete_records(whole).values():
            deleted.result(timeout=10)

    def sql(self, text: str) -> list[list[int]]:
        """Ask QuestDB something that no part of ours asks."""
        dsn = Dsn.parse(self.settings.store.dsn)
        answer = httpx.get(f"http://{dsn.address}/exec", params={"query": text}, timeout=20)
        answer.raise_for_status()
        found: list[list[int]] = answer.json().get("dataset", [])
        return found

    @contextmanager
    def store(self) -> Iterator[Store]:
        """Open the store."""
        with Store.connect(self.settings.store, 20) as store:
            yield store


def _walk(index: int) -> BarFrame:
    rng = np.random.default_rng(index)
    count = WINDOWS * WINDOW_BARS
    close = np.round(100 + np.cumsum(rng.normal(0, 0.05, count)), 2)
    opened = np.concatenate((np.full(1, 100.0), close[:-1]))
    frame = BarFrame(
        START + MINUTE * np.arange(count, dtype=np.int64),
        opened,
        np.maximum(opened, close) + 0.01,
        np.minimum(opened, close) - 0.01,
        close,
        np.round(rng.exponential(9, count), 3),
    )
    # Some minutes have no trades.
    return frame.take(rng.random(count) > 0.02)
