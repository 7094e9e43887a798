"""Live bars over Kafka: published by one provider at a time, whoever dies; on real servers."""

import asyncio
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import topics
from avro_schemas import BarChunk
from bars.fingerprint import content_hash
from bars.records import bars_of
from bars.series import ROLL, Series
from ops.stack.fleet import NodePorts
from provider import EnhancedQuestDBProvider
from runtime import Settings, SystemClock
from tests.faults.processes import ROOT, Agent, Places
from tests.provider_help import Market, bars_at
from tests.servers.agents import write_config
from topics import Catalogue, Codec, Registry, Tail, partition_of, read_to_end

pytestmark = pytest.mark.servers

SERIES = Series("live:test:1s", 1)
ASK: dict[str, Any] = {"node_id": SERIES.node, "interval": 1}
TTL_MS = 8_000
PATIENCE_S = 60.0


@dataclass(frozen=True, slots=True)
class Set:
    """Topics, and a lease service of one process."""

    settings: Settings
    config: Path

    async def until_published(self, bars: int, tokens: int = 1) -> list[BarChunk]:
        """Return what is in the live topic once it is so much, under so many leases."""
        async with asyncio.timeout(PATIENCE_S):
            while True:
                found = await self.chunks()
                if len(found) >= bars and len({c.lease_token for c in found}) >= tokens:
                    return found
                await asyncio.sleep(0.2)

    async def chunks(self) -> list[BarChunk]:
        """Return every record of the live topic."""
        topic = Catalogue.of(self.settings.kafka).live
        registry = Registry(self.settings.registry)
        codec = Codec(registry, SystemClock())
        home = partition_of(SERIES.key, self.settings.kafka.partitions)
        found = []
        try:
            for message in await asyncio.to_thread(self._records, topic.name):
                record = await codec.decode(topic, message.value)
                assert isinstance(record, BarChunk)
                assert (message.partition, message.key) == (home, SERIES.key.encode())
                found.append(record)
        finally:
            await registry.close()
        return found

    def _records(self, name: str) -> list[topics.RawMessage]:
        found: list[topics.RawMessage] = []
        with Tail(self.settings.kafka, (name,), 100_000) as tail:
            for batch in read_to_end(tail, SystemClock()):
                found += batch
        return found


@pytest.fixture
def published(applied: Settings, tmp_path: Path) -> Iterator[Set]:
    section = NodePorts.free(1).settings()
    config = write_config(
        tmp_path / "seamless.yaml",
        applied,
        backfill={"lease_ttl_ms": TTL_MS},
        sources={"daily": {"kind": "csv", "path": "nowhere"}},
        nodes={SERIES.node: {"interval": "1s", "sources": ["daily"], "calendar": "24/7"}},
        coordinator={
            "urls": list(section.urls),
            "peers": list(section.peers),
            "data_dir": str(tmp_path / "coordinator"),
        },
    )
    service = Agent(Places(tmp_path), "coordinator", 1, ["coordinator", "--node", "1"])
    service.start()
    yield Set(Settings.load(config, {}), config)
    service.stop()


@contextmanager
def process(config: Path) -> Iterator["subprocess.Popen[bytes]"]:
    """Run a provider that streams as a process."""
    words = [sys.executable, "-m", "tests.servers.live_publisher", str(config), SERIES.node]
    with (config.parent / "publisher.log").open("wb") as log:
        made = subprocess.Popen(words, cwd=ROOT, stdout=log, stderr=log)
    try:
        yield made
    finally:
        made.kill()
        made.wait(30)


@asynccontextmanager
async def streaming(settings: Settings) -> AsyncIterator[list[int]]:
    """Run a provider that streams in this process; what it has yielded."""
    seen: list[int] = []
    async with EnhancedQuestDBProvider.from_settings(settings, live_fetcher=Market()) as provider:

        async def follow() -> None:
            async for event in provider.stream(**ASK):
                seen.append(event.ts)  # noqa: PERF401 - it is read meanwhile

        task = asyncio.create_task(follow())
        yield seen
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def check(chunks: list[BarChunk]) -> None:
    """Check that every second is there once, as the market has it, tokens only ever growing."""
    for chunk in chunks:
        assert (chunk.lane, chunk.is_final, chunk.source) == (ROLL, True, "live")
        assert chunk.covers == ((chunk.start, chunk.end),)
        assert chunk.request_id.startswith("live:")
        assert chunk.content_hash == content_hash(bars_of(chunk))
        assert bars_of(chunk).equals(bars_at(np.array([chunk.start], np.int64)))
    starts = [chunk.start for chunk in chunks]
    assert starts == list(range(starts[0], starts[0] + len(starts)))
    tokens = [chunk.lease_token for chunk in chunks]
    assert tokens == sorted(tokens)


@pytest.mark.timeout(240)
async def test_when_the_publisher_is_killed_another_goes_on_where_it_ended(published: Set) -> None:
    """No hole and no second bar, though nobody published while the dead one's lease lived."""
    with process(published.config) as first:
        await published.until_published(3)
        async with streaming(published.settings) as seen:
            before = len(await published.until_published(6))
            assert len({c.lease_token for c in await published.chunks()}) == 1, "one of the two"
            first.send_signal(signal.SIGKILL)
            await asyncio.to_thread(first.wait, 30)
            chunks = await published.until_published(before + 12, tokens=2)
            assert seen == sorted(set(seen))
            assert len(seen) > 3, "its own stream needs no lease"
    check(chunks)


@pytest.mark.timeout(240)
async def test_when_the_publisher_is_closed_another_goes_on_at_once(published: Set) -> None:
    async with streaming(published.settings):
        await published.until_published(3)
        async with asyncio.timeout(PATIENCE_S):
            async with streaming(published.settings):
                await published.until_published(5)
    chunks = await published.chunks()
    check(chunks)
    assert len({chunk.lease_token for chunk in chunks}) == 1
    async with streaming(published.settings):
        check(await published.until_published(len(chunks) + 3, tokens=2))
