"""The one door to `exchange_calendars`: sessions of an exchange as plain arrays.

That package has no type information, takes a second to import, and answers relative to
today's date unless it is given both ends: here it is imported when first needed, asked once
for all the years that it and a store can hold, and kept. (Its holidays begin in 1970 too.)
"""

import warnings
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, TypeAlias

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bars.errors import InvalidValueError
from bars.window import Window

Times: TypeAlias = NDArray[np.int64]

DAY = 86_400
_FIRST, _LAST = "1970-01-01", "2099-12-31"


@dataclass(frozen=True, slots=True, eq=False)
class Sessions:
    """Sessions of one exchange, ascending, as epoch seconds."""

    known: Window
    """The days that the calendar knows anything of."""

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
    """Return all sessions of an exchange, if they include those of the window.

    Raises:
        InvalidValueError: The exchange is unknown, or its calendar does not reach that far.
    """
    found = _sessions(code)
    if not found.known.covers(window):
        raise InvalidValueError(
            "window", str(window), f"inside {found.known}, which calendar {code} knows"
        )
    return found


@lru_cache(maxsize=128)
def _sessions(code: str) -> Sessions:
    if code not in codes():
        raise InvalidValueError("calendar", code, "an exchange code such as XNYS")
    first, last = _FIRST, _LAST
    try:
        calendar = _calendar(code, start=first, end=last)
    except ValueError:
        # A few calendars are recorded for some years only; what they say of them is public
        # on an instance alone.
        some = _calendar(code)
        low, high = some.bound_min(), some.bound_max()
        first = first if low is None else max(first, f"{low:%Y-%m-%d}")
        last = last if high is None else min(last, f"{high:%Y-%m-%d}")
        calendar = _calendar(code, start=first, end=last)
    schedule = calendar.schedule
    opens, closes = _seconds(schedule["open"]), _seconds(schedule["close"])
    pause, resume = _seconds(schedule["break_start"]), _seconds(schedule["break_end"])
    broken = schedule["break_start"].notna().to_numpy()
    return Sessions(
        Window(_day(first), _day(last) + DAY),
        schedule.index.to_numpy().astype("datetime64[s]").astype(np.int64),
        np.sort(np.concatenate([opens, resume[broken]])),
        np.sort(np.concatenate([np.where(broken, pause, closes), closes[broken]])),
    )


def _package() -> Any:
    import exchange_calendars  # noqa: PLC0415  a second to import, and few processes need it

    return exchange_calendars


def _calendar(code: str, **span: str) -> Any:
    with warnings.catch_warnings():
        # Its own business with the next pandas; where warnings are errors it must not stop us.
        warnings.simplefilter("ignore", DeprecationWarning)
        return _package().get_calendar(code, **span)


def _seconds(column: "pd.Series[pd.Timestamp]") -> Times:
    return column.dt.tz_convert(None).to_numpy().astype("datetime64[s]").astype(np.int64)


def _day(iso: str) -> int:
    return int(np.datetime64(iso, "s").astype(np.int64))
