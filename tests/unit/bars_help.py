"""Bars on a bench: clean frames and their contexts, so that a test shows what differs."""

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

import numpy as np

from bars import BarFrame, Grid, Series, Versions, Window
from bars.conformance import Context
from bars.frame import Times

MINUTE = 60
DAY = 86_400
BEGIN = 1_600_000_020
"""Some minute of September 2020."""


def at(text: str) -> int:
    """Return the epoch seconds of an ISO date or time in UTC."""
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp())


def span(start: str, end: str) -> Window:
    """Return the window between two ISO dates or times in UTC."""
    return Window(at(start), at(end))


def iso(ts: Times) -> list[str]:
    """Return times as `2024-01-31 17:00`."""
    return [datetime.fromtimestamp(t, UTC).strftime("%Y-%m-%d %H:%M") for t in ts.tolist()]


def priced(ts: Iterable[int], price: float = 100.0) -> BarFrame:
    """Return a bar for each time, possible and all alike: NaN withdraws."""
    times = np.array(list(ts), np.int64)
    row = (price, price + 1, price - 1, price + 0.5, price * 0 + 10)
    return BarFrame(times, *(np.full(times.size, value, np.float64) for value in row))


def walk(rows: int, seed: int = 7) -> BarFrame:
    """Return minutes of a random walk from `BEGIN` on, with nothing wrong in them."""
    random = np.random.default_rng(seed)
    close = 100 + random.normal(0, 0.05, rows).cumsum()
    open_ = close + random.normal(0, 0.02, rows)
    return BarFrame(
        BEGIN + MINUTE * np.arange(rows, dtype=np.int64),
        open_,
        np.maximum(open_, close) + 0.01,
        np.minimum(open_, close) - 0.01,
        close,
        random.integers(0, 1_000, rows).astype(np.float64),
    )


def context(bars: BarFrame, interval: int = MINUTE, **other: Any) -> Context:
    """Return the context in which a frame from its first to its last bar is right."""
    window = Window(int(bars.ts[0]), int(bars.ts[-1]) + interval)
    given = {"window": window, "series": Series("n", interval), "grid": Grid(interval), **other}
    return Context(**given)


def versions(*rows: tuple[int, str, int, float]) -> Versions:
    """Return versions (ts, lane, known, price); a price of NaN is a withdrawal."""
    parts = [priced([ts], price) for ts, _, _, price in rows]
    return Versions(
        BarFrame.concat(parts),
        np.array([lane for _, lane, _, _ in rows], object),
        np.array([known for _, _, known, _ in rows], np.int64),
    )
