"""Counting back in session bars. Pure."""

from bars.errors import InvalidValueError
from bars.window import Window
from provider._ask import SLOTS_MAX, Ask, whole

_SPAN_MAX_S = 200 * 31_556_952
"""Nobody has bars of more than two hundred years."""


def last_bars(ask: Ask, n_bars: object, end: object) -> Window | None:
    """Return the window that holds the last session bars before a moment; None without any.

    Args:
        ask: The series, its calendar and when it is listed.
        n_bars: How many.
        end: First open time that does not count.

    Raises:
        InvalidValueError: `n_bars` is no number of bars that one answer may have.
    """
    allowed = f"a whole number from 1 to {SLOTS_MAX}"
    count, until = whole(n_bars, "n_bars", allowed), whole(end, "end", "epoch seconds")
    if not 1 <= count <= SLOTS_MAX:
        raise InvalidValueError("n_bars", count, allowed)
    until = min(until, ask.listed.end)
    span_s = count * ask.grid.interval
    while until > ask.listed.start:
        start = max(ask.listed.start, until - span_s)
        found = ask.calendar.session_bars(ask.grid, Window(start, until))
        if found.size >= count:
            return Window(int(found[-count]), int(found[-1]) + ask.grid.interval)
        if start == ask.listed.start or span_s >= _SPAN_MAX_S:
            return None if not found.size else Window(int(found[0]), until)
        span_s = min(span_s * 2 + 7 * 86_400, _SPAN_MAX_S)
    return None
