"""The one door to `exchange_calendars`: sessions of an exchange as plain arrays.

That package has no type information, takes a second to import, and answers relative to
today's date unless it is given both ends: here it is imported when first needed, asked for
whole decades, and kept. Its holidays begin in 1970, as do the bars that a store can hold;
before, it has nearly every weekday.
"""

import warnings
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from typing import Any, TypeAlias

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bars.errors import InvalidValueError
from bars.window import Window

Times: TypeAlias = NDArray[np.int64]

DAY = 86_400
_YEARS = 10
_MARGIN_S = 3 * DAY
"""How far a session may reach beyond its own date (futures open the evening before)."""
_FIRST_YEAR, _AFTER_YEAR = 1700, 2250
"""What pandas' nanoseconds can hold, in whole decades."""


@dataclass(frozen=True, slots=True, eq=False)
class Sessions:
    """Sessions of one exchange, ascending, as epoch seconds."""

    dates: Times
    """00:00 UTC of each session's date."""

    opens: Times
    """Begin of each stretch of trading; a session with a break has two."""

    closes: Times
    """End of each stretch."""


@lru_cache(maxsize=1)
def codes() -> frozenset[str]:
    """Return every exchange code that is known, aliases included."""
    return frozenset(_package().get_calendar_names(include_aliases=True))


def sessions(code: str, window: Window) -> Sessions:
    """Return the sessions that may trade, or have their date, inside the window.

    Raises:
        InvalidValueError: The exchange is unknown, or its calendar does not reach that far.
    """
    first, end = _bounds(code)
    if window.start < first or window.end > end:
        raise InvalidValueError(
            "window", str(window), f"inside [{first}, {end}), which calendar {code} knows"
        )
    years = [
        _year(max(window.start - _MARGIN_S, first)),
        _year(min(window.end + _MARGIN_S, end) - 1),
    ]
    decades = range(years[0] // _YEARS, years[1] // _YEARS + 1)
    parts = [_decade(code, decade * _YEARS) for decade in decades]
    return Sessions(
        np.concatenate([p.dates for p in parts]),
        np.concatenate([p.opens for p in parts]),
        np.concatenate([p.closes for p in parts]),
    )


def _package() -> Any:
    import exchange_calendars  # noqa: PLC0415  a second to import, and few processes need it

    return exchange_calendars


def _calendar(code: str, start: str, end: str) -> Any:
    with warnings.catch_warnings():
        # Its own business with the next pandas; where warnings are errors it must not stop us.
        warnings.simplefilter("ignore", DeprecationWarning)
        return _package().get_calendar(code, start=start, end=end)


@lru_cache(maxsize=64)
def _bounds(code: str) -> tuple[int, int]:
    """Return the first second that the calendar knows and the first that it does not."""
    if code not in codes():
        raise InvalidValueError("calendar", code, "an exchange code such as XNYS")
    # The limits are class attributes behind an instance; any year that every calendar has will do.
    calendar = _calendar(code, "2020-01-01", "2020-12-31")
    low, high = calendar.bound_min(), calendar.bound_max()
    first = _midnight(date(_FIRST_YEAR, 1, 1)) if low is None else _seconds(low)
    end = _midnight(date(_AFTER_YEAR, 1, 1)) if high is None else _seconds(high) + DAY
    return first, end


@lru_cache(maxsize=256)
def _decade(code: str, year: int) -> Sessions:
    first, end = _bounds(code)
    start = max(first, _midnight(date(year, 1, 1)))
    last = min(end, _midnight(date(year + _YEARS, 1, 1))) - DAY
    try:
        calendar = _calendar(code, _iso(start), _iso(last))
    except _package().errors.NoSessionsError:
        empty = np.empty(0, np.int64)
        return Sessions(empty, empty, empty)
    schedule = calendar.schedule
    opens, closes = _column(schedule["open"]), _column(schedule["close"])
    pause, resume = _column(schedule["break_start"]), _column(schedule["break_end"])
    broken = schedule["break_start"].notna().to_numpy()
    return Sessions(
        schedule.index.to_numpy().astype("datetime64[s]").astype(np.int64),
        np.sort(np.concatenate([opens, resume[broken]])),
        np.sort(np.concatenate([np.where(broken, pause, closes), closes[broken]])),
    )


def _column(column: "pd.Series[pd.Timestamp]") -> Times:
    return column.dt.tz_convert(None).to_numpy().astype("datetime64[s]").astype(np.int64)


def _midnight(day: date) -> int:
    return int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp())


def _seconds(moment: pd.Timestamp) -> int:
    return _midnight(moment.date())


def _iso(ts: int) -> str:
    return (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=ts)).date().isoformat()


def _year(ts: int) -> int:
    return (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=ts)).year
