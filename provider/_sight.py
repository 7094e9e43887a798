"""What a window should hold, what is covered of it, and why a bar is not there. Pure."""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from bars.errors import InvalidValueError
from bars.frame import Times, inside_any
from bars.window import Grid, Window, intersect, merge, subtract
from provider._ask import SLOTS_MAX, Ask


class Reason(StrEnum):
    """Why there is no bar at a slot of the window."""

    CLOSED = "closed"
    """The market was closed."""

    NO_TRADES = "no_trades"
    """The market was open and the source says that there is no bar, or has withdrawn it."""

    UNLISTED = "unlisted"
    """The series was not listed."""

    NOT_CLOSED = "not_closed"
    """The bar is not over yet."""

    FAILED = "failed"
    """It was fetched and that finally failed."""

    UNKNOWN = "unknown"
    """Nobody has fetched it."""


@dataclass(frozen=True, slots=True)
class Absence:
    """Neighbouring slots without a bar, for one reason."""

    start: int
    """First of them."""

    end: int
    """Last of them, inclusive."""

    slots: int
    reason: Reason


@dataclass(frozen=True, slots=True, eq=False)
class Sight:
    """A window at one moment."""

    ask: Ask
    horizon: int
    """First open time whose bar is not over."""

    listed: Window | None
    """What of the window is listed; None when nothing is."""

    askable: Window | None
    """What of the window is listed and over; None when nothing is."""

    session: Times
    """Open times that should have a bar, ascending."""

    covered: tuple[Window, ...]
    """What of the window the ledger covers."""

    missing: Times
    """Session bars that it does not cover, ascending."""


def horizon(grid: Grid, now: int, settle_s: int = 0) -> int:
    """Return the first open time whose bar has not been closed for `settle_s`."""
    return grid.floor(now - settle_s - grid.interval) + grid.interval


def look(ask: Ask, covered: Iterable[Window], limit: int, listed: Window | None = None) -> Sight:
    """Return what the window should hold and what of it is missing.

    Args:
        ask: The series, window and calendar.
        covered: Windows that the ledger covers.
        limit: First open time whose bar is not over.
        listed: What a source has told about the listed period besides the configuration.

    Raises:
        InvalidValueError: The window is too large for one answer, or the calendar does not know
            all of it.
    """
    inside: Window | None = ask.window.intersect(ask.listed)
    if inside is not None and listed is not None:
        inside = inside.intersect(listed)
    askable = None
    if inside is not None and inside.start < limit:
        askable = Window(inside.start, min(inside.end, limit))
    session = np.empty(0, np.int64)
    if askable is not None:
        if ask.grid.slots(askable) > SLOTS_MAX:
            raise InvalidValueError(
                "window", str(ask.window), f"of at most {SLOTS_MAX} slots of {ask.grid.interval} s"
            )
        session = ask.calendar.session_bars(ask.grid, askable)
    held = intersect(covered, (ask.window,))
    return Sight(ask, limit, inside, askable, session, held, session[~inside_any(session, held)])


def runs(sight: Sight) -> tuple[Window, ...]:
    """Return windows round the missing session bars.

    Bars that follow each other in the calendar share a window, whatever the market's pauses
    between them. No window begins or ends with a slot that is not missing.
    """
    if not sight.missing.size:
        return ()
    place = np.searchsorted(sight.session, sight.missing)
    cuts = np.flatnonzero(np.diff(place) > 1) + 1
    interval = sight.ask.grid.interval
    return tuple(
        Window(int(run[0]), int(run[-1]) + interval) for run in np.split(sight.missing, cuts)
    )


def inclusive(windows: Iterable[Window], interval: int) -> tuple[tuple[int, int], ...]:
    """Return first and last bar of windows that begin and end on the grid."""
    return tuple((w.start, w.end - interval) for w in windows)


_CODES = tuple(Reason)
_TOLD = len(_CODES)


def absences(sight: Sight, told: Times, failed: Iterable[Window] = ()) -> tuple[Absence, ...]:
    """Return every slot of the window without a bar, by reason, ascending.

    Args:
        sight: The window as it was read.
        told: Open times of the bars in the answer, ascending, on the grid.
        failed: Windows that were tried in this call and finally failed.
    """
    found = [*_outside(sight, told), *_within(sight, told, merge(failed))]
    return tuple(sorted(found, key=lambda absence: absence.start))


def _outside(sight: Sight, told: Times) -> Iterable[Absence]:
    """Yield what lies before and after the listed period, and what is not over and not there."""
    window, listed, grid = sight.ask.window, sight.listed, sight.ask.grid
    if listed is None:
        yield from _plain(grid, window.start, window.end, Reason.UNLISTED)
        return
    yield from _plain(grid, window.start, listed.start, Reason.UNLISTED)
    open_from = max(sight.horizon, listed.start)
    if open_from < listed.end:
        early = told[told >= open_from].tolist()  # over, but not for as long as it has to settle
        held = (Window(ts, ts + grid.interval) for ts in early)
        for rest in subtract((Window(open_from, listed.end),), held):
            yield from _plain(grid, rest.start, rest.end, Reason.NOT_CLOSED)
    yield from _plain(grid, listed.end, window.end, Reason.UNLISTED)


def _plain(grid: Grid, start: int, end: int, reason: Reason) -> Iterable[Absence]:
    aligned = grid.align(Window(start, end)) if start < end else None
    if aligned is not None:
        last = aligned.end - grid.interval
        yield Absence(aligned.start, last, grid.slots(aligned), reason)


def _within(sight: Sight, told: Times, failed: tuple[Window, ...]) -> Iterable[Absence]:
    """Yield the gaps of what is listed and over, by one code a slot."""
    grid, askable = sight.ask.grid, sight.askable
    span = None if askable is None else grid.align(askable)
    if span is None:
        return
    code = np.full(grid.slots(span), _CODES.index(Reason.CLOSED), np.int8)

    def mark(times: Times, value: int) -> None:
        own = times[(times >= span.start) & (times < span.end)]
        code[(own - span.start) // grid.interval] = value

    mark(sight.session, _CODES.index(Reason.NO_TRADES))
    mark(sight.missing, _CODES.index(Reason.UNKNOWN))
    mark(sight.missing[inside_any(sight.missing, failed)], _CODES.index(Reason.FAILED))
    mark(told, _TOLD)
    firsts = np.concatenate(([0], np.flatnonzero(np.diff(code)) + 1))
    counts = np.diff(np.append(firsts, code.size))
    for first, count, value in zip(firsts, counts, code[firsts], strict=True):
        if value != _TOLD:
            start = span.start + int(first) * grid.interval
            last = start + (int(count) - 1) * grid.interval
            yield Absence(start, last, int(count), _CODES[value])
