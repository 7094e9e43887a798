"""The time column of a file as epoch seconds. Pure; nothing is guessed.

A column holds one kind of time throughout: epoch seconds or milliseconds, ISO 8601 with or
without an offset, or dates. A date is a session's and means 00:00 UTC of it, whatever the time
zone of the file; a naive time means local time of that zone and has to exist there exactly once.
"""

from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from sources.errors import Cell

ALLOWED = "epoch seconds or milliseconds, an ISO 8601 time in whole seconds, or a date"

_MILLISECONDS_FROM = 10**11  # as seconds the year 5138, as milliseconds March 1973
_MICROSECONDS_FROM = 10**14
_COMPACT_DATES = (1900_01_01, 2100_12_31)
_CLOCK = r"^\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d([.,]\d+)?)?"
_KINDS = (
    ("an epoch number", r"^[+-]?\d+$"),
    ("a date like 20040819", r"^\d{8}$"),
    ("a date like 2004-08-19", r"^\d{4}-\d\d-\d\d$"),
    ("a naive time", _CLOCK + "$"),
    ("a time with an offset", _CLOCK + r" ?([Zz]|[+-]\d\d(:?\d\d)?)$"),
)
_EPOCH, _COMPACT, _DATE, _NAIVE, _AWARE = range(1, 6)


class CellError(Exception):
    """A cell without which the file cannot be read."""

    def __init__(self, cell: Cell) -> None:
        super().__init__(cell)
        self.cell = cell


def parse_times(column: Any, name: str, zone: str) -> NDArray[np.int64]:
    """Return epoch seconds in the order of the rows.

    Args:
        column: An Arrow column.
        name: What it is called in the file.
        zone: What naive times mean.

    Raises:
        CellError: The first cell that is not a time, or not of the same kind as the first one.
    """
    return _Column(column, name, zone).seconds()


class _Column:
    def __init__(self, column: Any, name: str, zone: str) -> None:
        if pa.types.is_dictionary(column.type):
            column = column.cast(column.type.value_type)
        self._column = column
        self._name = name
        self._zone = zone

    def seconds(self) -> NDArray[np.int64]:
        kind = self._column.type
        if not len(self._column):
            return np.empty(0, np.int64)
        self._refuse(mask(self._column.is_null()), ALLOWED)
        if pa.types.is_string(kind) or pa.types.is_large_string(kind):
            return self._of_text(pc.utf8_trim_whitespace(self._column))
        if pa.types.is_integer(kind):
            numbers = self._column.cast(pa.int64()).to_numpy()
            self._refuse(_looks_like_dates(numbers), "dates as text, or epoch seconds")
            return self._of_epoch(numbers)
        if pa.types.is_date(kind):
            return self._whole(self._column.to_numpy())
        if pa.types.is_timestamp(kind):
            moments = self._column.to_numpy()
            return self._whole(moments if kind.tz else self._local(moments))
        raise CellError(Cell(0, self._name, f"a column of {kind}", ALLOWED))

    def _of_text(self, text: Any) -> NDArray[np.int64]:
        first = self._kind(text)
        if first == _EPOCH:
            return self._of_epoch(self._integers(text))
        moments = _quickly(text, first)
        if moments is None:
            form = "%Y%m%d" if first == _COMPACT else "ISO8601"
            values = pd.Series(text.to_pylist(), dtype="object")
            read = pd.to_datetime(values, format=form, errors="coerce", utc=first == _AWARE)
            self._refuse(read.isna().to_numpy(), ALLOWED)
            moments = (read.dt.tz_localize(None) if first == _AWARE else read).to_numpy()
        return self._whole(self._local(moments) if first == _NAIVE else moments)

    def _kind(self, text: Any) -> int:
        """Return the kind of time that every row is; raise for the first that is another."""
        for code in (_COMPACT, _EPOCH, _DATE, _NAIVE, _AWARE):
            if _is(text[:1], code)[0] and _is(text, code).all():
                return code
        kinds = np.zeros(len(text), np.int8)
        for code in range(1, len(_KINDS) + 1):
            kinds[_is(text, code)] = code
        self._refuse(kinds == 0, ALLOWED)
        kinds[kinds == _COMPACT] = _EPOCH  # eight digits are a date only if all of them are
        first = int(kinds[0])
        self._refuse(kinds != first, f"{_KINDS[first - 1][0]}, as the first row has")
        return first

    def _integers(self, text: Any) -> NDArray[np.int64]:
        long = mask(pc.greater(pc.utf8_length(text), 17))
        self._refuse(long, ALLOWED)
        digits = pc.utf8_ltrim(text, "+")
        numbers: NDArray[np.int64] = digits.cast(pa.int64()).to_numpy()
        return numbers

    def _of_epoch(self, numbers: NDArray[np.int64]) -> NDArray[np.int64]:
        size = np.abs(numbers)
        self._refuse(size >= _MICROSECONDS_FROM, "epoch seconds or milliseconds")
        in_ms = size >= _MILLISECONDS_FROM
        unit = "milliseconds" if in_ms[0] else "seconds"
        self._refuse(in_ms != in_ms[0], f"epoch {unit}, as the first row has")
        if not in_ms[0]:
            return numbers.astype(np.int64)
        self._refuse(numbers % 1_000 != 0, "a time in whole seconds")
        return numbers // 1_000

    def _local(self, naive: NDArray[np.datetime64]) -> NDArray[np.datetime64]:
        """Return local times as UTC."""
        if self._zone == "UTC":
            return naive
        local = pd.DatetimeIndex(naive).tz_localize(self._zone, ambiguous="NaT", nonexistent="NaT")
        self._refuse(
            np.asarray(local.isna()),
            f"a local time that exists exactly once in {self._zone}, or one with an offset",
        )
        return local.tz_convert(None).to_numpy()

    def _whole(self, moments: NDArray[np.datetime64]) -> NDArray[np.int64]:
        seconds = moments.astype("datetime64[s]")
        self._refuse(seconds != moments, "a time in whole seconds")
        return seconds.astype(np.int64)

    def _refuse(self, rows: NDArray[np.bool_], allowed: str) -> None:
        """Raise for the first of the rows, if there is one."""
        if rows.any():
            row = int(np.argmax(rows))
            raise CellError(Cell(row, self._name, self._column[row].as_py(), allowed))


def _is(text: Any, kind: int) -> NDArray[np.bool_]:
    return mask(pc.match_substring_regex(text, _KINDS[kind - 1][1]))


def _quickly(text: Any, kind: int) -> NDArray[np.datetime64] | None:
    """Return what Arrow reads; None if there is something that it does not understand."""
    types = {
        _DATE: pa.date32(),
        _NAIVE: pa.timestamp("us"),
        _AWARE: pa.timestamp("us", "UTC"),
    }
    if kind not in types:
        return None
    try:
        moments: NDArray[np.datetime64] = text.cast(types[kind]).to_numpy(zero_copy_only=False)
    except pa.ArrowInvalid:
        return None
    return moments


def mask(column: Any) -> NDArray[np.bool_]:
    """Return an Arrow column of truth values without nulls as an array."""
    return np.array(column.to_numpy(zero_copy_only=False), np.bool_)


def _looks_like_dates(numbers: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Mask of all rows if each number reads as a date like 20040819, which is no time of ours."""
    low, high = _COMPACT_DATES
    dates = False
    if ((numbers >= low) & (numbers <= high)).all():
        read = pd.to_datetime(pd.Series(numbers.astype(str)), format="%Y%m%d", errors="coerce")
        dates = bool(read.notna().all())
    return np.full(numbers.shape, dates)
