"""Frames of different sources as one answer: columns reconciled, no bar twice, ascending. Pure."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import pandas as pd

from bars.frame import COLUMNS, PRICE_COLUMNS, BarFrame
from bars.window import Window
from sources import SourceError, bars_of

_ALIASES = {
    "timestamp": "ts",
    "time": "ts",
    "open_time": "ts",
    "o": "open",
    "h": "high",
    "l": "low",
    "c": "close",
    "v": "volume",
    "vol": "volume",
}


@dataclass(frozen=True, slots=True, eq=False)
class Piece:
    """Bars of one window from one source."""

    window: Window
    """What it covers."""

    bars: BarFrame
    source: str
    versioned: bool
    """Whether the source keeps versions: then its bars win over those of one that does not."""


def reconcile(frame: pd.DataFrame, source: str) -> tuple[BarFrame, tuple[str, ...]]:
    """Return the bars of a source's frame, ascending and each once, and the columns left out.

    Names may be written otherwise (`Open`, `timestamp`, `vol`), times may be datetimes (naive
    ones are UTC) or the index, and numbers of any type. Nothing is made up: a column that is not
    there is an error. Of rows with one time the last counts; rows without prices are no bars.

    Raises:
        SourceError: A column is missing or cannot be read.
    """
    if not len(frame):
        return BarFrame.empty(), ()
    if isinstance(frame.index, pd.DatetimeIndex) and "ts" not in frame.columns:
        frame = frame.rename_axis("ts").reset_index()
    taken: dict[str, pd.Series] = {}
    dropped = []
    for position, given in enumerate(map(str, frame.columns)):
        name = _ALIASES.get(given.lower(), given.lower())
        if name in COLUMNS and name not in taken:
            taken[name] = frame.iloc[:, position]
        else:
            dropped.append(given)
    missing = [name for name in COLUMNS if name not in taken]
    if missing:
        raise SourceError(source, f"the frame has no column {', '.join(missing)}")
    if isinstance(taken["ts"].dtype, pd.DatetimeTZDtype) or taken["ts"].dtype.kind == "M":
        taken["ts"] = _seconds(taken["ts"], source)
    for name in PRICE_COLUMNS:
        if taken[name].dtype.kind not in "iuf":
            taken[name] = _numbers(taken[name], name, source)
    bars = bars_of(pd.DataFrame({name: taken[name].to_numpy() for name in COLUMNS}), source)
    return ordered(bars), tuple(dropped)


def ordered(bars: BarFrame) -> BarFrame:
    """Return the bars ascending, of each time the last that has prices."""
    priced = bars.has_prices
    if not priced.all():
        bars = bars.take(priced)
    if bool((bars.ts[1:] > bars.ts[:-1]).all()):
        return bars
    order = np.argsort(bars.ts, kind="stable")
    ts = bars.ts[order]
    last = np.ones(ts.size, np.bool_)
    last[:-1] = ts[1:] != ts[:-1]
    return bars.take(order[last])


def join(pieces: Iterable[Piece]) -> BarFrame:
    """Return all bars as one frame.

    Where pieces overlap all the same, one with versions wins over one without, and among equals
    the one that comes first.
    """
    found = list(pieces)
    if len(found) == 1:
        return ordered(found[0].bars)
    plain = [p.bars for p in reversed(found) if not p.versioned]
    versioned = [p.bars for p in reversed(found) if p.versioned]
    return ordered(BarFrame.concat((*plain, *versioned)))  # of equal times the last counts


def _seconds(times: "pd.Series[pd.Timestamp]", source: str) -> "pd.Series[int]":
    if times.isna().any():
        raise SourceError(source, "column ts has a row without a time")
    utc = pd.to_datetime(times, utc=True).dt.tz_localize(None)
    micros = utc.to_numpy().astype("datetime64[us]").astype(np.int64)
    if (micros % 1_000_000).any():
        raise SourceError(source, "column ts must be whole seconds")
    return pd.Series(micros // 1_000_000)


def _numbers(column: "pd.Series[float]", name: str, source: str) -> "pd.Series[float]":
    try:
        return pd.Series(column.to_numpy(dtype=np.float64, na_value=np.nan))
    except (TypeError, ValueError):
        raise SourceError(source, f"column {name} must be numbers, was {column.dtype}") from None
