"""What is asked for, checked before anything is read: series, window, and how the node trades."""

import operator
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

from bars.calendars import Calendar
from bars.errors import InvalidValueError
from bars.series import Series
from bars.window import Grid, Window
from runtime import NodeSettings

TS_END = 253_402_300_800
"""10000-01-01: what lies beyond is milliseconds by mistake."""

SLOTS_MAX = 10_000_000
"""Most slots of one answer: 19 years of minutes, half a gigabyte of columns."""

Calendars: TypeAlias = Callable[[NodeSettings], Calendar]
Nodes: TypeAlias = Callable[[Series], NodeSettings]


@dataclass(frozen=True, slots=True)
class Ask:
    """One series and window, and what is needed to judge them."""

    series: Series
    window: Window
    node: NodeSettings
    calendar: Calendar
    request_id: str
    """Names the call in logs, requests and metadata."""

    @property
    def grid(self) -> Grid:
        """The open times that the series may have."""
        return self.node.grid

    @property
    def listed(self) -> Window:
        """When the series is listed, as far as anybody says."""
        start, end = self.node.listed_start, self.node.listed_end
        return Window(0 if start is None else start, TS_END if end is None else end)


def whole(value: object, field: str, allowed: str) -> int:
    """Return `value` as an int, if it is a whole number and no bool; numpy's count as well.

    Raises:
        InvalidValueError: It is something else.
    """
    try:
        if isinstance(value, bool):
            raise TypeError
        return operator.index(value)  # type: ignore[arg-type]
    except TypeError:
        raise InvalidValueError(field, value, allowed) from None


def check_series(node_id: object, interval: object) -> Series:
    """Return the series.

    Raises:
        InvalidValueError: A part of it is not what it may be.
    """
    seconds = whole(interval, "interval", "a whole number of seconds above 0")
    return Series(node_id, seconds)  # type: ignore[arg-type]  # it checks


def check_moment(moment: object, field: str) -> int:
    """Return epoch seconds.

    Raises:
        InvalidValueError: It is something else.
    """
    allowed = "whole epoch seconds from 1970 to 9999"
    found = whole(moment, field, allowed)
    if not 0 <= found <= TS_END:
        raise InvalidValueError(field, found, allowed)
    return found


def check_window(start: object, end: object) -> Window:
    """Return the half-open window.

    Raises:
        InvalidValueError: An end is no epoch second, or there is nothing between them.
    """
    return Window(check_moment(start, "start"), check_moment(end, "end"))


def check_inclusive(first: object, last: object, series: Series) -> Window:
    """Return the window of the bars from `first` to `last`, both inclusive.

    Raises:
        InvalidValueError: One is no epoch second, or the last lies before the first.
    """
    start, end = check_moment(first, "start"), check_moment(last, "end")
    if end < start:
        raise InvalidValueError("end", end, f"at or after start {start}")
    return check_window(start, min(end + series.interval, TS_END))
