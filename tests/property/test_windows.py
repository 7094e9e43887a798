"""Windows, sets of them and grids, against sets of whole seconds."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from bars import Grid, Window
from bars.window import covered, intersect, merge, subtract

SPAN = 40


@st.composite
def windows(draw: st.DrawFn) -> Window:
    start = draw(st.integers(-SPAN, SPAN))
    return Window(start, start + draw(st.integers(1, SPAN)))


SETS = st.lists(windows(), max_size=8)
GRIDS = st.builds(Grid, st.integers(1, 15), st.integers(-100, 100))


def seconds(found: "list[Window] | tuple[Window, ...]") -> set[int]:
    return {second for window in found for second in range(window.start, window.end)}


def tidy(found: tuple[Window, ...]) -> bool:
    """Return whether windows ascend and neither overlap nor touch."""
    return all(a.end < b.start for a, b in pairwise(found))


@given(SETS)
def test_merge_is_the_union_in_as_few_windows_as_possible(some: list[Window]) -> None:
    merged = merge(some)
    assert seconds(merged) == seconds(some)
    assert tidy(merged)


@given(SETS, SETS)
def test_subtract_is_the_difference(wanted: list[Window], held: list[Window]) -> None:
    rest = subtract(wanted, held)
    assert seconds(rest) == seconds(wanted) - seconds(held)
    assert tidy(rest)


@given(SETS, SETS)
def test_intersect_is_what_both_hold(a: list[Window], b: list[Window]) -> None:
    both = intersect(a, b)
    assert seconds(both) == seconds(a) & seconds(b)
    assert tidy(both)
    assert both == intersect(b, a)


@given(windows(), SETS)
def test_covered_is_nothing_missing(wanted: Window, held: list[Window]) -> None:
    assert covered(wanted, held) == (seconds([wanted]) <= seconds(held))


@given(windows(), windows())
def test_two_windows_meet_as_their_sets_do(a: Window, b: Window) -> None:
    common = a.intersect(b)
    assert seconds([common] if common else []) == seconds([a]) & seconds([b])
    assert a.covers(b) == (seconds([b]) <= seconds([a]))
    assert all((second in a) == (second in seconds([a])) for second in range(-SPAN, 2 * SPAN))


@given(SETS, SETS)
def test_what_is_held_and_what_is_missing_make_what_was_wanted(
    wanted: list[Window], held: list[Window]
) -> None:
    parts = (*intersect(wanted, held), *subtract(wanted, held))
    assert merge(parts) == merge(wanted)


def slots(grid: Grid, window: Window) -> list[int]:
    return [s for s in range(window.start, window.end) if (s - grid.origin) % grid.interval == 0]


@given(GRIDS, windows())
def test_slots_are_the_open_times_inside(grid: Grid, window: Window) -> None:
    inside = slots(grid, window)
    assert grid.slots(window) == len(inside)
    assert all(grid.on(s) for s in inside)
    aligned = grid.align(window)
    assert (slots(grid, aligned) if aligned else []) == inside
    if aligned:
        assert aligned == Window(inside[0], inside[-1] + grid.interval)


@given(GRIDS, st.integers(-200, 200))
def test_floor_and_ceil_are_the_nearest_slots_and_one_where_it_is_one(grid: Grid, ts: int) -> None:
    floor, ceil = grid.floor(ts), grid.ceil(ts)
    assert grid.on(floor)
    assert grid.on(ceil)
    assert floor <= ts <= ceil
    assert ceil - floor == (0 if grid.on(ts) else grid.interval)


@given(GRIDS, windows(), st.integers(1, 6))
def test_the_pieces_of_a_split_are_the_window(grid: Grid, window: Window, bars: int) -> None:
    pieces = list(grid.split(window, bars))
    assert pieces[0].start == window.start
    assert pieces[-1].end == window.end
    assert all(a.end == b.start for a, b in pairwise(pieces))
    assert all(grid.slots(piece) <= bars for piece in pieces)


@given(GRIDS, windows(), windows(), st.integers(1, 6))
def test_splits_of_two_windows_cut_what_they_share_in_the_same_places(
    grid: Grid, a: Window, b: Window, bars: int
) -> None:
    """Requests that overlap must wait for each other's pieces, not fetch bars twice."""
    common = a.intersect(b)
    if common is None:
        return
    cuts = [
        {piece.start for piece in grid.split(window, bars) if piece.start > common.start}
        & set(range(common.start, common.end))
        for window in (a, b)
    ]
    assert cuts[0] == cuts[1]
