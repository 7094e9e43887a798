"""Are the times right: each there, in order, once, on the grid, inside, in session; gaps."""

from dataclasses import dataclass

import numpy as np

from bars.conformance._model import Finding, Severity
from bars.conformance._stage import Check, Evidence, Subject, View, judge, rows
from bars.conformance._values import CHECKS as VALUE_CHECKS
from bars.frame import among
from bars.window import Window

STORABLE = Window(0, 253_402_300_800)
"""1970-01-01 to 9999-12-31: what the store can hold."""


def no_time(view: View) -> Evidence | None:
    """A row without a time (NaT); a store would stamp it with its own clock."""
    return rows(~view.timed, "ts must be a time, was NaT")


def unstorable_time(view: View) -> Evidence | None:
    """A time that the store refuses."""
    ts = view.bars.ts
    outside = (ts < STORABLE.start) | (ts >= STORABLE.end)
    return rows(outside & view.timed, f"ts must be inside {STORABLE}")


def out_of_order(view: View) -> Evidence | None:
    """A row that comes after a later one."""
    ts = view.bars.ts
    behind = np.zeros(ts.size, np.bool_)
    behind[1:] = ts[1:] < np.maximum.accumulate(ts)[:-1]
    return rows(behind & view.timed, "ts must ascend")


def repeated(view: View) -> Evidence | None:
    """A time that was there before; which of the two holds, nobody can say."""
    ts = view.bars.ts
    order = np.argsort(ts, kind="stable")
    again = np.zeros(ts.size, np.bool_)
    again[order[1:]] = ts[order[1:]] == ts[order[:-1]]
    return rows(again & view.timed, "ts must not repeat")


def off_grid(view: View) -> Evidence | None:
    """A time between two slots."""
    grid = view.context.grid
    return rows(
        ~view.on_grid & view.timed, f"ts must be {grid.origin} + k * {grid.interval} seconds"
    )


def outside_window(view: View) -> Evidence | None:
    """A bar that was not asked for."""
    return rows(~view.inside & view.timed, f"ts must be inside {view.context.window}")


def outside_listed(view: View) -> Evidence | None:
    """A bar of a time when the series did not exist."""
    listed = view.context.listed
    if listed is None:
        return None
    outside = (view.bars.ts < listed.start) | (view.bars.ts >= listed.end)
    return rows(outside & view.inside, f"ts must be inside the listed period {listed}")


def outside_covered(view: View) -> Evidence | None:
    """A bar outside what the record says that it covers."""
    if view.context.covers is None:
        return None
    return rows(
        view.inside & ~view.covered(view.bars.ts), "ts must be inside what the record covers"
    )


def unknown_sessions(view: View) -> Evidence | None:
    """A window of which the calendar knows nothing, or which is absurdly long."""
    return Evidence(view.unknown_sessions) if view.unknown_sessions else None


def outside_sessions(view: View) -> Evidence | None:
    """A bar when the market is closed, by its calendar."""
    if view.session_bars is None:
        return None
    listed = view.context.listed or view.context.window
    judged = view.inside & view.on_grid & (view.bars.ts >= listed.start)
    judged &= view.bars.ts < listed.end
    strange = judged & ~among(view.bars.ts, view.session_bars)
    return rows(strange, f"calendar {view.context.calendar.name} is closed at ts")


def gaps(view: View) -> Evidence | None:
    """Slots that the calendar expects and the source lacks: without trades, for all we know."""
    slots = view.session_bars
    if slots is None:
        return None
    empty = ~among(slots, np.sort(view.bars.ts)) & view.covered(slots)
    found = slots[empty]
    if not found.size:
        return None
    begins = np.flatnonzero(empty & ~np.concatenate([[False], empty[:-1]]))
    ends = np.flatnonzero(empty & ~np.concatenate([empty[1:], [False]]))
    return Evidence(
        f"{found.size} of {slots.size} session bars without trades, in {begins.size} stretches,"
        f" the longest of {int((ends - begins).max()) + 1}",
        ts=found,
    )


CHECKS: tuple[Check[View], ...] = (
    Check("time.missing", Severity.BLOCK, no_time),
    Check("time.unstorable", Severity.BLOCK, unstorable_time),
    Check("time.order", Severity.BLOCK, out_of_order),
    Check("time.repeated", Severity.BLOCK, repeated),
    Check("time.grid", Severity.BLOCK, off_grid),
    Check("time.window", Severity.BLOCK, outside_window),
    Check("time.listed", Severity.BLOCK, outside_listed),
    Check("time.covered", Severity.BLOCK, outside_covered),
    Check("time.calendar", Severity.BLOCK, unknown_sessions),
    *VALUE_CHECKS,
    Check("time.session", Severity.WARN, outside_sessions),
    Check("time.gaps", Severity.INFO, gaps),
)


@dataclass(frozen=True, slots=True)
class TemporalRollupStage:
    """Judges times and values, row by row and against the calendar."""

    name: str = "temporal"
    checks: tuple[Check[View], ...] = CHECKS

    def run(self, subject: Subject) -> tuple[Finding, ...]:
        """Return what is wrong with the rows; nothing for a frame of the wrong shape."""
        if subject.view is None:
            return ()
        return judge(self.checks, subject.view, subject.view.bars)
