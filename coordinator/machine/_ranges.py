"""Ascending, disjoint windows, changed at one place without looking at the others.

`bars.window` works on any windows and sorts them; the machine's are in order, and may be many.
"""

from bisect import bisect_left, bisect_right
from operator import attrgetter

from bars.window import Window

_START = attrgetter("start")
_END = attrgetter("end")


def overlaps(ranges: tuple[Window, ...], window: Window) -> bool:
    """Return whether any of the ranges shares an open time with `window`."""
    i = bisect_right(ranges, window.end - 1, key=_START)
    return i > 0 and ranges[i - 1].end > window.start


def inside(ranges: tuple[Window, ...], window: Window) -> tuple[Window, ...]:
    """Return the parts of the ranges that lie inside `window`."""
    first, end = _touched(ranges, window)
    parts = list(ranges[first:end])
    if parts and parts[0].start < window.start:
        parts[0] = Window(window.start, parts[0].end)
    if parts and parts[-1].end > window.end:
        parts[-1] = Window(parts[-1].start, window.end)
    return tuple(parts)


def without(ranges: tuple[Window, ...], window: Window) -> tuple[Window, ...]:
    """Return the ranges less what lies inside `window`."""
    first, end = _touched(ranges, window)
    if first == end:
        return ranges
    rest = []
    if ranges[first].start < window.start:
        rest.append(Window(ranges[first].start, window.start))
    if ranges[end - 1].end > window.end:
        rest.append(Window(window.end, ranges[end - 1].end))
    return (*ranges[:first], *rest, *ranges[end:])


def added(ranges: tuple[Window, ...], window: Window) -> tuple[Window, ...]:
    """Return the ranges and `window`, those that touch it joined with it."""
    first = bisect_left(ranges, window.start, key=_END)
    end = bisect_right(ranges, window.end, key=_START)
    if first < end:
        start = min(ranges[first].start, window.start)
        window = Window(start, max(ranges[end - 1].end, window.end))
    return (*ranges[:first], window, *ranges[max(first, end) :])


def first_outside(ranges: tuple[Window, ...], taken: tuple[Window, ...]) -> int | None:
    """Return the first open time of the ranges that is in none of `taken`; None: all are.

    Looks once at each of `taken` at most, however many ranges one of them covers.
    """
    i, ts = 0, ranges[0].start if ranges else 0
    while i < len(ranges):
        ts = max(ts, ranges[i].start)
        k = bisect_right(taken, ts, key=_START) - 1
        if k < 0 or taken[k].end <= ts:
            return ts
        ts = taken[k].end
        i = bisect_right(ranges, ts, key=_END)
    return None


def last_outside(ranges: tuple[Window, ...], taken: tuple[Window, ...]) -> int | None:
    """Return the last open time of the ranges that is in none of `taken`; None: all are."""
    i, ts = len(ranges) - 1, ranges[-1].end - 1 if ranges else 0
    while i >= 0:
        ts = min(ts, ranges[i].end - 1)
        k = bisect_right(taken, ts, key=_START) - 1
        if k < 0 or taken[k].end <= ts:
            return ts
        ts = taken[k].start - 1
        i = bisect_right(ranges, ts, key=_START) - 1
    return None


def around(ranges: tuple[Window, ...], ts: int, taken: tuple[Window, ...]) -> Window:
    """Return the longest stretch with `ts` in it, in one of the ranges and in none of `taken`."""
    part = ranges[bisect_right(ranges, ts, key=_END)]
    start, end = part.start, part.end
    k = bisect_right(taken, ts, key=_START)
    if k > 0:
        start = max(start, taken[k - 1].end)
    if k < len(taken):
        end = min(end, taken[k].start)
    return Window(start, end)


def _touched(ranges: tuple[Window, ...], window: Window) -> tuple[int, int]:
    """Return where the ranges that share an open time with `window` begin and end."""
    first = bisect_right(ranges, window.start, key=_END)
    return first, max(first, bisect_left(ranges, window.end, key=_START))
