"""Half-open windows of bar open times, sets of them, and the grid they lie on.

Every time is an `int`, seconds since the Unix epoch, UTC. A bar is inside `[start, end)` when
`start <= ts < end`. Functions that return several windows return them ascending, disjoint and
not touching. Everything is linear after sorting.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from numbers import Integral
from operator import attrgetter

from bars.errors import InvalidValueError
from bars.series import check_interval

_ENDS = attrgetter("start", "end")


@dataclass(frozen=True, slots=True, order=True)
class Window:
    """A half-open range of bar open times; never empty."""

    start: int
    """First open time inside."""

    end: int
    """First open time after it."""

    def __post_init__(self) -> None:
        if self.start >= self.end:
            raise InvalidValueError("end", self.end, f"after start {self.start}")

    def __contains__(self, ts: object) -> bool:
        # numpy's integers are Integral and no int.
        return isinstance(ts, Integral) and self.start <= int(ts) < self.end

    def __str__(self) -> str:
        return f"[{self.start}, {self.end})"

    def intersect(self, other: "Window") -> "Window | None":
        """Return what both hold, or None."""
        start, end = max(self.start, other.start), min(self.end, other.end)
        return Window(start, end) if start < end else None

    def covers(self, other: "Window") -> bool:
        """Return whether all of `other` is inside."""
        return self.start <= other.start and other.end <= self.end


def merge(windows: Iterable[Window]) -> tuple[Window, ...]:
    """Return the union of windows in any order, as few windows as possible."""
    merged: list[Window] = []
    found = sorted(windows, key=_ENDS)
    if len(found) <= 1:
        return tuple(found)
    for window in found:
        if merged and window.start <= merged[-1].end:
            if window.end > merged[-1].end:
                merged[-1] = Window(merged[-1].start, window.end)
        else:
            merged.append(window)
    return tuple(merged)


def subtract(wanted: Iterable[Window], held: Iterable[Window]) -> tuple[Window, ...]:
    """Return the parts of `wanted` that no window in `held` covers."""
    rest: list[Window] = []
    taken = merge(held)
    i = 0
    for window in merge(wanted):
        start = window.start
        while i < len(taken) and taken[i].end <= start:
            i += 1
        j = i
        while j < len(taken) and taken[j].start < window.end:
            if taken[j].start > start:
                rest.append(Window(start, taken[j].start))
            start = max(start, taken[j].end)
            j += 1
        if start < window.end:
            rest.append(Window(start, window.end))
    return tuple(rest)


def intersect(a: Iterable[Window], b: Iterable[Window]) -> tuple[Window, ...]:
    """Return the parts that both sets cover."""
    left, right = merge(a), merge(b)
    both: list[Window] = []
    i = j = 0
    while i < len(left) and j < len(right):
        common = left[i].intersect(right[j])
        if common is not None:
            both.append(common)
        if left[i].end <= right[j].end:
            i += 1
        else:
            j += 1
    return tuple(both)


def covered(wanted: Window, held: Iterable[Window]) -> bool:
    """Return whether `held` together covers all of `wanted`."""
    return not subtract((wanted,), held)


@dataclass(frozen=True, slots=True)
class Grid:
    """The open times a series may have: `origin + k * interval`."""

    interval: int
    """Bar length in seconds."""

    origin: int = 0
    """One of the open times."""

    def __post_init__(self) -> None:
        check_interval(self.interval)

    def floor(self, ts: int) -> int:
        """Return the last open time at or before `ts`."""
        return ts - (ts - self.origin) % self.interval

    def ceil(self, ts: int) -> int:
        """Return the first open time at or after `ts`."""
        return ts + (self.origin - ts) % self.interval

    def on(self, ts: int) -> bool:
        """Return whether a bar may open at `ts`."""
        return (ts - self.origin) % self.interval == 0

    def slots(self, window: Window) -> int:
        """Return how many open times lie inside the window."""
        first, end = self.ceil(window.start), self.ceil(window.end)
        return max(0, (end - first) // self.interval)

    def align(self, window: Window) -> Window | None:
        """Return the window from its first to after its last open time; None if it has none."""
        start, end = self.ceil(window.start), self.ceil(window.end)
        return Window(start, end) if start < end else None

    def split(self, window: Window, window_bars: int) -> Iterator[Window]:
        """Yield the pieces of `window` between multiples of `window_bars` slots, ascending.

        The cuts do not depend on the window, so overlapping requests share their pieces.

        Raises:
            InvalidValueError: `window_bars` is not above 0.
        """
        if window_bars <= 0:
            raise InvalidValueError("window_bars", window_bars, "above 0")
        step = self.interval * window_bars
        start = window.start
        while start < window.end:
            cut = start - (start - self.origin) % step + step
            yield Window(start, min(cut, window.end))
            start = cut
