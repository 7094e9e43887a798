"""What is measured with: bars that look like bars, as records of history and as rows."""

import asyncio
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from avro_schemas import BarChunk, Watermark
from bars.fingerprint import content_hash
from bars.frame import BarFrame
from bars.series import Series
from runtime import Settings, SystemClock
from topics import Catalogue, Codec, Producer, Registry, history_key, partition_of, watermark_key

T0 = 1_735_689_600
"""2025-01-01T00:00Z."""

MINUTE = 60
RECORD_BARS = 500
LANE = "bf:bench"
KNOWN = 1_770_000_000_000_000


def series(index: int) -> Series:
    """Return the name of one of the measured series."""
    return Series(f"bench:node-{index:03d}:1m", MINUTE)


def walk(index: int, bars: int) -> BarFrame:
    """Return minutes of a random walk at a cent's tick, volumes to three places."""
    random = np.random.default_rng(7_000 + index)
    steps: NDArray[np.float64] = 0.05 * random.standard_normal(bars)
    close: NDArray[np.float64] = np.round(100 + np.cumsum(steps), 2)
    opened: NDArray[np.float64] = np.concatenate((np.full(1, 100.0), close[:-1]))
    high = np.round(np.maximum(opened, close) + np.abs(random.normal(0, 0.04, bars)), 2)
    low = np.round(np.minimum(opened, close) - np.abs(random.normal(0, 0.04, bars)), 2)
    volume = np.round(random.exponential(120, bars), 3)
    ts = T0 + MINUTE * np.arange(bars, dtype=np.int64)
    return BarFrame(ts, opened, high, low, close, volume)


def records(nodes: int, bars: int) -> Iterator[BarChunk]:
    """Yield the walks of all nodes as records of 500 bars, time by time."""
    walks = [walk(i, bars) for i in range(nodes)]
    for first in range(0, bars, RECORD_BARS):
        for index, whole in enumerate(walks):
            part = whole.take(slice(first, first + RECORD_BARS))
            start = int(part.ts[0])
            yield BarChunk(
                node_id=series(index).node,
                interval=MINUTE,
                start=start,
                end=start + MINUTE * len(part),
                lane=LANE,
                source="bench",
                lease_token=1,
                known=KNOWN + first,
                content_hash=content_hash(part),
                chunk_partition=0,
                chunk_offset=0,
                ts=part.ts,
                open=part.open,
                high=part.high,
                low=part.low,
                close=part.close,
                volume=part.volume,
            )


async def fill_history(settings: Settings, nodes: int, bars: int) -> None:
    """Publish the records to history, and a watermark after every twenty of a partition."""
    catalogue, registry = Catalogue.of(settings.kafka), Registry(settings.registry)
    codec, producer = Codec(registry, SystemClock()), Producer(settings.kafka, "benchmark")
    counts = [0] * settings.kafka.partitions
    try:
        for chunk in records(nodes, bars):
            home = partition_of(f"{chunk.node_id}|{chunk.interval}", settings.kafka.partitions)
            key = history_key(chunk.node_id, chunk.interval, chunk.lane, chunk.start, chunk.end)
            value = await codec.encode(catalogue.history, chunk)
            producer.send(catalogue.history.name, key, value, partition=home)
            counts[home] += 1
            if counts[home] % 20 == 0:
                await _mark(settings, codec, producer, home, counts[home])
        for partition, count in enumerate(counts):
            await _mark(settings, codec, producer, partition, count)
        await asyncio.to_thread(producer.close)
    finally:
        await registry.close()


async def _mark(
    settings: Settings, codec: Codec, producer: Producer, partition: int, count: int
) -> None:
    topic = Catalogue.of(settings.kafka).history
    mark = Watermark(
        role="conform", partition=partition, next_input_offset=count, last_known=KNOWN + count
    )
    value = await codec.encode(topic, mark)
    producer.send(topic.name, watermark_key("conform", partition), value, partition=partition)
