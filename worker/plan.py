"""From a request to the windows that have to be fetched. Pure.

A window is a stretch between two multiples of `window_bars` on the series' grid, clipped to the
request, to when the series is listed and to the last bar that has been closed for `settle_s`,
less what the ledger covers. One in which nothing trades is no window.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from avro_schemas import BackfillRequest
from bars.calendars import Calendar, expected
from bars.errors import InvalidValueError
from bars.frame import inside_any
from bars.series import Series
from bars.window import Grid, Window, merge, subtract
from coordinator.client import MachineConfig
from worker.errors import RefusedRequestError

WINDOWS_MAX = 100_000
"""Windows of one request; more are refused, not fetched in part."""

RANGES_MAX = MachineConfig().ranges_max
"""Ranges that the windows of one request form: the lease service takes no more."""

_PIECES_AT_A_TIME = 1_000
"""Calendars answer for so many windows at once: years of seconds need not fit into memory."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """What the configuration and the source say of a series."""

    series: Series
    grid: Grid
    calendar: Calendar
    listed: Window | None
    """When there may be bars at all; None: nobody says."""

    window_bars: int
    settle_s: int = 0
    """A bar is asked for when it has been closed that long."""

    def session_bars(self, window: Window) -> int:
        """Return how many bars there should be in a window."""
        return int(expected(self.calendar, self.grid, window, self.listed).size)


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What a request comes to."""

    window: Window | None
    """The request, clipped; None: nothing is left of it."""

    windows: tuple[Window, ...]
    """What has to be fetched, ascending, each with at least one session bar."""

    missing: tuple[Window, ...]
    """The same as few ranges: they span windows between two others in which nothing trades."""

    session_bars: int
    """Bars that there should be in `window`."""

    covered_bars: int
    """Of them covered already."""

    note: str = ""
    """Why there is nothing to fetch, for people."""

    too_early: bool = False
    """Whether nothing is left because the series is listed only after it."""


def plan(request: BackfillRequest, terms: Terms, covered: Iterable[Window], now: int) -> Plan:
    """Return what a request comes to.

    Args:
        request: An accepted request.
        terms: Grid, calendar, listed period of the series, and how windows are cut.
        covered: What spares a fetch; empty for one that refetches.
        now: Epoch seconds.

    Raises:
        RefusedRequestError: It would take too many windows or ranges, or the calendar does not
            know the whole of it.
    """
    window, note = _clip(request, terms, now)
    if window is None:
        return Plan(
            window=None,
            windows=(),
            missing=(),
            session_bars=0,
            covered_bars=0,
            note=note,
            too_early=terms.listed is not None and terms.listed.start >= request.end,
        )
    held = merge(covered)
    rests = subtract((window,), held)
    pieces = [list(_pieces(terms, rest)) for rest in rests]
    if sum(map(len, pieces)) > WINDOWS_MAX:
        allowed = f"at most {WINDOWS_MAX} windows of {terms.window_bars} bars after start"
        raise RefusedRequestError("end", request.end, allowed)
    try:
        session, spared = _count(terms, window, held)
        chosen = [_with_bars(terms, each) for each in pieces]
    except InvalidValueError as error:
        raise RefusedRequestError("start, end", str(window), error.allowed) from error
    windows = tuple(w for each in chosen for w in each)
    missing = tuple(Window(each[0].start, each[-1].end) for each in chosen if each)
    if len(missing) > RANGES_MAX:
        allowed = f"at most {RANGES_MAX} gaps between covered windows after start"
        raise RefusedRequestError("end", request.end, allowed)
    if not windows:
        note = "all of it is covered" if session else "nothing trades in it"
    return Plan(
        window=window,
        windows=windows,
        missing=missing,
        session_bars=session,
        covered_bars=spared,
        note=note,
    )


def _clip(request: BackfillRequest, terms: Terms, now: int) -> tuple[Window | None, str]:
    asked = Window(request.start, request.end)
    listed = asked if terms.listed is None else asked.intersect(terms.listed)
    if listed is None:
        return None, f"the series is listed in {terms.listed} only"
    closed_end = terms.grid.floor(now - terms.settle_s)
    if closed_end <= listed.start:
        return None, "no bar of it has closed yet"
    aligned = terms.grid.align(Window(listed.start, min(listed.end, closed_end)))
    return aligned, "" if aligned else "no bar opens in what is left of it"


def _pieces(terms: Terms, rest: Window) -> Iterator[Window]:
    aligned = terms.grid.align(rest)
    if aligned is None:
        return
    for number, piece in enumerate(terms.grid.split(aligned, terms.window_bars)):
        yield piece
        if number > WINDOWS_MAX:
            return


def _count(terms: Terms, window: Window, held: Sequence[Window]) -> tuple[int, int]:
    """Return how many session bars there are, and how many of them are covered."""
    session = spared = 0
    for span in terms.grid.split(window, terms.window_bars * _PIECES_AT_A_TIME):
        ts = expected(terms.calendar, terms.grid, span, terms.listed)
        session += int(ts.size)
        spared += int(inside_any(ts, held).sum()) if held else 0
    return session, spared


def _with_bars(terms: Terms, pieces: Sequence[Window]) -> tuple[Window, ...]:
    """Return the pieces that hold a session bar; the pieces are ascending and touch."""
    found: list[Window] = []
    for i in range(0, len(pieces), _PIECES_AT_A_TIME):
        some = pieces[i : i + _PIECES_AT_A_TIME]
        span = Window(some[0].start, some[-1].end)
        ts = expected(terms.calendar, terms.grid, span, terms.listed)
        cuts = np.array([*(piece.start for piece in some), span.end], np.int64)
        counts = np.diff(np.searchsorted(ts, cuts))
        found += [piece for piece, bars in zip(some, counts.tolist(), strict=True) if bars]
    return tuple(found)
