"""What a window should hold, what is missing of it, and why: pure decisions."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bars.calendars import AlwaysOpen, Calendar, Exchange
from bars.errors import InvalidValueError
from bars.series import Series
from bars.window import Grid, Window
from provider._ask import Ask, check_series, check_window
from provider._sight import Absence, Reason, absences, horizon, inclusive, look, runs
from runtime import NodeSettings
from tests.provider_help import DAY, END, NOW, SERIES, START, STOCK

FAR = 2**40


def ask_for(window: Window, node: NodeSettings = STOCK, calendar: Calendar | None = None) -> Ask:
    return Ask(node.series, window, node, calendar or Exchange("XNYS"), "r1")


def test_a_bar_is_over_only_when_its_interval_has_passed_and_settled() -> None:
    grid = Grid(60)
    assert horizon(grid, 120) == 120
    assert horizon(grid, 179) == 120
    assert horizon(grid, 180) == 180
    assert horizon(grid, 180, settle_s=1) == 120


def test_missing_bars_that_follow_each_other_over_a_weekend_are_one_range() -> None:
    sight = look(ask_for(Window(START, START + 14 * DAY)), (), NOW)
    assert runs(sight) == (Window(START + DAY, START + 14 * DAY),)


def test_what_is_covered_cuts_the_missing_range_in_two() -> None:
    held = Window(START + 5 * DAY, START + 7 * DAY)
    sight = look(ask_for(Window(START, START + 14 * DAY)), (held,), NOW)
    assert runs(sight) == (
        Window(START + DAY, START + 3 * DAY),
        Window(START + 7 * DAY, START + 14 * DAY),
    )


def test_a_gap_ends_with_its_last_session_bar() -> None:
    held = Window(START + 12 * DAY, START + 14 * DAY)  # Monday; the weekend before is no session
    sight = look(ask_for(Window(START, START + 14 * DAY)), (held,), NOW)
    assert inclusive(runs(sight), DAY) == ((START + DAY, START + 9 * DAY),)


def test_every_absence_is_said_with_its_reason() -> None:
    node = replace(STOCK, listed_start=START + 5 * DAY, listed_end=START + 12 * DAY)
    ask = ask_for(Window(START, START + 20 * DAY), node)
    sight = look(ask, (Window(START + 5 * DAY, START + 8 * DAY),), START + 10 * DAY)
    told = np.array([START + 5 * DAY, START + 6 * DAY], np.int64)
    failed = (Window(START + 8 * DAY, START + 9 * DAY),)
    day = [START + k * DAY for k in range(20)]
    assert absences(sight, told, failed) == (
        Absence(day[0], day[4], 5, Reason.UNLISTED),
        Absence(day[7], day[7], 1, Reason.NO_TRADES),
        Absence(day[8], day[8], 1, Reason.FAILED),
        Absence(day[9], day[9], 1, Reason.UNKNOWN),
        Absence(day[10], day[11], 2, Reason.NOT_CLOSED),
        Absence(day[12], day[19], 8, Reason.UNLISTED),
    )


def test_a_weekend_is_closed() -> None:
    saturday = Window(START + 3 * DAY, START + 5 * DAY)
    sight = look(ask_for(saturday), (), NOW)
    assert not sight.missing.size
    found = absences(sight, sight.missing)
    assert [(a.reason, a.slots) for a in found] == [(Reason.CLOSED, 2)]


def test_a_window_without_listing_is_unlisted_as_a_whole() -> None:
    node = replace(STOCK, listed_start=END)
    sight = look(ask_for(Window(START, END), node), (), NOW)
    assert absences(sight, sight.missing) == (Absence(START, END - DAY, 60, Reason.UNLISTED),)


def test_a_window_far_in_the_future_costs_nothing() -> None:
    """No array is made for what is not over; a year 9999 by mistake must not eat the memory."""
    minute = Series("x", 60)
    node = NodeSettings(series=minute, sources=("s",), calendar="24/7")
    ask = ask_for(Window(NOW, 253_402_300_800), node, AlwaysOpen())
    sight = look(ask, (), NOW)
    (only,) = absences(sight, sight.missing)
    assert only.reason is Reason.NOT_CLOSED


def test_a_window_of_too_many_bars_is_refused_by_name() -> None:
    second = Series("x", 1)
    node = NodeSettings(series=second, sources=("s",), calendar="24/7")
    with pytest.raises(InvalidValueError, match="window must be of at most 10000000 slots"):
        look(ask_for(Window(0, NOW), node, AlwaysOpen()), (), NOW)


windows = st.tuples(st.integers(0, 60), st.integers(1, 20)).map(lambda w: Window(w[0], w[0] + w[1]))


@given(
    wanted=windows,
    held=st.lists(windows, max_size=5),
    told=st.sets(st.integers(0, 80)),
    listed=windows,
    limit=st.integers(0, 80),
)
def test_every_slot_is_a_bar_or_absent_for_one_reason(
    wanted: Window, held: list[Window], told: set[int], listed: Window, limit: int
) -> None:
    """Against a naive walk over the slots: nothing is told twice, nothing is left out."""
    node = NodeSettings(
        series=Series("x", 1),
        sources=("s",),
        calendar="24/7",
        listed_start=listed.start,
        listed_end=listed.end,
    )
    sight = look(ask_for(wanted, node, AlwaysOpen()), held, limit)
    bars = np.array(sorted(t for t in told if t in wanted and t in listed and t < limit), np.int64)
    slots = [(ts, a.reason) for a in absences(sight, bars) for ts in range(a.start, a.end + 1)]
    naive = []
    for ts in range(wanted.start, wanted.end):
        if ts not in listed:
            naive.append((ts, Reason.UNLISTED))
        elif ts >= limit:
            naive.append((ts, Reason.NOT_CLOSED))
        elif ts not in bars.tolist():
            covered = any(ts in h for h in held)
            naive.append((ts, Reason.NO_TRADES if covered else Reason.UNKNOWN))
    assert slots == naive


@pytest.mark.parametrize(
    ("start", "end", "field"),
    [
        (1.0, 2, "start"),
        (0, "2", "end"),
        (True, 2, "start"),
        (None, 2, "start"),
        (-1, 2, "start"),
        (0, 1_600_000_000_000, "end"),  # milliseconds by mistake
        (5, 5, "end"),
        (6, 5, "end"),
    ],
)
def test_a_wrong_window_is_refused_by_the_name_of_its_end(
    start: object, end: object, field: str
) -> None:
    with pytest.raises(InvalidValueError) as refused:
        check_window(start, end)
    assert refused.value.field == field


@pytest.mark.parametrize(
    ("node", "interval", "field"),
    [
        ("", 60, "node_id"),
        (5, 60, "node_id"),
        ("a|b", 60, "node_id"),
        ("~x", 60, "node_id"),
        ("x", 0, "interval"),
        ("x", 60.0, "interval"),
        ("x", "1d", "interval"),
        ("x", True, "interval"),
    ],
)
def test_a_wrong_series_is_refused_by_name(node: object, interval: object, field: str) -> None:
    with pytest.raises(InvalidValueError) as refused:
        check_series(node, interval)
    assert refused.value.field == field


def test_numpy_integers_are_whole_numbers() -> None:
    assert check_window(np.int64(1), np.int32(5)) == Window(1, 5)
    assert check_series("x", np.int64(60)) == Series("x", 60)
    assert SERIES.interval == DAY
