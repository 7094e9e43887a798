"""Windows and grids: single cases; the laws are in tests/property."""

import numpy as np
import pytest

from bars import Grid, InvalidValueError, Window
from bars.window import covered, intersect, merge, subtract


def test_a_window_is_never_empty() -> None:
    with pytest.raises(InvalidValueError, match="end must be after start 5, was 5"):
        Window(5, 5)


def test_a_window_holds_its_start_and_not_its_end() -> None:
    window = Window(0, 60)
    assert 0 in window
    assert 60 not in window
    assert "0" not in window
    assert str(window) == "[0, 60)"


def test_integers_of_numpy_are_inside_like_any_other() -> None:
    """They are no `int`; an answer of False for every one would be silent."""
    assert np.int64(59) in Window(0, 60)
    assert np.int64(60) not in Window(0, 60)


def test_windows_that_touch_become_one() -> None:
    assert merge([Window(60, 120), Window(0, 60), Window(10, 20)]) == (Window(0, 120),)


def test_what_lies_between_is_what_is_missing() -> None:
    held = [Window(10, 20), Window(30, 40), Window(35, 50)]
    assert subtract([Window(0, 60)], held) == (Window(0, 10), Window(20, 30), Window(50, 60))
    assert intersect([Window(15, 32)], held) == (Window(15, 20), Window(30, 32))
    assert covered(Window(30, 50), held)
    assert not covered(Window(29, 50), held)


def test_a_grid_is_found_from_any_time_before_or_after_its_origin() -> None:
    grid = Grid(60, origin=15)
    assert (grid.floor(14), grid.ceil(14)) == (-45, 15)
    assert (grid.floor(15), grid.ceil(15)) == (15, 15)
    assert grid.on(-45)
    assert not grid.on(0)


def test_a_window_without_a_slot_aligns_to_nothing() -> None:
    grid = Grid(60)
    assert grid.align(Window(1, 60)) is None
    assert grid.slots(Window(1, 60)) == 0
    assert grid.align(Window(1, 62)) == Window(60, 120)


def test_overlapping_requests_share_their_pieces() -> None:
    """The pieces are keys of records: two requests must not bring the same bars twice."""
    grid = Grid(60, origin=30)
    first = set(grid.split(Window(30, 30 + 60 * 25), 10))
    second = set(grid.split(Window(30 + 60 * 10, 30 + 60 * 40), 10))
    assert first & second == {Window(630, 1_230)}


@pytest.mark.parametrize("bars", [0, -1])
def test_pieces_without_bars_are_refused_instead_of_yielded_for_ever(bars: int) -> None:
    with pytest.raises(InvalidValueError, match="window_bars must be above 0"):
        next(Grid(60).split(Window(0, 600), bars))


@pytest.mark.parametrize("interval", [0, -60])
def test_a_grid_without_a_step_is_refused(interval: int) -> None:
    with pytest.raises(InvalidValueError, match="interval"):
        Grid(interval)
