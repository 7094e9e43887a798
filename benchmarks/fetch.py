"""A cold fetch of 100,000 bars of one node among 100, beside the bare query and decode.

Every fetch takes a node that nobody has read before, through a provider that judges the answer;
the bare one exports the same columns of the same rows as parquet and makes a frame of them.
"""

import asyncio
import io
import statistics
import time

import httpx
import pandas as pd
import pyarrow.parquet as pq

from bars.fingerprint import content_hash
from bars.series import Series
from bars.window import Window
from benchmarks._load import KNOWN, LANE, MINUTE, T0, series, walk
from provider import DataAvailabilityStrategy, EnhancedQuestDBProvider
from runtime import Settings
from store import Dsn, LedgerEntry, RecordRows, Store

NODES = 100
NODE_BARS = 100_000
PAIRS = 7


async def run(settings: Settings, nodes: int = NODES, node_bars: int = NODE_BARS) -> None:
    """Load, measure in turn, print the ratio."""
    print(f"fetch: {node_bars:,} bars of one node among {nodes}, cold, {PAIRS} pairs", flush=True)
    window = Window(T0, T0 + node_bars * MINUTE)
    with Store(settings.store) as store:
        await asyncio.to_thread(_load, store, nodes, node_bars, window)
        table = store.bars_table(MINUTE)
    dsn = Dsn.parse(settings.store.dsn)
    bare, ours = [], []
    provider = EnhancedQuestDBProvider(
        settings.store.dsn,
        table_prefix=settings.store.table_prefix,
        strategy=DataAvailabilityStrategy.FAIL_FAST,
        source_name="bench",
    )
    async with provider:
        await provider.fetch(T0, T0 + MINUTE, node_id=series(0).node, interval=MINUTE)  # connects
        for pair in range(PAIRS):
            bare.append(_bare(dsn, table, series(1 + 2 * pair), window))
            began = time.perf_counter()
            found = await provider.fetch(
                window.start, window.end, node_id=series(2 + 2 * pair).node, interval=MINUTE
            )
            ours.append(time.perf_counter() - began)
            if len(found) != node_bars:
                raise RuntimeError(f"{len(found)} of {node_bars} bars came")
    ratios = [b / o for b, o in zip(bare, ours, strict=True)]
    print(
        f"  bare {statistics.median(bare) * 1e3:.0f} ms, fetch {statistics.median(ours) * 1e3:.0f}"
        f" ms; speed of fetch / bare {statistics.median(ratios):.2f} "
        f"({min(ratios):.2f}-{max(ratios):.2f}, goal 0.8)"
    )


async def run_million(settings: Settings) -> None:
    """The same for a million bars of one node among a few."""
    await run(settings, nodes=2 * PAIRS + 1, node_bars=1_000_000)


def _load(store: Store, nodes: int, node_bars: int, window: Window) -> None:
    """Fill the table node by node, and the ledger."""
    store.ensure_tables([MINUTE])
    store.meta.claim("direct")
    writer = store.writer()
    entries = []
    for index in range(nodes):
        bars = walk(index, node_bars)
        rows = [RecordRows(series(index), LANE, KNOWN, bars)]
        writer.wait_visible(writer.write(rows))
        entries.append(
            LedgerEntry(
                series=series(index),
                lane=LANE,
                window=window,
                known=KNOWN,
                bars=node_bars,
                content_hash=content_hash(bars),
            )
        )
    store.ledger.add(entries)


def _bare(dsn: Dsn, table: str, wanted: Series, window: Window) -> float:
    """Return the seconds of one query and its decoding into a frame."""
    began = time.perf_counter()
    answer = httpx.get(
        f"http://{dsn.address}/exp",
        params={
            "query": f"SELECT ts, open, high, low, close, volume FROM {table} "
            f"WHERE node = '{wanted.node}' AND ts >= {window.start * 1_000_000} "
            f"AND ts < {window.end * 1_000_000}",
            "fmt": "parquet",
            "compression_codec": "LZ4_RAW",
        },
        timeout=60,
    ).raise_for_status()
    columns = pq.read_table(io.BytesIO(answer.content))
    frame = pd.DataFrame({n: columns[n].to_numpy() for n in columns.column_names})
    frame["ts"] = frame["ts"].astype("int64") // 1_000_000
    return time.perf_counter() - began
