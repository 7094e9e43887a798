"""Records made into the columns that are sent, and the checks that come before.

QuestDB takes what these checks refuse, and stores something else: a missing time becomes its own
clock, an infinity becomes NULL, a number becomes a node's name.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bars.errors import InvalidValueError
from bars.frame import PRICE_COLUMNS, BarFrame
from bars.series import Series, check_interval, check_lane, check_node
from bars.window import Window
from store.columns import Symbols
from store.errors import UnstorableRowError
from store.rows import RecordRows
from store.sql import MICROSECONDS

_NAT = np.iinfo(np.int64).min
_TS_MAX = 253_402_300_799
"""The last second of the year 9999, after which QuestDB has no timestamps."""

_TS_ALLOWED = "epoch seconds from 1970-01-01 to the end of 9999"
_KNOWN_ALLOWED = "epoch microseconds after 1970-01-01, one value or an int64 array as long as ts"


@dataclass(frozen=True, slots=True, eq=False)
class Batch:
    """Rows for one table."""

    interval: int
    ts: NDArray[np.int64]
    node: Symbols
    lane: Symbols
    known: NDArray[np.int64]
    prices: tuple[NDArray[np.float64], ...]

    def __len__(self) -> int:
        return int(self.ts.size)

    def frame(self, rows: slice) -> pd.DataFrame:
        """Return some rows as the frame that is sent."""
        columns: dict[str, object] = {
            "ts": (self.ts[rows] * MICROSECONDS).view("M8[us]"),
            "node": _categorical(self.node, rows),
        }
        columns.update(
            (name, column[rows]) for name, column in zip(PRICE_COLUMNS, self.prices, strict=True)
        )
        columns["lane"] = _categorical(self.lane, rows)
        columns["known"] = self.known[rows].view("M8[us]")
        return pd.DataFrame(columns, copy=False)


def batches(records: Sequence[RecordRows]) -> list[Batch]:
    """Check all records, then return their rows by ts, one batch for each bar length.

    Raises:
        UnstorableRowError: A row cannot be stored as it is.
    """
    _check_names(records)
    for record in records:
        _check_known_shape(record)
    made = pack(records)
    for batch in made:
        _check_rows(batch)
    return [_sorted(batch) for batch in made]


def pack(records: Sequence[RecordRows]) -> list[Batch]:
    """Return the rows of records as they are, one batch for each bar length."""
    grouped: dict[int, list[RecordRows]] = {}
    for record in records:
        if len(record.bars):
            grouped.setdefault(record.series.interval, []).append(record)
    return [_pack(interval, group) for interval, group in sorted(grouped.items())]


def spans(records: Iterable[RecordRows], interval: int) -> list[tuple[str, Window, int]]:
    """Return node, window and number of the rows of each record of one bar length."""
    return [
        (
            record.series.node,
            Window(int(record.bars.ts.min()), int(record.bars.ts.max()) + 1),
            len(record.bars),
        )
        for record in records
        if record.series.interval == interval and len(record.bars)
    ]


def _check_names(records: Iterable[RecordRows]) -> None:
    seen: set[tuple[Series, str]] = set()
    try:
        for record in records:
            series, lane = record.series, check_lane(record.lane)
            if (series, lane) in seen:
                continue
            check_node(series.node)
            check_interval(series.interval)
            seen.add((series, lane))
    except InvalidValueError as error:
        raise UnstorableRowError(error.field, error.found, error.allowed) from error


def _check_known_shape(record: RecordRows) -> None:
    """Refuse a `known` that is no time, or not one for each row."""
    known: object = record.known
    if isinstance(known, np.ndarray):
        if known.dtype != np.int64 or known.shape != record.bars.ts.shape:
            found = f"{known.dtype} of shape {known.shape} for {len(record.bars)} bars"
            raise UnstorableRowError("known", found, _KNOWN_ALLOWED)
    elif isinstance(known, bool) or not isinstance(known, int | np.int64):
        raise UnstorableRowError("known", known, _KNOWN_ALLOWED)
    elif not 0 < known <= _TS_MAX * MICROSECONDS:
        raise UnstorableRowError("known", "NaT" if known == _NAT else known, _KNOWN_ALLOWED)


def _pack(interval: int, records: Sequence[RecordRows]) -> Batch:
    sizes = np.array([len(record.bars) for record in records])
    bars = BarFrame.concat(record.bars for record in records)
    known = np.empty(len(bars), np.int64)
    start = 0
    for record, size in zip(records, sizes, strict=True):
        known[start : start + size] = record.known
        start += size
    return Batch(
        interval,
        bars.ts,
        _symbols([record.series.node for record in records], sizes),
        _symbols([record.lane for record in records], sizes),
        known,
        bars.prices,
    )


def _symbols(texts: Sequence[str], sizes: NDArray[np.int64]) -> Symbols:
    place: dict[str, int] = {}
    codes = [place.setdefault(text, len(place)) for text in texts]
    return Symbols(np.repeat(np.array(codes, np.int32), sizes), tuple(place))


def _sorted(batch: Batch) -> Batch:
    """Return the batch ascending by ts: the server then has nothing to sort."""
    ts = batch.ts
    if ts.size < 2 or bool((ts[1:] >= ts[:-1]).all()):  # noqa: PLR2004 - a pair
        return batch
    order = np.argsort(ts, kind="stable")
    return Batch(
        batch.interval,
        ts[order],
        Symbols(batch.node.codes[order], batch.node.names),
        Symbols(batch.lane.codes[order], batch.lane.names),
        batch.known[order],
        tuple(column[order] for column in batch.prices),
    )


def _categorical(symbols: Symbols, rows: slice) -> object:
    return pd.Categorical.from_codes(
        symbols.codes[rows],
        dtype=pd.CategoricalDtype(pd.Index(symbols.names, dtype=object)),
        validate=False,
    )


_TIME_CHECKS: tuple[tuple[str, Callable[[Batch], NDArray[np.int64]], int, int, str], ...] = (
    ("ts", lambda batch: batch.ts, 0, _TS_MAX, _TS_ALLOWED),
    ("known", lambda batch: batch.known, 1, _TS_MAX * MICROSECONDS, _KNOWN_ALLOWED),
)


def _check_rows(batch: Batch) -> None:
    for field, column, lowest, highest, allowed in _TIME_CHECKS:
        values = column(batch)
        bad = (values < lowest) | (values > highest)
        if bad.any():
            value = int(values[bad.argmax()])
            where = _place(batch, int(bad.argmax()))
            raise UnstorableRowError(
                f"{field} of {where}", "NaT" if value == _NAT else value, allowed
            )
    for field, prices in zip(PRICE_COLUMNS, batch.prices, strict=True):
        endless = np.isinf(prices)
        if endless.any():
            row = int(endless.argmax())
            raise UnstorableRowError(
                f"{field} of {_place(batch, row)}", float(prices[row]), "finite, or NaN for none"
            )


def _place(batch: Batch, row: int) -> str:
    return f"{batch.node.names[batch.node.codes[row]]} row {row}"
