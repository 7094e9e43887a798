"""Dead letters listed and replayed, on real topics and a real ledger."""

import asyncio
import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from avro_schemas import BackfillRequest, BarChunk, RequestKind
from bars.frame import BarFrame
from bars.window import Window
from ops.cli import app
from runtime import Settings, SystemClock
from tests.provider_help import DAY, NODE, SERIES, START, sessions
from tests.servers.agents import chunk_of, write_config
from tests.servers.clerk import store_bars
from topics import (
    Catalogue,
    Codec,
    Producer,
    RawMessage,
    Registry,
    Tail,
    Topic,
    deadletter_headers,
    history_key,
    read_to_end,
)

pytestmark = pytest.mark.servers

SECOND = 1_000_000
BASE = 1_600_000_000
WINDOWS = [Window(START + 10 * i * DAY, START + 10 * (i + 1) * DAY) for i in range(4)]


@pytest.fixture
def config(applied: Settings, tmp_path: Path) -> Path:
    sessions().to_pandas().to_csv(tmp_path / "AAPL.csv", index=False)
    return write_config(
        tmp_path / "seamless.yaml",
        applied,
        backfill={"window_bars": 10},
        sources={"daily": {"kind": "csv", "path": "{symbol}.csv"}},
        nodes={
            NODE: {"interval": "1d", "sources": ["daily"], "calendar": "XNYS", "symbol": "AAPL"}
        },
    )


class Undertaker:
    """Buries records as the agents do."""

    def __init__(self, settings: Settings, codec: Codec, producer: Producer) -> None:
        self.topics = Catalogue.of(settings.kafka)
        self._codec = codec
        self._producer = producer
        self._buried = 0

    async def chunk(self, error_class: str, chunk: BarChunk, seen_s: int) -> None:
        value = await self._codec.encode(self.topics.chunks, chunk)
        key = f"{chunk.node_id}|{chunk.interval}"
        self.record(error_class, self.topics.chunks, key, value, seen_s)

    async def history(self, error_class: str, chunk: BarChunk, seen_s: int) -> None:
        value = await self._codec.encode(self.topics.history, chunk)
        key = history_key(chunk.node_id, chunk.interval, chunk.lane, chunk.start, chunk.end)
        self.record(error_class, self.topics.history, key, value, seen_s)

    def record(self, error_class: str, topic: Topic, key: str, value: bytes, seen_s: int) -> None:
        message = RawMessage(
            topic=topic.name,
            partition=0,
            offset=self._buried,
            key=key.encode(),
            value=value,
            timestamp_ms=0,
        )
        self._buried += 1
        first_seen_us = (BASE + seen_s) * SECOND
        headers = deadletter_headers(message, error_class, "as it was", 1, first_seen_us)
        self._producer.send(self.topics.deadletter.name, key, value, headers)


@pytest.fixture
async def buried(applied: Settings) -> None:
    """Four windows in three letters and one twice, bytes of nobody, a node that is not there."""
    registry = Registry(applied.registry)
    producer = Producer(applied.kafka)
    undertaker = Undertaker(applied, Codec(registry, SystemClock()), producer)
    chunks = [chunk_of(SERIES, "daily", window, BarFrame.empty()) for window in WINDOWS]
    await undertaker.chunk("stale_token", chunks[0], 100)
    await undertaker.chunk("conformance", chunks[1], 200)
    await undertaker.chunk("conformance", chunks[2], 300)
    await undertaker.chunk("conformance", chunks[2], 400)
    await undertaker.history("unstorable", chunks[3], 500)
    undertaker.record("not_avro", undertaker.topics.chunks, SERIES.key, b"no avro", 600)
    undertaker.record("not_avro", undertaker.topics.requests, "somebody", b"no avro", 700)
    await undertaker.chunk("unknown_node", replace(chunks[0], node_id="ohlcv:x:GONE"), 800)
    await asyncio.to_thread(producer.close)
    await registry.close()


def run(*words: str, config: Path) -> Result:
    return CliRunner().invoke(app, ["deadletters", *words, "--config", str(config)])


def listed(*words: str, config: Path) -> list[Mapping[str, Any]]:
    told = run("list", *words, "--json", config=config)
    assert told.exit_code == 0, told.output
    found: list[Mapping[str, Any]] = json.loads(told.stdout)
    return found


def seen(*words: str, config: Path) -> list[int]:
    """Return when the letters that are listed were first seen."""
    return [each["first_seen_us"] // SECOND - BASE for each in listed(*words, config=config)]


async def requests(settings: Settings) -> list[BackfillRequest]:
    """Return every request that was ever published."""
    topic, registry = Catalogue.of(settings.kafka).requests, Registry(settings.registry)
    codec, found = Codec(registry, SystemClock()), []
    with Tail(settings.kafka, (topic.name,), 1_000) as tail:
        for batch in read_to_end(tail, SystemClock()):
            for message in batch:
                record = await codec.decode(topic, message.value)
                assert isinstance(record, BackfillRequest)
                found.append(record)
    await registry.close()
    return found


def test_letters_are_listed_by_class_node_and_time(config: Path, buried: None) -> None:
    del buried
    every = listed(config=config)
    assert seen(config=config) == list(range(100, 900, 100))
    assert every[0]["bars"] == {
        "node_id": NODE,
        "interval": DAY,
        "lane": "bf:daily",
        "window": [WINDOWS[0].start, WINDOWS[0].end],
    }
    assert [each["bars"] is None for each in every] == [False] * 5 + [True] * 2 + [False]
    assert seen("--class", "conformance", config=config) == [200, 300, 400]
    assert seen("--node", NODE, "--since", f"{BASE + 400}", config=config) == [400, 500, 600]
    assert seen("--since", f"{BASE + 200}", "--until", f"{BASE + 300}", config=config) == [200]
    assert seen("--limit", "2", config=config) == [700, 800]
    text = run("list", config=config).stdout
    assert "unstorable" in text
    assert "somebody" in text
    assert run("list", "--class", "no_such", config=config).stdout == "no dead letters\n"
    wrong = run("list", "--limit", "0", config=config)
    assert (wrong.exit_code, "--limit" in wrong.stderr) == (2, True)


async def test_a_replay_asks_for_what_the_ledger_lacks_and_only_when_told_to(
    applied: Settings, config: Path, buried: None
) -> None:
    del buried
    held = sessions().inside(WINDOWS[0])
    store_bars(applied, SERIES, held, WINDOWS[0])
    dry = await asyncio.to_thread(run, "replay", config=config)
    assert dry.exit_code == 0, dry.output
    assert "would be asked for" in dry.stdout
    assert "a dry run" in dry.stdout
    assert "2 letters hold no bars" in dry.stdout
    assert "ohlcv:x:GONE" in dry.stdout
    assert await requests(applied) == []
    done = await asyncio.to_thread(run, "replay", "--yes", "--json", config=config)
    told = json.loads(done.stdout)
    (request,) = await requests(applied)
    assert (request.kind, request.node_id, request.source, request.refetch) == (
        RequestKind.SUBMIT,
        NODE,
        "daily",
        False,
    )
    assert (request.start, request.end) == (WINDOWS[0].start, WINDOWS[3].end)
    asked = {each["node_id"]: each for each in told["requests"]}
    assert asked[NODE]["request_id"] == request.request_id
    assert asked[NODE]["letters"] == 5
    assert asked["ohlcv:x:GONE"]["windows"] == 0
    assert "node_id" in asked["ohlcv:x:GONE"]["note"]
    again = await asyncio.to_thread(run, "replay", "--class", "stale_token", "--yes", config=config)
    assert "all of it is covered" in again.stdout
    assert len(await requests(applied)) == 1
