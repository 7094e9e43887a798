"""Bars as columns: the one in-memory shape that every part of the project passes on."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bars.errors import InvalidValueError
from bars.window import Window, merge

Times: TypeAlias = NDArray[np.int64]
Column: TypeAlias = NDArray[np.float64]

PRICE_COLUMNS = ("open", "high", "low", "close", "volume")
COLUMNS = ("ts", *PRICE_COLUMNS)


def inside_any(ts: Times, windows: Iterable[Window]) -> NDArray[np.bool_]:
    """Return for each time whether one of the windows holds it."""
    merged = merge(windows)
    if not merged:
        return np.zeros(ts.size, np.bool_)
    if len(merged) == 1:  # by far the most, and ten times as fast
        only: NDArray[np.bool_] = (ts >= merged[0].start) & (ts < merged[0].end)
        return only
    starts = np.array([w.start for w in merged], np.int64)
    ends = np.array([w.end for w in merged], np.int64)
    at = np.searchsorted(starts, ts, side="right") - 1
    held: NDArray[np.bool_] = (at >= 0) & (ts < ends[at])
    return held


def among(ts: Times, ascending: Times) -> NDArray[np.bool_]:
    """Return for each time, in any order, whether it stands among ascending ones."""
    if not ascending.size:
        return np.zeros(ts.size, np.bool_)
    if np.array_equal(ts, ascending):  # a whole answer: nothing has to be looked up
        return np.ones(ts.size, np.bool_)
    at = np.minimum(np.searchsorted(ascending, ts), ascending.size - 1)
    found: NDArray[np.bool_] = ascending[at] == ts
    return found


def _frozen(array: NDArray[np.generic]) -> None:
    array.flags.writeable = False


@dataclass(frozen=True, slots=True, eq=False)
class BarFrame:
    """Rows of `ts` (int64 epoch seconds) and five float64 columns, all of one length.

    Nothing is promised about order, repeats or values: conformance judges those. The frame
    takes the arrays over: they become read-only. A row whose five values are NaN is a
    withdrawn bar.
    """

    ts: Times
    open: Column
    high: Column
    low: Column
    close: Column
    volume: Column

    def __post_init__(self) -> None:
        if self.ts.dtype != np.int64 or self.ts.ndim != 1:
            raise InvalidValueError("ts", self.ts.dtype, "a one-dimensional int64 array")
        _frozen(self.ts)
        for name in PRICE_COLUMNS:
            column = getattr(self, name)
            if column.dtype != np.float64 or column.shape != self.ts.shape:
                raise InvalidValueError(
                    name, f"{column.dtype} {column.shape}", f"float64 of shape {self.ts.shape}"
                )
            _frozen(column)

    @classmethod
    def empty(cls) -> "BarFrame":
        """Return a frame without rows."""
        return cls(np.empty(0, np.int64), *(np.empty(0, np.float64) for _ in PRICE_COLUMNS))

    @classmethod
    def concat(cls, frames: Iterable["BarFrame"]) -> "BarFrame":
        """Return the rows of all frames, one after another."""
        parts = list(frames)
        if not parts:
            return cls.empty()
        return cls(*(np.concatenate([getattr(p, name) for p in parts]) for name in COLUMNS))

    @property
    def prices(self) -> tuple[Column, ...]:
        """The five value columns in order."""
        return (self.open, self.high, self.low, self.close, self.volume)

    @property
    def has_prices(self) -> NDArray[np.bool_]:
        """Mask of the rows that are not withdrawn."""
        gone: NDArray[np.bool_] = np.logical_and.reduce([np.isnan(c) for c in self.prices])
        return ~gone

    def __len__(self) -> int:
        return int(self.ts.size)

    def take(
        self, rows: NDArray[np.bool_] | NDArray[np.intp] | slice | Sequence[int]
    ) -> "BarFrame":
        """Return the rows that a mask, positions or a slice choose."""
        return BarFrame(self.ts[rows], *(c[rows] for c in self.prices))

    def inside(self, window: Window) -> "BarFrame":
        """Return the rows whose open time is inside the window."""
        return self.take((self.ts >= window.start) & (self.ts < window.end))

    def same_rows(self, other: "BarFrame") -> NDArray[np.bool_]:
        """Return for each row whether its values equal `other`'s, bit for bit; NaN equals NaN.

        Raises:
            InvalidValueError: The frames have not the same number of rows.
        """
        if len(self) != len(other):
            raise InvalidValueError("rows", len(other), f"{len(self)}")
        same: NDArray[np.bool_] = np.logical_and.reduce(
            [
                (a.view(np.int64) == b.view(np.int64)) | (np.isnan(a) & np.isnan(b))
                for a, b in zip(self.prices, other.prices, strict=True)
            ]
        )
        return same

    def equals(self, other: "BarFrame") -> bool:
        """Return whether both have the same rows in the same order, bit for bit."""
        return bool(np.array_equal(self.ts, other.ts) and self.same_rows(other).all())

    def to_pandas(self) -> pd.DataFrame:
        """Return a frame of `ts` int64 and five float64 columns with a fresh RangeIndex.

        Its values are its own: pandas copies what a mapping brings.
        """
        return pd.DataFrame({name: getattr(self, name) for name in COLUMNS}, copy=True)
