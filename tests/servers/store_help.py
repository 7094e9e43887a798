"""Bars and records for tests of the store on the real server."""

from collections.abc import Iterable, Mapping

import numpy as np
from numpy.typing import NDArray

from bars.frame import BarFrame
from bars.series import Series
from bars.window import Window
from store import BarWriter, RecordRows, Store
from store._time import Until
from store.columns import PgColumns

MINUTE = 60
NODE = "ohlcv:test:A:1m"
A = Series(NODE, MINUTE)
SPAN = Window(0, 1_000 * MINUTE)
RANKS: Mapping[str, int] = {"bf:first": 2, "bf:second": 1, "roll": 0}


def prices(ts: Iterable[int], price: float | Iterable[float]) -> BarFrame:
    """Return bars whose five values follow from one number; NaN withdraws."""
    times = np.array(list(ts), np.int64)
    base = np.broadcast_to(np.array(price, np.float64), times.shape)
    return BarFrame(times, *(base * factor for factor in (1.0, 1.01, 0.99, 1.001, 10.0)))


def walk(rows: int, seed: int, start: int = 0) -> BarFrame:
    """Return minutes of a random walk."""
    random = np.random.default_rng(seed)
    ts: NDArray[np.int64] = start + MINUTE * np.arange(rows, dtype=np.int64)
    return prices(ts, 100 + random.normal(0, 0.1, rows).cumsum())


def record(bars: BarFrame, known: int, lane: str = "bf:first", series: Series = A) -> RecordRows:
    """Return the rows of a record."""
    return RecordRows(series, lane, known, bars)


def put(writer: BarWriter, *records: RecordRows) -> None:
    """Write, wait and verify."""
    writer.wait_visible(writer.write(records))
    assert writer.verify(records) == []


def count(store: Store, table: str) -> int:
    """Return how many rows a table has."""
    sql = f"SELECT count() rows FROM {table}"
    return int(PgColumns(store._query.pg.query(sql, Until.after(10))).longs("rows")[0])


def run(store: Store, sql: str) -> None:
    """Run a statement as an operator would."""
    store._query.pg.query(sql, Until.after(10))
