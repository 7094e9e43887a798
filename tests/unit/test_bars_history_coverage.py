"""Inclusive ranges: single cases of QMTL's surface; the laws are in tests/property."""

import pytest

from bars import Grid, Window
from bars.history_coverage import (
    CoverageRange,
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


def ranges(*pairs: tuple[int, int]) -> list[CoverageRange]:
    return [CoverageRange(*pair) for pair in pairs]


def test_a_range_of_one_bar_is_a_range_and_a_reversed_one_is_refused() -> None:
    assert CoverageRange(60, 60).end == 60
    with pytest.raises(ValueError, match="end must be at or after start 60, was 0"):
        CoverageRange(60, 0)
    with pytest.raises(ValueError, match="end must be at or after"):
        WarmupWindow(60, 0, 60)
    with pytest.raises(ValueError, match="interval"):
        WarmupWindow(0, 60, 0)


def test_ranges_are_merged_when_the_next_begins_one_interval_after_the_last() -> None:
    given = ranges((180, 240), (0, 60), (120, 120), (360, 420))
    assert merge_coverage(given, 60) == ranges((0, 240), (360, 420))
    assert merge_coverage(given, 59) == ranges((0, 60), (120, 120), (180, 240), (360, 420))


def test_without_an_interval_only_what_overlaps_or_touches_is_merged() -> None:
    given = ranges((0, 60), (60, 120), (121, 180), (150, 160))
    assert merge_coverage(given, 0) == ranges((0, 120), (121, 180))
    with pytest.raises(ValueError, match="interval"):
        merge_coverage(given, -60)


def test_missing_bars_are_named_by_their_first_and_last() -> None:
    window = WarmupWindow(0, 600, 60)
    assert compute_missing_ranges(ranges((120, 240)), window) == ranges((0, 60), (300, 600))
    assert compute_missing_ranges([], window) == ranges((0, 600))
    assert compute_missing_ranges(ranges((-60, 900)), window) == []
    assert compute_missing_ranges(ranges((0, 540)), window) == ranges((600, 600))


def test_coverage_off_the_grid_neither_hides_nor_shifts_a_bar() -> None:
    window = WarmupWindow(0, 300, 60)
    assert compute_missing_ranges(ranges((61, 179)), window) == ranges((0, 60), (180, 300))
    assert compute_missing_ranges(ranges((61, 119)), window) == ranges((0, 300))


def test_a_window_that_ends_off_its_grid_ends_with_its_last_bar() -> None:
    assert compute_missing_ranges([], WarmupWindow(5, 130, 60)) == ranges((5, 125))


def test_windows_and_ranges_are_two_ways_to_say_the_same() -> None:
    grid = Grid(60)
    assert to_ranges([Window(0, 120), Window(180, 240)], grid) == tuple(ranges((0, 60), (180, 180)))
    assert to_windows(ranges((0, 60), (180, 180)), 60) == (Window(0, 120), Window(180, 240))


def test_a_window_between_two_slots_has_no_range() -> None:
    assert to_ranges([Window(1, 60), Window(61, 130)], Grid(60)) == tuple(ranges((120, 120)))


def test_windows_whose_bars_follow_each_other_are_one_range() -> None:
    """[0, 61) and [119, 180) hold the bars 0, 60 and 120: none is missing between."""
    assert to_ranges([Window(0, 61), Window(119, 180)], Grid(60)) == tuple(ranges((0, 120)))


def test_closed_ranges_that_share_a_point_are_merged() -> None:
    assert _merge_ranges([(20, 30), (0, 10), (10, 20), (31, 40)]) == [(0, 30), (31, 40)]
    with pytest.raises(ValueError, match="end must be at or after"):
        _merge_ranges([(1, 0)])


def test_closed_ranges_intersect_also_in_a_single_bar() -> None:
    assert _intersect_ranges([(0, 10), (20, 30)], [(10, 22), (30, 40)]) == [
        (10, 10),
        (20, 22),
        (30, 30),
    ]
    assert _intersect_ranges([(0, 10)], []) == []


@pytest.mark.parametrize(
    ("wanted", "taken", "rest"),
    [
        ([(0, 100)], [(20, 40)], [(0, 20), (40, 100)]),
        ([(0, 100)], [(0, 100)], []),
        ([(0, 100)], [(-5, 40)], [(40, 100)]),
        ([(0, 100)], [(100, 200)], [(0, 100)]),
        ([(0, 100)], [(-50, 0)], [(0, 100)]),
        ([(0, 100)], [(0, 40), (40, 100)], []),
        ([(0, 100)], [(50, 50)], [(0, 50), (50, 100)]),
        ([(5, 5)], [], [(5, 5)]),
        ([(5, 5)], [(0, 10)], []),
        ([(0, 10), (20, 30)], [(5, 25)], [(0, 5), (25, 30)]),
        ([], [(0, 1)], []),
    ],
)
def test_closed_ranges_keep_the_points_they_share_with_what_is_taken(
    wanted: list[tuple[int, int]], taken: list[tuple[int, int]], rest: list[tuple[int, int]]
) -> None:
    assert _subtract_ranges(wanted, taken) == rest
    if len(wanted) == 1:
        assert _find_missing_ranges(*wanted[0], taken) == rest


@pytest.mark.parametrize(
    ("wanted", "taken", "rest"),
    [
        ([(0, 100)], [(20, 40)], [(0, 10), (50, 100)]),
        ([(0, 100)], [(10, 100)], [(0, 0)]),
        ([(0, 100)], [(0, 90)], [(100, 100)]),
        ([(0, 100)], [(0, 40), (60, 100)], [(50, 50)]),
        ([(0, 100)], [(41, 49)], [(0, 100)]),
        ([(5, 100)], [(20, 40)], [(5, 15), (45, 95)]),
        ([(0, 10), (20, 30)], [], [(0, 30)]),
        ([(50, 60), (0, 10)], [(55, 58)], [(0, 10), (50, 60)]),
        ([], [(0, 1)], []),
    ],
)
def test_with_an_interval_bars_are_taken_from_bars(
    wanted: list[tuple[int, int]], taken: list[tuple[int, int]], rest: list[tuple[int, int]]
) -> None:
    assert _subtract_ranges(wanted, taken, interval=10) == rest
    if len(wanted) == 1:
        assert _find_missing_ranges(*wanted[0], taken, interval=10) == rest
