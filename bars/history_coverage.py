"""Coverage as the provider's surface speaks of it: **inclusive** first and last bar timestamps.

Everything else in the project uses half-open windows; this module is the only place that
converts between the two. The functions with a leading underscore take plain `(start, end)`
tuples: closed ranges of the time line without an interval, sets of bars with one. All are
linear after sorting.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from bars.errors import InvalidValueError
from bars.series import check_interval
from bars.window import Grid, Window, merge, subtract

Range: TypeAlias = tuple[int, int]


def _check_order(start: int, end: int) -> None:
    if start > end:
        raise InvalidValueError("end", end, f"at or after start {start}")


@dataclass(frozen=True, slots=True, order=True)
class CoverageRange:
    """Bars that are held, from the first to the last, both included."""

    start: int
    """Open time of the first bar."""

    end: int
    """Open time of the last bar."""

    def __post_init__(self) -> None:
        _check_order(self.start, self.end)


@dataclass(frozen=True, slots=True, order=True)
class WarmupWindow:
    """The bars `start`, `start + interval`, ... up to `end`, both included."""

    start: int
    """Open time of the first bar wanted; the window's grid begins here."""

    end: int
    """No bar after it is wanted."""

    interval: int
    """Bar length in seconds."""

    def __post_init__(self) -> None:
        _check_order(self.start, self.end)
        check_interval(self.interval)


def to_ranges(windows: Iterable[Window], grid: Grid) -> tuple[CoverageRange, ...]:
    """Return the first and last open time on the grid of each window, windows merged first.

    A window without an open time on the grid has no range.
    """
    aligned = (grid.align(window) for window in merge(windows))
    return tuple(
        CoverageRange(w.start, w.end - grid.interval) for w in merge(a for a in aligned if a)
    )


def to_windows(ranges: Iterable[CoverageRange], interval: int) -> tuple[Window, ...]:
    """Return the half-open windows that hold the bars of the ranges, merged."""
    check_interval(interval)
    return merge(Window(r.start, r.end + interval) for r in ranges)


def merge_coverage(ranges: Iterable[CoverageRange], interval: int) -> list[CoverageRange]:
    """Return the ranges ascending, joined where the next begins by one interval after the last.

    Args:
        ranges: In any order.
        interval: Bar length; 0 joins only what overlaps or shares a bar.
    """
    if interval:
        check_interval(interval)
    return [CoverageRange(*r) for r in _joined(((r.start, r.end) for r in ranges), interval)]


def compute_missing_ranges(
    coverage: Iterable[CoverageRange], window: WarmupWindow
) -> list[CoverageRange]:
    """Return the bars of the window's own grid that no range covers, as inclusive gaps.

    A bar is covered exactly when it lies inside some range, so coverage that is off the grid
    neither hides nor shifts one.
    """
    missing = _find_missing_ranges(
        window.start, window.end, [(r.start, r.end) for r in coverage], window.interval
    )
    return [CoverageRange(*gap) for gap in missing]


def _merge_ranges(ranges: Iterable[Range]) -> list[Range]:
    """Return the union of closed ranges, ascending; what overlaps or touches is joined."""
    return _joined(ranges, 0)


def _find_missing_ranges(
    start: int, end: int, available: Iterable[Range], interval: int | None = None
) -> list[Range]:
    """Return what of `start..end` no range covers: closed ranges, or bars with an interval."""
    return _subtract_ranges([(start, end)], available, interval)


def _intersect_ranges(a: Iterable[Range], b: Iterable[Range]) -> list[Range]:
    """Return what both sets of closed ranges hold, ascending; a shared end point counts."""
    left, right = _joined(a, 0), _joined(b, 0)
    both: list[Range] = []
    i = j = 0
    while i < len(left) and j < len(right):
        start, end = max(left[i][0], right[j][0]), min(left[i][1], right[j][1])
        if start <= end:
            both.append((start, end))
        if left[i][1] <= right[j][1]:
            i += 1
        else:
            j += 1
    return both


def _subtract_ranges(
    from_ranges: Sequence[Range], subtract: Iterable[Range], interval: int | None = None
) -> list[Range]:
    """Return what of `from_ranges` no range of `subtract` covers, ascending.

    Args:
        from_ranges: What is wanted, in any order.
        subtract: What is taken away.
        interval: None: closed ranges of the time line; the rest keeps the end points that it
            shares with what was taken, and a range that has only those in common stays whole.
            Else: bars on the grid of the first of `from_ranges`; a rest of one bar is kept.
    """
    if interval is not None:
        return _subtract_bars(from_ranges, subtract, check_interval(interval))
    return list(_subtract_line(_joined(from_ranges, 0), _joined(subtract, 0)))


def _joined(ranges: Iterable[Range], reach: int) -> list[Range]:
    joined: list[Range] = []
    for start, end in sorted(ranges):
        _check_order(start, end)
        if joined and start <= joined[-1][1] + reach:
            joined[-1] = (joined[-1][0], max(joined[-1][1], end))
        else:
            joined.append((start, end))
    return joined


def _subtract_line(wanted: list[Range], taken: list[Range]) -> Iterator[Range]:
    i = 0
    for first, last in wanted:
        start = first
        while i < len(taken) and taken[i][1] < first:
            i += 1
        j = i
        whole = False
        while j < len(taken) and taken[j][0] <= last and not whole:
            low, high = taken[j]
            whole = low <= start and high >= last
            if high > start and low < last:
                if low > start:
                    yield (start, low)
                start = high
            j += 1
        if not whole and start <= last and not (start == last and start > first):
            yield (start, last)


def _subtract_bars(wanted: Sequence[Range], taken: Iterable[Range], interval: int) -> list[Range]:
    if not wanted:
        return []
    grid = Grid(interval, wanted[0][0])
    rest = subtract(_bars(grid, wanted), _bars(grid, taken))
    return [(w.start, w.end - interval) for w in rest]


def _bars(grid: Grid, ranges: Iterable[Range]) -> Iterator[Window]:
    """Yield the windows of the grid's bars that lie inside closed ranges."""
    for start, end in ranges:
        _check_order(start, end)
        first, after = grid.ceil(start), grid.floor(end) + grid.interval
        if first < after:
            yield Window(first, after)
