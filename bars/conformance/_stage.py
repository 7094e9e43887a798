"""How a table of checks becomes findings."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Generic, Protocol, TypeVar

import numpy as np

from avro_schemas import Revision
from bars.calendars import expected
from bars.conformance._model import SAMPLES_MAX, Context, Finding, Rows, Severity
from bars.conformance._raw import RawFrame
from bars.conformance.revisions import revisions, withdraw, withdrawals
from bars.errors import InvalidValueError
from bars.frame import BarFrame, Times, inside_any
from bars.versions import newest_of_lane

NOT_A_TIME = np.iinfo(np.int64).min
"""What NaT becomes in an int64 column."""


class View:
    """A frame of the right columns and types, and what several checks need to know of it."""

    def __init__(self, bars: BarFrame, context: Context) -> None:
        self.bars = bars
        self.context = context

    @cached_property
    def timed(self) -> Rows:
        """Rows that have a time at all."""
        rows: Rows = self.bars.ts != NOT_A_TIME
        return rows

    @cached_property
    def inside(self) -> Rows:
        """Rows inside the window."""
        window = self.context.window
        rows: Rows = (self.bars.ts >= window.start) & (self.bars.ts < window.end)
        return rows

    @cached_property
    def on_grid(self) -> Rows:
        """Rows whose time the grid has."""
        grid = self.context.grid
        rows: Rows = (self.bars.ts - grid.origin % grid.interval) % grid.interval == 0
        return rows & self.timed

    @cached_property
    def _answer(self) -> Times | InvalidValueError:
        context = self.context
        try:
            return expected(context.calendar, context.grid, context.window, context.listed)
        except InvalidValueError as error:
            # A record may claim any window; its judge must say so and not fall over it.
            return error

    @property
    def session_bars(self) -> Times | None:
        """The bars that the window should have while the series is listed; None: unknown."""
        return self._answer if isinstance(self._answer, np.ndarray) else None

    @property
    def unknown_sessions(self) -> str:
        """Why the calendar cannot say what the window should have; empty: it can."""
        return str(self._answer) if isinstance(self._answer, InvalidValueError) else ""

    @cached_property
    def finite(self) -> Rows:
        """Rows whose five values are numbers."""
        rows: Rows = np.logical_and.reduce([np.isfinite(column) for column in self.bars.prices])
        return rows

    @cached_property
    def ascending(self) -> bool:
        """Whether each time is after the one before it."""
        return bool((self.bars.ts[1:] > self.bars.ts[:-1]).all())

    @cached_property
    def withdrawn(self) -> Times:
        """The bars that the lane takes back; none where nothing stored is compared."""
        context = self.context
        if context.stored is None or not context.lane or not self.ascending:
            return np.empty(0, np.int64)
        newest = newest_of_lane(context.stored, context.lane)
        return withdrawals(newest, context.covered, context.grid, self.bars)

    @cached_property
    def revisions(self) -> tuple[Revision, ...]:
        """Each bar that differs from the winner before it."""
        context = self.context
        if context.stored is None or not context.lane or not self.ascending:
            return ()
        bars = withdraw(self.bars, self.withdrawn)
        return revisions(context.stored, bars, context.lane, context.ranks)

    def covered(self, ts: Times) -> Rows:
        """Return for each time whether the frame speaks for it."""
        return inside_any(ts, self.context.covered)


@dataclass(frozen=True, slots=True, eq=False)
class Subject:
    """What a stage is given."""

    raw: RawFrame
    context: Context
    view: View | None
    """None where columns or types are wrong: only the schema can be judged."""


class Stage(Protocol):
    """A step of the pipeline."""

    @property
    def name(self) -> str:
        """What the stage is called in reports."""
        ...

    def run(self, subject: Subject) -> tuple[Finding, ...]:
        """Return what is found; changes nothing and raises for nothing that the data holds."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class Evidence:
    """What a check returns when it found something."""

    message: str
    mask: Rows | None = None
    """The rows of the frame that it concerns."""

    ts: Times | None = None
    """The bars that it concerns, where they are not rows of the frame."""


Asked = TypeVar("Asked")


@dataclass(frozen=True, slots=True)
class Check(Generic[Asked]):
    """One small pure question."""

    id: str
    severity: Severity
    ask: Callable[[Asked], Evidence | None]


def rows(mask: Rows, message: str) -> Evidence | None:
    """Return evidence of the rows of a mask, or None when it marks none."""
    return Evidence(message, mask) if mask.any() else None


def judge(checks: Iterable[Check[Asked]], asked: Asked, bars: BarFrame) -> tuple[Finding, ...]:
    """Return the findings of a table of checks, in its order."""
    answers = ((check, check.ask(asked)) for check in checks)
    return tuple(_finding(check, found, bars) for check, found in answers if found is not None)


def _finding(check: Check[Asked], found: Evidence, bars: BarFrame) -> Finding:
    ts = found.ts
    if found.mask is not None:
        ts = bars.ts[found.mask]
        found.mask.flags.writeable = False
    return Finding(
        check.id,
        check.severity,
        found.message,
        0 if ts is None else int(ts.size),
        () if ts is None else tuple(ts[:SAMPLES_MAX].tolist()),
        found.mask,
    )
