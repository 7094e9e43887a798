"""When bars are expected: trading calendars as session bars on a grid.

A calendar answers one question, `session_bars(grid, window)`: which open times of the grid,
inside the half-open window, should have a bar. Bars shorter than a day: each slot of the grid in
which the market is open at some moment (one that begins before the open holds the first
trades). Bars of whole days: the slot that holds 00:00 UTC of each session's date, which is
where daily bars of an exchange are stamped; `bars="intraday"` treats them like the short ones.

Everything is vectorised, pure and independent of today's date.
"""

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from typing import Literal, Protocol, TypeAlias
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import numpy as np

from bars import _exchange
from bars.errors import InvalidValueError
from bars.frame import Times
from bars.window import Grid, Window

DAY = 86_400
SLOTS_MAX = 50_000_000
"""Most slots that one answer may hold: 95 years of minutes, 400 MB."""

DailyBars: TypeAlias = Literal["session", "intraday"]


class Calendar(Protocol):
    """Knows which bars of a grid a market should have."""

    @property
    def name(self) -> str:
        """What the calendar is called in the configuration."""
        ...

    def session_bars(self, grid: Grid, window: Window) -> Times:
        """Return the open times expected inside the window, ascending and unique.

        Raises:
            InvalidValueError: The calendar does not know the whole window, or the answer
                would hold more than `SLOTS_MAX` slots.
        """
        ...


def expected(calendar: Calendar, grid: Grid, window: Window, listed: Window | None) -> Times:
    """Return the session bars of the window while the series is listed (None: always)."""
    clipped = window if listed is None else window.intersect(listed)
    return np.empty(0, np.int64) if clipped is None else calendar.session_bars(grid, clipped)


def exchange_codes() -> frozenset[str]:
    """Return every code that `Exchange` knows, aliases included (imports the package)."""
    return _exchange.codes()


@dataclass(frozen=True, slots=True)
class AlwaysOpen:
    """Trades every second of every day."""

    name: str = "24/7"

    def session_bars(self, grid: Grid, window: Window) -> Times:
        """Return every slot of the grid inside the window."""
        _check_slots(grid, window)
        return np.arange(grid.ceil(window.start), window.end, grid.interval, dtype=np.int64)


@dataclass(frozen=True, slots=True)
class Exchange:
    """An exchange as `exchange_calendars` knows it: holidays, early closes, breaks."""

    code: str
    """Such as XNYS; see `exchange_codes`."""

    bars: DailyBars = "session"

    @property
    def name(self) -> str:
        """The code."""
        return self.code

    def session_bars(self, grid: Grid, window: Window) -> Times:
        """Return the open times expected inside the window, ascending and unique."""
        _check_slots(grid, window)
        found = _exchange.sessions(self.code, window)
        if self.bars == "session" and grid.interval % DAY == 0:
            return _slots_of_dates(found.dates, grid, window)
        return _slots_of_spans(found.opens, found.closes, grid, window)


_WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")


@dataclass(frozen=True, slots=True)
class Weekly:
    """Opens and closes once a week at the same local times, in winter and in summer.

    A session is each local date at whose noon it is open: Sunday 17:00 to Friday 17:00 in
    New York has the five dates from Monday to Friday.
    """

    name: str

    timezone: str
    """Of the IANA database, such as America/New_York."""

    open: str
    """Weekday and local time, such as `Sun 17:00`."""

    close: str
    """The first such time after the open; the same as `open`: a whole week."""

    bars: DailyBars = "session"

    def __post_init__(self) -> None:
        _zone(self.timezone)
        _weekly_time(self.open, "open")
        _weekly_time(self.close, "close")

    def session_bars(self, grid: Grid, window: Window) -> Times:
        """Return the open times expected inside the window, ascending and unique."""
        _check_slots(grid, window)
        try:
            return self._session_bars(grid, window)
        except OverflowError:
            raise InvalidValueError("window", str(window), "inside the years 1 to 9999") from None

    def _session_bars(self, grid: Grid, window: Window) -> Times:
        weeks = self._weeks(window)
        if self.bars == "session" and grid.interval % DAY == 0:
            dates = [midnight for opens, closes in weeks for midnight in _noons(opens, closes)]
            return _slots_of_dates(np.array(dates, np.int64), grid, window)
        zone = _zone(self.timezone)
        opens = np.array([_utc(week[0], zone) for week in weeks], np.int64)
        closes = np.array([_utc(week[1], zone) for week in weeks], np.int64)
        return _slots_of_spans(opens, closes, grid, window)

    def _weeks(self, window: Window) -> list[tuple[datetime, datetime]]:
        """Return local open and close of each week that may touch the window."""
        (open_day, open_at), (close_day, close_at) = (
            _weekly_time(self.open, "open"),
            _weekly_time(self.close, "close"),
        )
        length = timedelta(days=(close_day - open_day) % 7)
        if not length and close_at <= open_at:
            length = timedelta(days=7)
        first = _date(window.start) - timedelta(days=15)
        first += timedelta(days=(open_day - first.weekday()) % 7)
        weeks = (window.end - window.start) // (7 * DAY) + 5
        return [
            (datetime.combine(day, open_at), datetime.combine(day + length, close_at))
            for day in (first + timedelta(weeks=week) for week in range(weeks))
        ]


def _check_slots(grid: Grid, window: Window) -> None:
    if grid.slots(window) > SLOTS_MAX:
        raise InvalidValueError("window", str(window), f"of at most {SLOTS_MAX} slots")


def _slots_of_dates(dates: Times, grid: Grid, window: Window) -> Times:
    """Return the slots that hold 00:00 UTC of the dates, inside the window."""
    return _inside(dates - (dates - grid.origin) % grid.interval, window)


def _slots_of_spans(opens: Times, closes: Times, grid: Grid, window: Window) -> Times:
    """Return the slots that overlap a span `[open, close)`, inside the window."""
    touching = (closes > window.start - grid.interval) & (opens < window.end + grid.interval)
    opens, closes = opens[touching], closes[touching]
    first = opens - (opens - grid.origin) % grid.interval
    after = closes + (grid.origin - closes) % grid.interval
    counts = (after - first) // grid.interval
    ends = np.cumsum(counts)
    nth = np.arange(ends[-1] if ends.size else 0) - np.repeat(ends - counts, counts)
    return _inside(np.repeat(first, counts) + nth * grid.interval, window)


def _inside(ascending: Times, window: Window) -> Times:
    """Return the times inside the window, each once."""
    inside = ascending[(ascending >= window.start) & (ascending < window.end)]
    fresh = np.ones(inside.size, np.bool_)
    fresh[1:] = inside[1:] != inside[:-1]
    return inside[fresh]


def _zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise InvalidValueError("timezone", name, "a name of the IANA database") from None


def _weekly_time(text: str, field: str) -> tuple[int, time]:
    """Return weekday (Monday 0) and time of `Sun 17:00`."""
    allowed = "a weekday and a local time, such as Sun 17:00"
    day, _, clock = text.strip().partition(" ")
    days = [n for n, name in enumerate(_WEEKDAYS) if day.title() in (name, name[:3])]
    try:
        at = time.fromisoformat(clock.strip())
    except ValueError:
        raise InvalidValueError(field, text, allowed) from None
    if not days or at.tzinfo is not None:
        raise InvalidValueError(field, text, allowed)
    return days[0], at


def _date(ts: int) -> date:
    return (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=ts)).date()


def _utc(local: datetime, zone: tzinfo) -> int:
    return int(local.replace(tzinfo=zone).timestamp())


def _noons(opens: datetime, closes: datetime) -> list[int]:
    """Return 00:00 UTC of the dates whose noon lies between two local times."""
    days = [opens.date() + timedelta(days=d) for d in range((closes - opens).days + 2)]
    open_at_noon = (d for d in days if opens <= datetime.combine(d, time(12)) < closes)
    return [_utc(datetime.combine(d, time()), UTC) for d in open_at_noon]
