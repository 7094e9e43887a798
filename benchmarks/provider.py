"""What a provider costs without any server: cached, from a file, in memory, and as a stream.

Beside each figure stands the bare thing: a pandas selection of the same rows, the arrays.
"""

import statistics
import tempfile
import time
import tracemalloc
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from bars.frame import BarFrame
from bars.window import Window
from benchmarks._load import LANE, MINUTE, T0, series, walk
from provider import LiveReplay, MemoryStorage, NewRecord, SeamlessDataProvider, SQLiteStorage

BARS = 1_000_000
CACHED_BARS = 1_000
PAIRS = 200
CHUNK = 900
ARRAYS_BYTES = 48
"""Of one bar: a time and five numbers."""

_ONE = series(0)
_ABOUT: dict[str, Any] = {"node_id": _ONE.node, "interval": MINUTE}


async def run(bars: int = BARS) -> None:
    """Measure in turn and print ratios."""
    print(f"provider: {bars:,} bars of one node, no server", flush=True)
    truth = walk(0, bars)
    with tempfile.TemporaryDirectory(prefix="seamless-bench-") as folder:
        storage = SQLiteStorage(Path(folder) / "bars.db")
        for first in range(0, bars, 200 * CHUNK):
            part = truth.take(slice(first, first + 200 * CHUNK))
            await storage.add(list(_records(part)))
        await _cold(storage, truth)
        await _memory(storage, truth)
        await _stream(storage, truth)
        await storage.close()
    await _cached(truth.take(slice(0, 100 * CHUNK)))


def _records(bars: BarFrame) -> "list[NewRecord]":
    found = []
    for first in range(0, len(bars), CHUNK):
        part = bars.take(slice(first, first + CHUNK))
        window = Window(int(part.ts[0]), int(part.ts[-1]) + MINUTE)
        found.append(NewRecord(_ONE, LANE, window, 1 + first, part))
    return found


async def _cached(bars: BarFrame) -> None:
    storage = MemoryStorage()
    await storage.add(_records(bars))
    provider = SeamlessDataProvider(storage_source=storage, strategy="fail_fast")
    first, end = T0 + 10_000 * MINUTE, T0 + (10_000 + CACHED_BARS) * MINUTE
    frame = await provider.fetch(T0, int(bars.ts[-1]) + MINUTE, **_ABOUT)

    def select() -> object:
        return frame[(frame["ts"] >= first) & (frame["ts"] < end)]

    async def fetch() -> object:
        return await provider.fetch(first, end, **_ABOUT)

    ratios, ours = [], []
    for _ in range(PAIRS):
        began = time.perf_counter()
        select()
        bare_s = time.perf_counter() - began
        ours.append(await _timed(fetch))
        ratios.append(ours[-1] / bare_s)
    print(
        f"  cached fetch of {CACHED_BARS:,} bars {statistics.median(ours) * 1e3:.2f} ms, "
        f"{statistics.median(ratios):.1f} x a pandas selection of the same frame (goal < 5)"
    )


async def _cold(storage: SQLiteStorage, truth: BarFrame) -> None:
    window = Window(T0, int(truth.ts[-1]) + MINUTE)
    provider = SeamlessDataProvider(storage_source=storage, strategy="fail_fast", cache_source=None)
    bare, ours = [], []
    for _ in range(5):
        bare.append(await _timed(lambda: storage.winners(_ONE, window)))
        ours.append(await _timed(lambda: provider.fetch(window.start, window.end, **_ABOUT)))
    ratio = statistics.median(bare) / statistics.median(ours)
    print(
        f"  cold fetch from a file {statistics.median(ours) * 1e3:.0f} ms, bare read "
        f"{statistics.median(bare) * 1e3:.0f} ms; speed of fetch / bare {ratio:.2f}"
    )


async def _memory(storage: SQLiteStorage, truth: BarFrame) -> None:
    provider = SeamlessDataProvider(storage_source=storage, strategy="fail_fast", cache_source=None)
    tracemalloc.start()
    frame = await provider.fetch(T0, int(truth.ts[-1]) + MINUTE, **_ABOUT)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    arrays = ARRAYS_BYTES * len(frame)
    print(f"  memory of a fetch at its peak {peak / arrays:.1f} x the arrays (goal <= 3)")


async def _stream(storage: SQLiteStorage, truth: BarFrame) -> None:
    after = int(truth.ts[-1]) + MINUTE
    feed = LiveReplay(storage, after - 10 * MINUTE, after)
    provider = SeamlessDataProvider(storage_source=storage, live_feed=feed)
    began = time.perf_counter()
    events = provider.stream(**_ABOUT, since=T0)
    await anext(events)
    print(f"  first bar of a stream over all of it {(time.perf_counter() - began) * 1e3:.0f} ms")
    await events.aclose()  # type: ignore[attr-defined]


async def _timed(work: Callable[[], Awaitable[object]]) -> float:
    began = time.perf_counter()
    await work()
    return time.perf_counter() - began
