"""Session bars against a naive walk from slot to slot, across every change of the clocks."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from bars import AlwaysOpen, Grid, Weekly, Window
from bars.calendars import DAY, expected

DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
ZONES = ("America/New_York", "Europe/London", "Australia/Lord_Howe", "Asia/Kolkata", "UTC")
BEGIN = 1_700_000_000


@st.composite
def weeks(draw: st.DrawFn) -> Weekly:
    """Return a week that is open for one to six days."""
    day, days = draw(st.integers(0, 6)), draw(st.integers(1, 6))
    hours = draw(st.integers(3, 20)), draw(st.integers(3, 20))
    return Weekly(
        "w",
        draw(st.sampled_from(ZONES)),
        f"{DAYS[day]} {hours[0]:02}:30",
        f"{DAYS[(day + days) % 7]} {hours[1]:02}:00",
    )


@st.composite
def windows(draw: st.DrawFn) -> Window:
    start = BEGIN + draw(st.integers(0, 400 * DAY))
    return Window(start, start + draw(st.integers(1, 12 * DAY)))


GRIDS = st.builds(Grid, st.sampled_from([1_800, 3_600, 14_400]), st.sampled_from([0, 900, -600]))


def minute_of_week(week: Weekly, ts: int) -> int:
    local = datetime.fromtimestamp(ts, ZoneInfo(week.timezone))
    return local.weekday() * 1_440 + local.hour * 60 + local.minute


def minute_named(text: str) -> int:
    day, clock = text.split(" ")
    return DAYS.index(day) * 1_440 + int(clock[:2]) * 60 + int(clock[3:])


def is_open(week: Weekly, ts: int) -> bool:
    """Return whether the local clock stands between open and close."""
    begin = minute_named(week.open)
    length = (minute_named(week.close) - begin) % 10_080
    return (minute_of_week(week, ts) - begin) % 10_080 < length


@given(weeks(), GRIDS, windows())
def test_a_slot_is_expected_when_the_local_clock_says_open_in_some_minute_of_it(
    week: Weekly, grid: Grid, window: Window
) -> None:
    """Opens and closes stand between 03:00 and 20:30, where no clock ever changes."""
    slots = range(grid.ceil(window.start), window.end, grid.interval)
    naive = [
        slot
        for slot in slots
        if any(is_open(week, minute) for minute in range(slot, slot + grid.interval, 300))
    ]
    assert week.session_bars(grid, window).tolist() == naive


@given(weeks(), windows())
def test_daily_bars_are_the_dates_at_whose_noon_the_local_clock_says_open(
    week: Weekly, window: Window
) -> None:
    zone = ZoneInfo(week.timezone)
    naive = []
    for midnight in range(Grid(DAY).ceil(window.start), window.end, DAY):
        date = datetime.fromtimestamp(midnight, UTC)
        noon = (date.replace(tzinfo=None) + timedelta(hours=12)).replace(tzinfo=zone)
        if is_open(week, int(noon.timestamp())):
            naive.append(midnight)
    assert week.session_bars(Grid(DAY), window).tolist() == naive


@given(weeks(), GRIDS, windows(), st.integers(1, 12 * DAY))
def test_the_answer_for_two_halves_is_the_answer_for_the_whole(
    week: Weekly, grid: Grid, window: Window, at: int
) -> None:
    middle = min(window.start + at, window.end - 1)
    if middle <= window.start:
        return
    halves = [
        week.session_bars(grid, Window(window.start, middle)),
        week.session_bars(grid, Window(middle, window.end)),
    ]
    np.testing.assert_array_equal(np.concatenate(halves), week.session_bars(grid, window))


@given(GRIDS, windows(), windows())
def test_expected_is_what_lies_inside_both_window_and_listing(
    grid: Grid, window: Window, listed: Window
) -> None:
    every = AlwaysOpen().session_bars(grid, window)
    inside = every[(every >= listed.start) & (every < listed.end)]
    np.testing.assert_array_equal(expected(AlwaysOpen(), grid, window, listed), inside)
