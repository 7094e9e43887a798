"""Which bars a market should have: holidays, early closes, breaks, summer time, the week's end."""

import subprocess
import sys
from itertools import pairwise

import numpy as np
import pytest
from bokeh_sampledata.stocks import AAPL

from bars import AlwaysOpen, Calendar, Exchange, Grid, InvalidValueError, Weekly, Window
from bars.calendars import SLOTS_MAX, exchange_codes, expected
from tests.unit.bars_help import DAY, MINUTE, at, iso, span

HOUR = 3_600
NYSE = Exchange("XNYS")
FX = Weekly("fx", "America/New_York", "Sun 17:00", "Fri 17:00")


def slots(calendar: Calendar, interval: int, window: Window, origin: int = 0) -> list[str]:
    return iso(calendar.session_bars(Grid(interval, origin), window))


def test_always_open_expects_every_slot_of_the_grid() -> None:
    assert slots(AlwaysOpen(), HOUR, span("2024-01-01T00:30", "2024-01-01T03:30"), 900) == [
        "2024-01-01 01:15",
        "2024-01-01 02:15",
        "2024-01-01 03:15",
    ]
    assert AlwaysOpen().name == "24/7"


def test_daily_bars_of_an_exchange_are_stamped_midnight_of_their_session() -> None:
    """Martin Luther King Day, 2024-01-15, has none."""
    assert slots(NYSE, DAY, span("2024-01-12", "2024-01-18")) == [
        "2024-01-12 00:00",
        "2024-01-16 00:00",
        "2024-01-17 00:00",
    ]


def test_the_sessions_of_thirteen_years_are_those_that_were_traded() -> None:
    """Real bars: the closed days of September 2001, of two funerals and of a storm are in it."""
    traded = np.array(AAPL["date"], "datetime64[s]").astype(np.int64)
    window = Window(int(traded[0]), int(traded[-1]) + DAY)
    np.testing.assert_array_equal(NYSE.session_bars(Grid(DAY), window), traded)


def test_weekly_bars_of_an_exchange_stand_where_a_week_has_a_session() -> None:
    """Slots of seven days; a date belongs to the slot that holds its midnight."""
    monday = at("2024-01-01")
    assert slots(NYSE, 7 * DAY, span("2024-01-01", "2024-01-22"), monday) == [
        "2024-01-01 00:00",
        "2024-01-08 00:00",
        "2024-01-15 00:00",
    ]


def test_a_daily_grid_that_begins_in_the_evening_holds_the_midnight_after() -> None:
    evening = at("2024-01-01T22:00")
    found = slots(Exchange("CMES"), DAY, span("2024-01-07T22:00", "2024-01-09T22:00"), evening)
    assert found == ["2024-01-07 22:00", "2024-01-08 22:00"]


def test_an_early_close_ends_the_day_early() -> None:
    """2024-07-03 closes at 13:00 in New York; the Fourth has no bar."""
    found = slots(NYSE, 30 * MINUTE, span("2024-07-03", "2024-07-05"))
    assert (found[0], found[-1], len(found)) == ("2024-07-03 13:30", "2024-07-03 16:30", 7)


def test_the_day_moves_in_utc_when_the_clocks_change() -> None:
    """The clocks of New York went forward on 2024-03-10."""
    winter = slots(NYSE, 30 * MINUTE, span("2024-03-08", "2024-03-09"))
    summer = slots(NYSE, 30 * MINUTE, span("2024-03-11", "2024-03-12"))
    assert (winter[0], winter[-1]) == ("2024-03-08 14:30", "2024-03-08 20:30")
    assert (summer[0], summer[-1]) == ("2024-03-11 13:30", "2024-03-11 19:30")


def test_a_slot_that_begins_before_the_open_holds_the_first_trades() -> None:
    """Of hours on the hour the one of 14:00 holds the first half hour."""
    found = slots(NYSE, HOUR, span("2024-01-16", "2024-01-17"))
    assert (found[0], found[-1], len(found)) == ("2024-01-16 14:00", "2024-01-16 20:00", 7)


def test_a_lunch_break_has_no_bars_and_a_slot_across_it_has_one() -> None:
    """Hong Kong trades 01:30-04:00 and 05:00-08:00 UTC."""
    window = span("2024-01-16", "2024-01-17")
    assert slots(Exchange("XHKG"), HOUR, window) == [
        f"2024-01-16 0{h}:00" for h in (1, 2, 3, 5, 6, 7)
    ]
    assert slots(Exchange("XHKG"), 4 * HOUR, window) == ["2024-01-16 00:00", "2024-01-16 04:00"]


def test_a_session_may_open_the_evening_before_its_date() -> None:
    """Futures: Tuesday's session opens on Monday at 17:00 in Chicago."""
    found = slots(Exchange("CMES"), HOUR, span("2024-01-08T20:00", "2024-01-09T01:00"))
    assert found[:2] == ["2024-01-08 20:00", "2024-01-08 21:00"]
    assert found[-1] == "2024-01-09 00:00"


def test_a_window_is_half_open_and_may_hold_no_session() -> None:
    assert slots(NYSE, DAY, span("2024-01-16", "2024-01-17")) == ["2024-01-16 00:00"]
    assert slots(NYSE, DAY, span("2024-01-13", "2024-01-15")) == []
    assert slots(NYSE, MINUTE, span("2024-01-13", "2024-01-15")) == []


def test_a_window_within_a_session_begins_in_the_middle_of_it() -> None:
    assert slots(NYSE, 30 * MINUTE, span("2024-01-16T19:59", "2024-01-16T20:30")) == [
        "2024-01-16 20:00"
    ]


def test_the_answer_is_the_same_however_the_window_is_cut() -> None:
    grid, whole = Grid(DAY), span("2008-06-01", "2021-06-01")
    cuts = [at(f"{year}-01-01") for year in range(2009, 2022)]
    edges = [whole.start, *(c for c in cuts if c in whole), whole.end]
    parts = [NYSE.session_bars(grid, Window(a, b)) for a, b in pairwise(edges)]
    np.testing.assert_array_equal(np.concatenate(parts), NYSE.session_bars(grid, whole))


def test_fifty_years_ago_and_ten_years_ahead_are_known() -> None:
    """What the package answers without both ends depends on today's date."""
    assert slots(NYSE, DAY, span("1974-01-01", "1974-01-04"))[0] == "1974-01-02 00:00"
    assert len(slots(NYSE, DAY, span("2035-01-01", "2036-01-01"))) > 245


@pytest.mark.parametrize(
    ("code", "window"),
    [
        pytest.param("XHKG", span("2049-12-30", "2050-01-02"), id="after its last holiday"),
        pytest.param("XSAU", span("2020-12-31", "2021-01-02"), id="before its first"),
        pytest.param("XNYS", span("1969-12-31", "1970-01-02"), id="before the first bar of any"),
    ],
)
def test_a_window_beyond_what_a_calendar_knows_is_refused(code: str, window: Window) -> None:
    with pytest.raises(InvalidValueError, match=f"which calendar {code} knows"):
        Exchange(code).session_bars(Grid(DAY), window)


def test_the_first_and_last_day_that_a_calendar_knows_are_inside() -> None:
    last = slots(Exchange("XHKG"), DAY, span("2049-12-30", "2050-01-01"))
    assert last == ["2049-12-30 00:00", "2049-12-31 00:00"]
    assert slots(Exchange("XSAU"), DAY, span("2021-01-01", "2021-01-04")) == ["2021-01-03 00:00"]


@pytest.mark.parametrize("calendar", [NYSE, FX], ids=lambda c: str(c.name))
@pytest.mark.parametrize("start", [-(10**12), 10**12], ids=["far past", "far future"])
def test_times_beyond_all_calendars_are_refused(calendar: Calendar, start: int) -> None:
    with pytest.raises(InvalidValueError, match="window must be inside"):
        calendar.session_bars(Grid(DAY), Window(start, start + DAY))


def test_a_week_that_never_ends_is_refused() -> None:
    with pytest.raises(InvalidValueError, match="inside the years 1 to 9999"):
        FX.session_bars(Grid(DAY), Window(0, 10**12))


def test_an_unknown_exchange_is_refused_by_name() -> None:
    with pytest.raises(InvalidValueError, match=r"calendar must be an exchange code .* 'XNOPE'"):
        Exchange("XNOPE").session_bars(Grid(DAY), span("2024-01-01", "2024-01-02"))
    assert {"XNYS", "NYSE", "24/5", "CMES"} <= exchange_codes()


def test_an_answer_is_bounded() -> None:
    with pytest.raises(InvalidValueError, match="of at most 50000000 slots"):
        AlwaysOpen().session_bars(Grid(1), Window(0, SLOTS_MAX + 1))


def test_a_trading_week_opens_on_sunday_at_the_same_local_time_all_year() -> None:
    """22:00 UTC in winter, 21:00 in summer."""
    winter = slots(FX, HOUR, span("2024-01-05T20:00", "2024-01-07T23:00"))
    summer = slots(FX, HOUR, span("2024-07-05T20:00", "2024-07-07T22:00"))
    assert winter == ["2024-01-05 20:00", "2024-01-05 21:00", "2024-01-07 22:00"]
    assert summer == ["2024-07-05 20:00", "2024-07-07 21:00"]


@pytest.mark.parametrize(
    ("week", "bars"),
    [
        pytest.param("2024-01-07", 120, id="winter"),
        pytest.param("2024-03-10", 120, id="forward before the open"),
        pytest.param("2024-11-03", 120, id="back before the open"),
    ],
)
def test_a_week_has_as_many_hours_as_the_clock_shows(week: str, bars: int) -> None:
    """New York changes its clocks on Sunday at 02:00, before the open at 17:00."""
    window = Window(at(week), at(week) + 6 * DAY)
    assert len(FX.session_bars(Grid(HOUR), window)) == bars


def test_an_open_week_is_an_hour_shorter_or_longer_when_the_clocks_change_in_it() -> None:
    whole = Weekly("w", "Europe/Berlin", "Mon 00:00", "Mon 00:00")
    week = Weekly("w", "Europe/Berlin", "Sat 00:00", "Mon 00:00")
    forward, back = span("2024-03-29", "2024-04-01"), span("2024-10-25", "2024-10-28")
    assert len(week.session_bars(Grid(HOUR), forward)) == 47
    assert len(week.session_bars(Grid(HOUR), back)) == 49
    assert len(whole.session_bars(Grid(HOUR), back)) == 72


def test_daily_bars_of_a_trading_week_are_its_five_dates() -> None:
    assert slots(FX, DAY, span("2024-03-08", "2024-03-16")) == [
        f"2024-03-{day:02} 00:00" for day in (8, 11, 12, 13, 14, 15)
    ]


def test_daily_bars_may_be_those_of_every_day_with_a_trade() -> None:
    """Some vendors print a short bar for Sunday."""
    fx = Weekly("fx", "America/New_York", "Sun 17:00", "Fri 17:00", bars="intraday")
    assert slots(fx, DAY, span("2024-03-08", "2024-03-12")) == [
        "2024-03-08 00:00",
        "2024-03-10 00:00",
        "2024-03-11 00:00",
    ]
    nyse = Exchange("XNYS", bars="intraday")
    week = span("2024-01-12", "2024-01-18")
    assert slots(nyse, DAY, week) == slots(NYSE, DAY, week)


@pytest.mark.parametrize(
    ("field", "week"),
    [
        ("timezone", ("Mars/Olympus", "Sun 17:00", "Fri 17:00")),
        ("timezone", ("../etc", "Sun 17:00", "Fri 17:00")),
        ("timezone", ("America", "Sun 17:00", "Fri 17:00")),
        ("timezone", ("x" * 300, "Sun 17:00", "Fri 17:00")),
        ("open", ("UTC", "Sunday", "Fri 17:00")),
        ("open", ("UTC", "17:00", "Fri 17:00")),
        ("open", ("UTC", "S 17:00", "Fri 17:00")),
        ("open", ("UTC", "Sundae 17:00", "Fri 17:00")),
        ("close", ("UTC", "Sun 17:00", "Fri 25:00")),
        ("close", ("UTC", "Sun 17:00", "Fri 17:00+02:00")),
    ],
)
def test_a_week_that_nobody_can_read_is_refused(field: str, week: tuple[str, str, str]) -> None:
    with pytest.raises(InvalidValueError) as caught:
        Weekly("w", *week)
    assert caught.value.field == field


def test_expected_is_clipped_to_the_listed_period() -> None:
    grid, window = Grid(DAY), span("2024-01-15", "2024-01-20")
    assert iso(expected(NYSE, grid, window, span("2024-01-17", "2030-01-01"))) == [
        f"2024-01-{day} 00:00" for day in (17, 18, 19)
    ]
    assert len(expected(NYSE, grid, window, None)) == 4
    assert expected(NYSE, grid, window, span("2025-01-01", "2030-01-01")).dtype == np.int64


def test_listed_comes_before_the_limits_of_a_calendar() -> None:
    """A request from 1900 on is no error when the series exists only since 2004."""
    window = span("1900-01-01", "2024-01-04")
    assert len(expected(Exchange("XHKG"), Grid(DAY), window, span("2024-01-01", "2030-01-01"))) == 2


@pytest.mark.parametrize("calendar", [AlwaysOpen(), NYSE, FX], ids=lambda c: str(c.name))
@pytest.mark.parametrize("interval", [MINUTE, DAY])
def test_answers_are_int64_ascending_unique_on_the_grid_and_inside(
    calendar: Calendar, interval: int
) -> None:
    grid, window = Grid(interval), span("2023-12-20T11:11", "2024-04-02T22:22")
    found = calendar.session_bars(grid, window)
    assert found.dtype == np.int64
    assert (np.diff(found) > 0).all()
    assert (found % interval == 0).all()
    assert window.start <= found[0] < found[-1] < window.end


def test_importing_bars_does_not_import_the_package_behind_exchanges() -> None:
    """It takes a second, and most processes never ask it anything."""
    code = "import sys, bars, bars.conformance; assert 'exchange_calendars' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
