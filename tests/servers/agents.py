"""The agents as processes, and a hand on both ends of them: chunks in, everything they tell out.

For tests on the real servers. `Agents` starts, kills, freezes and stops processes of
`python -m streams`; `Road` publishes chunks and waits for verdicts, receipts and marks.
"""

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, Self, TypeVar

import yaml
from confluent_kafka import TopicPartition
from confluent_kafka.admin import AdminClient

from avro_schemas import BarChunk, ConformanceReport, Receipt, Record, VisibleMark
from bars.fingerprint import content_hash
from bars.frame import BarFrame
from bars.series import Series, backfill_lane
from bars.window import Window
from runtime import Settings, SystemClock
from topics import (
    Catalogue,
    Codec,
    Delivered,
    Producer,
    RawMessage,
    Reader,
    Registry,
    Topic,
    partition_of,
)

R = TypeVar("R", bound=Record)

ROOT = Path(__file__).resolve().parents[2]
WAIT_S = 60.0


def write_config(path: Path, settings: Settings, **sections: Mapping[str, Any]) -> Path:
    """Write a `seamless.yaml` for the test's servers and prefixes; sections replace or add keys."""
    kafka, store = settings.kafka, settings.store
    mapping: dict[str, dict[str, Any]] = {
        "kafka": {
            "bootstrap": kafka.bootstrap,
            "prefix": kafka.prefix,
            "partitions": kafka.partitions,
            "session_timeout_ms": kafka.session_timeout_ms,
            "heartbeat_ms": kafka.heartbeat_ms,
            "transaction_timeout_ms": kafka.transaction_timeout_ms,
        },
        "registry": {"url": settings.registry.url},
        "store": {"dsn": store.dsn, "table_prefix": store.table_prefix},
    }
    for name, section in sections.items():
        mapping[name] = {**mapping.get(name, {}), **section}
    path.write_text(yaml.safe_dump(mapping, sort_keys=False), encoding="utf-8")
    return path


class Agent:
    """One process of `python -m streams`."""

    def __init__(self, role: str, config: Path, folder: Path, number: int) -> None:
        self.role = role
        self.ready_file = folder / f"{role}-{number}.ready"
        self.log = folder / f"{role}-{number}.log"
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "streams", role, "--config", str(config)],
                cwd=ROOT,
                env={**os.environ, "SEAMLESS_READY_FILE": str(self.ready_file)},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                process_group=0,  # else it wakes when the shell ends that started the tests
            )

    def wait_ready(self, timeout_s: float = WAIT_S) -> Self:
        """Return once its partitions are read."""
        until = time.monotonic() + timeout_s
        while not self.ready_file.exists():
            assert self.process.poll() is None, f"{self.role} ended:\n{self.told()}"
            assert time.monotonic() < until, f"{self.role} is not ready:\n{self.told()}"
            time.sleep(0.05)
        return self

    def lines(self, event: str | None = None) -> list[dict[str, Any]]:
        """Return what it has logged."""
        found = []
        for line in self.log.read_text(encoding="utf-8", errors="replace").splitlines():
            try:
                told = json.loads(line)
            except ValueError:
                continue
            if isinstance(told, dict) and event in (None, told.get("event")):
                found.append(told)
        return found

    def wait_line(
        self, event: str, timeout_s: float = WAIT_S, count: int = 1
    ) -> list[dict[str, Any]]:
        """Return the lines of an event once there are that many."""
        until = time.monotonic() + timeout_s
        while len(found := self.lines(event)) < count:
            assert time.monotonic() < until, f"{self.role} never said {event}:\n{self.told()}"
            time.sleep(0.05)
        return found

    def told(self) -> str:
        """Return the end of its log."""
        return self.log.read_text(encoding="utf-8", errors="replace")[-6_000:]

    def send(self, number: signal.Signals) -> None:
        """Send it a signal."""
        self.process.send_signal(number)

    def kill(self) -> None:
        """SIGKILL."""
        self.process.kill()
        self.process.wait(30)

    def stop(self, timeout_s: float = 30) -> int:
        """SIGTERM; return its exit code."""
        self.process.terminate()
        return self.wait(timeout_s)

    def wait(self, timeout_s: float = 30) -> int:
        """Return its exit code."""
        try:
            return self.process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"{self.role} does not end:\n{self.told()}") from None


class Agents:
    """Starts agents and sees that none outlives the test."""

    def __init__(self, config: Path, folder: Path) -> None:
        self.config = config
        self._folder = folder
        self._started: list[Agent] = []

    def start(self, role: str, *, ready: bool = True) -> Agent:
        """Start a process; wait until it is ready unless told otherwise."""
        agent = Agent(role, self.config, self._folder, len(self._started))
        self._started.append(agent)
        return agent.wait_ready() if ready else agent

    def end(self) -> None:
        """Kill what still runs."""
        for agent in self._started:
            if agent.process.poll() is None:
                agent.process.kill()
                agent.process.wait(30)


@contextmanager
def agents_of(config: Path, folder: Path) -> Iterator[Agents]:
    """Give agents that are gone afterwards."""
    agents = Agents(config, folder)
    try:
        yield agents
    finally:
        agents.end()


def chunk_of(
    series: Series, source: str, window: Window, bars: BarFrame, **fields: Any
) -> BarChunk:
    """Return a chunk as a fetch worker would publish it."""
    made = BarChunk(
        node_id=series.node,
        interval=series.interval,
        start=window.start,
        end=window.end,
        lane=backfill_lane(source),
        source=source,
        content_hash=content_hash(bars),
        ts=bars.ts,
        open=bars.open,
        high=bars.high,
        low=bars.low,
        close=bars.close,
        volume=bars.volume,
    )
    return replace(made, **fields)


class Road:
    """Both ends of the road between chunks and the store."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.catalogue = Catalogue.of(settings.kafka)
        self._registry = Registry(settings.registry)
        self.codec = Codec(self._registry, SystemClock())
        self._producer = Producer(settings.kafka)
        self._tails: dict[str, list[Reader]] = {}
        self._seen: dict[str, list[tuple[RawMessage, Record | None]]] = {}

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_raised: object) -> None:
        await asyncio.to_thread(self._producer.close)
        for readers in self._tails.values():
            for reader in readers:
                await asyncio.to_thread(reader.close)
        await self._registry.close()

    async def publish(self, *chunks: BarChunk) -> list[Delivered]:
        """Publish chunks, in order; return where they stand."""
        topic = self.catalogue.chunks
        sent = []
        for chunk in chunks:
            key = f"{chunk.node_id}|{chunk.interval}"
            value = await self.codec.encode(topic, chunk)
            sent.append(self._producer.send(topic.name, key, value))
        return [await asyncio.wrap_future(each) for each in sent]

    async def publish_bytes(
        self, value: bytes | None, key: str = "nobody|60", topic: Topic | None = None
    ) -> Delivered:
        """Publish anything."""
        name = (topic or self.catalogue.chunks).name
        partition = partition_of(key, self.settings.kafka.partitions)
        return await asyncio.wrap_future(self._producer.send(name, key, value, partition=partition))

    async def take_chunks(self, before: Delivered) -> None:
        """Delete the chunks of a partition that stand before one, as retention does."""
        admin = AdminClient({"bootstrap.servers": self.settings.kafka.bootstrap})
        place = TopicPartition(self.catalogue.chunks.name, before.partition, before.offset)
        for deleted in admin.delete_records([place]).values():
            await asyncio.to_thread(deleted.result, 10)

    async def until(
        self,
        topic: Topic,
        wanted: Callable[[RawMessage, Record | None], bool],
        timeout_s: float = WAIT_S,
        count: int = 1,
    ) -> list[tuple[RawMessage, Record | None]]:
        """Return the records that are wanted once there are `count` of them."""
        deadline = time.monotonic() + timeout_s
        while len(found := [pair for pair in self._all(topic) if wanted(*pair)]) < count:
            told = [record for _, record in self._all(topic)][-5:]
            assert time.monotonic() < deadline, f"{topic.name}: not there; the last are {told}"
            await self._poll(topic, 0.1)
        return found

    async def everything(self, topic: Topic) -> list[tuple[RawMessage, Record | None]]:
        """Return every record that is committed now."""
        for reader in await self._readers(topic):
            end = await asyncio.to_thread(reader.end)
            while reader.position < end:
                await self._poll(topic, 0.1)
        return list(self._all(topic))

    async def verdict(self, chunk: Delivered, timeout_s: float = WAIT_S) -> ConformanceReport:
        """Return what conformance said of a chunk."""

        def about(_message: RawMessage, report: Record | None) -> bool:
            return isinstance(report, ConformanceReport) and (
                report.chunk_partition == chunk.partition
                and report.chunk_offset <= chunk.offset < report.chunk_offset_end
            )

        found = await self.until(self.catalogue.reports, about, timeout_s)
        return _typed(ConformanceReport, found[0][1])

    async def receipt(self, chunk: Delivered, timeout_s: float = WAIT_S) -> Receipt:
        """Return the proof that a chunk's bars are visible."""

        def about(_message: RawMessage, receipt: Record | None) -> bool:
            return isinstance(receipt, Receipt) and (
                (receipt.chunk_partition, receipt.chunk_offset) == (chunk.partition, chunk.offset)
            )

        found = await self.until(self.catalogue.coverage, about, timeout_s)
        return _typed(Receipt, found[0][1])

    async def marked(self, partition: int, conform_next: int, timeout_s: float = WAIT_S) -> None:
        """Return once everything that came from chunks below `conform_next` is told visible."""

        def beyond(_message: RawMessage, mark: Record | None) -> bool:
            return (
                isinstance(mark, VisibleMark)
                and mark.partition == partition
                and mark.conform_next >= conform_next
            )

        await self.until(self.catalogue.visible, beyond, timeout_s)

    def _all(self, topic: Topic) -> list[tuple[RawMessage, Record | None]]:
        return self._seen.setdefault(topic.name, [])

    async def _readers(self, topic: Topic) -> list[Reader]:
        if topic.name not in self._tails:
            kafka = self.settings.kafka
            readers = [Reader(kafka, topic.name, p) for p in range(kafka.partitions)]
            for reader in readers:
                reader.seek(await asyncio.to_thread(reader.low))
            self._tails[topic.name] = readers
        return self._tails[topic.name]

    async def _poll(self, topic: Topic, timeout_s: float) -> None:
        readers = await self._readers(topic)
        share_s = timeout_s / len(readers)
        for batch in await asyncio.gather(
            *(asyncio.to_thread(reader.poll, share_s) for reader in readers)
        ):
            for message in batch:
                record = None
                if topic.schema is not None and message.value is not None:
                    record = await self.codec.decode(topic, message.value)
                self._all(topic).append((message, record))


def _typed(kind: type[R], record: Record | None) -> R:
    assert isinstance(record, kind)
    return record
