"""What tests of judgements share: a configured series, rules, chunks with few words."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from avro_schemas import BarChunk
from bars.calendars import AlwaysOpen
from bars.conformance import ConformancePipeline
from bars.fingerprint import content_hash
from bars.frame import BarFrame
from bars.series import Series
from bars.versions import Versions
from bars.window import Window
from runtime import NodeSettings
from streams.conform import Candidate, Place, Rules, screen
from topics import partition_of

MINUTE = 60
SERIES = Series("ohlcv:test:A", MINUTE)
PARTITIONS = 4
HOME = partition_of(SERIES.key, PARTITIONS)
RANKS = {"bf:one": 2, "bf:two": 1, "roll": 0}

NODE = NodeSettings(series=SERIES, sources=("one", "two"), calendar="24/7")

RULES = Rules(
    nodes={SERIES: NODE},
    calendars=lambda _node: AlwaysOpen(),
    lanes=frozenset({"bf:one", "bf:two"}),
    ranks=RANKS,
    partitions=PARTITIONS,
    pipeline=ConformancePipeline(),
)


def bars_at(prices: Mapping[int, float]) -> BarFrame:
    """Return flat bars: slot number to price."""
    ts = np.array([MINUTE * slot for slot in prices], np.int64)
    price = np.array(list(prices.values()), np.float64)
    volume = np.where(np.isnan(price), np.nan, 1.0)
    return BarFrame(ts, price, price.copy(), price.copy(), price.copy(), volume)


def slots(first: int, end: int) -> Window:
    """Return a window of slots."""
    return Window(MINUTE * first, MINUTE * end)


def chunk(
    window: Window, prices: Mapping[int, float], source: str = "one", **fields: Any
) -> BarChunk:
    """Return a chunk as a fetch worker would publish it."""
    bars = bars_at(prices)
    made = BarChunk(
        node_id=SERIES.node,
        interval=SERIES.interval,
        start=window.start,
        end=window.end,
        lane=f"bf:{source}",
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


def candidate(found: BarChunk, offset: int = 0, rules: Rules = RULES) -> Candidate:
    """Return a chunk that passes the screen."""
    screened = screen(found, Place(partition=HOME, offset=offset), rules)
    assert isinstance(screened, Candidate), screened
    return screened


def prices_of(versions: Versions) -> dict[int, float]:
    """Return slot number to price; NaN where withdrawn."""
    return dict(
        zip((versions.bars.ts // MINUTE).tolist(), versions.bars.close.tolist(), strict=True)
    )
