"""Inclusive ranges against naive sets of bars, and back and forth to windows."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from bars import Grid, Window
from bars.history_coverage import (
    CoverageRange,
    Range,
    WarmupWindow,
    _find_missing_ranges,
    _intersect_ranges,
    _merge_ranges,
    _subtract_ranges,
    compute_missing_ranges,
    merge_coverage,
    to_ranges,
    to_windows,
)
from bars.window import merge

SPAN = 40
INTERVALS = st.integers(1, 12)


@st.composite
def ranges(draw: st.DrawFn) -> Range:
    start = draw(st.integers(-SPAN, SPAN))
    return start, start + draw(st.integers(0, SPAN))


SETS = st.lists(ranges(), max_size=8)


def covers(found: list[Range], ts: float) -> bool:
    return any(start <= ts <= end for start, end in found)


def line(found: list[Range]) -> set[float]:
    """Return the quarters of a second that closed ranges hold: the line, as far as it matters."""
    return {quarter / 4 for start, end in found for quarter in range(4 * start, 4 * end + 1)}


def bars_of(found: list[Range], origin: int, interval: int) -> set[int]:
    """Return the bars of a grid that closed ranges hold."""
    return {
        ts for start, end in found for ts in range(start, end + 1) if (ts - origin) % interval == 0
    }


def runs(bars: set[int], interval: int) -> list[Range]:
    """Return bars as inclusive ranges without a missing bar inside."""
    found: list[Range] = []
    for ts in sorted(bars):
        if found and found[-1][1] + interval == ts:
            found[-1] = (found[-1][0], ts)
        else:
            found.append((ts, ts))
    return found


@given(SETS)
def test_merged_ranges_hold_the_same_line_and_share_no_point(some: list[Range]) -> None:
    merged = _merge_ranges(some)
    assert line(merged) == line(some)
    assert all(a[1] < b[0] for a, b in pairwise(merged))


@given(SETS, SETS)
def test_intersected_ranges_hold_what_both_hold(a: list[Range], b: list[Range]) -> None:
    both = _intersect_ranges(a, b)
    assert line(both) == line(a) & line(b)
    assert both == _intersect_ranges(b, a)


@given(SETS, SETS)
def test_subtracted_ranges_are_the_difference_with_its_end_points(
    wanted: list[Range], taken: list[Range]
) -> None:
    rest = _subtract_ranges(wanted, taken)
    left = line(wanted) - line(taken)
    ends = {float(ts) for pair in (*wanted, *taken) for ts in pair}
    assert left <= line(rest) <= line(wanted)
    assert line(rest) - left <= ends
    assert all(a[1] <= b[0] for a, b in pairwise(rest))


@given(st.lists(ranges(), min_size=1, max_size=8), SETS, INTERVALS)
def test_subtracted_bars_are_those_of_the_first_grid_that_nothing_takes(
    wanted: list[Range], taken: list[Range], interval: int
) -> None:
    origin = wanted[0][0]
    left = bars_of(wanted, origin, interval) - bars_of(taken, origin, interval)
    assert _subtract_ranges(wanted, taken, interval) == runs(left, interval)


@given(ranges(), SETS, INTERVALS)
def test_missing_bars_are_those_of_the_window_that_no_range_covers(
    wanted: Range, available: list[Range], interval: int
) -> None:
    """The rule of the surface: bar k is covered exactly when it lies inside some range."""
    bars = range(wanted[0], wanted[1] + 1, interval)
    missing = runs({ts for ts in bars if not covers(available, ts)}, interval)
    assert _find_missing_ranges(*wanted, available, interval) == missing
    found = compute_missing_ranges(
        [CoverageRange(*r) for r in available], WarmupWindow(*wanted, interval)
    )
    assert [(r.start, r.end) for r in found] == missing


@given(SETS, st.integers(0, 12))
def test_merged_coverage_joins_exactly_what_is_an_interval_apart(
    some: list[Range], interval: int
) -> None:
    merged = merge_coverage([CoverageRange(*r) for r in some], interval)
    assert all(b.start > a.end + interval for a, b in pairwise(merged))
    assert all(any(m.start <= start and end <= m.end for m in merged) for start, end in some)
    assert {m.start for m in merged} <= {start for start, _ in some}
    assert {m.end for m in merged} <= {end for _, end in some}


@st.composite
def bars_on_a_grid(draw: st.DrawFn) -> tuple[Grid, set[int]]:
    grid = Grid(draw(INTERVALS), draw(st.integers(-50, 50)))
    slots = draw(st.sets(st.integers(-20, 20), max_size=20))
    return grid, {grid.origin + k * grid.interval for k in slots}


@given(bars_on_a_grid())
def test_windows_of_bars_come_back_from_their_ranges(drawn: tuple[Grid, set[int]]) -> None:
    grid, bars = drawn
    windows = merge(Window(ts, ts + grid.interval) for ts in bars)
    found = to_ranges(windows, grid)
    assert [(r.start, r.end) for r in found] == runs(bars, grid.interval)
    assert to_windows(found, grid.interval) == windows


@given(SETS, bars_on_a_grid())
def test_ranges_hold_the_bars_of_any_windows(
    some: list[Range], drawn: tuple[Grid, set[int]]
) -> None:
    """Also of windows that begin and end between two slots."""
    grid, _ = drawn
    windows = [Window(start, end + 1) for start, end in some]
    found = [(r.start, r.end) for r in to_ranges(windows, grid)]
    assert found == runs(bars_of(some, grid.origin, grid.interval), grid.interval)


def test_twenty_thousand_fragments_are_no_burden() -> None:
    """Linear after sorting: a quadratic step would take minutes here, not a moment."""
    fragments = [(k * 20, k * 20 + 5) for k in range(20_000)]
    whole = (0, 20 * 20_000)
    assert len(_find_missing_ranges(*whole, fragments, 1)) == 20_000
    assert len(_find_missing_ranges(*whole, fragments)) == 20_000
    assert _subtract_ranges([whole], [whole, *fragments]) == []
    assert _intersect_ranges(fragments, [whole]) == fragments
    assert len(merge_coverage([CoverageRange(*f) for f in fragments], 15)) == 1
