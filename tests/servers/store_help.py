"""Bars and records for tests of the store on the real server."""

import secrets
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager

import numpy as np
from numpy.typing import NDArray

from bars.frame import BarFrame
from bars.series import Series
from bars.window import Window
from runtime.settings import StoreSettings
from store import BarWriter, RecordRows, Store
from store._time import Until
from store.columns import PgColumns

MINUTE = 60
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


def new_series(interval: int = MINUTE) -> Series:
    """Return a series that nobody else has."""
    return Series(f"ohlcv:test:{secrets.token_hex(4)}", interval)


@contextmanager
def new_store(dsn: str) -> Iterator[Store]:
    """A store with tables of its own for minutes, removed at the end."""
    prefix = f"t{secrets.token_hex(4)}_"
    with Store.connect(StoreSettings(dsn=dsn, table_prefix=prefix)) as store:
        made = store.ensure_tables([MINUTE])
        yield store
        for table in made:
            run(store, f"DROP TABLE {table}")


def record(series: Series, bars: BarFrame, known: int, lane: str = "bf:first") -> RecordRows:
    """Return the rows of a record."""
    return RecordRows(series, lane, known, bars)


def put(writer: BarWriter, *records: RecordRows) -> None:
    """Write, wait and verify."""
    writer.wait_visible(writer.write(records))
    assert writer.verify(records) == []


def count(store: Store, series: Series) -> int:
    """Return how many rows of a series there are."""
    table = store.bars_table(series.interval)
    sql = f"SELECT count() rows FROM {table} WHERE node = '{series.node}'"
    return int(PgColumns(store._query.pg.query(sql, Until.after(10))).longs("rows")[0])


def run(store: Store, sql: str) -> None:
    """Run a statement as an operator would."""
    store._query.pg.query(sql, Until.after(10))
