"""The words of conformance: severity, finding, context, check, result, error."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from avro_schemas import Flag, Revision
from bars.calendars import AlwaysOpen, Calendar
from bars.errors import InvalidValueError, SeamlessError
from bars.frame import BarFrame, Times
from bars.series import Series
from bars.versions import Versions
from bars.window import Grid, Window, intersect

SAMPLES_MAX = 20
"""Most bars that a finding names."""

Rows: TypeAlias = NDArray[np.bool_]


class Severity(IntEnum):
    """How bad a finding is."""

    INFO = 1
    """Worth knowing; never stops anything."""

    WARN = 2
    """Passes flagged; raises at `fetch` unless accepted."""

    BLOCK = 3
    """The data is wrong: it never passes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """What the frame is supposed to be."""

    series: Series
    grid: Grid
    window: Window
    """The record's or request's window; bars outside are wrong."""

    listed: Window | None = None
    """While the series exists; None: always."""

    calendar: Calendar = field(default_factory=AlwaysOpen)
    covers: tuple[Window, ...] | None = None
    """What of the window the frame speaks for; None: all of it."""

    lane: str = ""
    """Whose versions the bars would become; empty: of no lane (an answer to a strategy)."""

    ranks: Mapping[str, int] = field(default_factory=dict)
    stored: Versions | None = None
    """What is known of the window already, all lanes; None: not compared."""

    accepted: tuple[str, ...] = ()
    """Ids of WARN checks that do not raise."""

    content_hash: str | None = None
    """What the sender computed of the bars (`bars.fingerprint`); None: not compared."""

    def __post_init__(self) -> None:
        if self.grid.interval != self.series.interval:
            raise InvalidValueError("grid.interval", self.grid.interval, f"that of {self.series}")

    @property
    def covered(self) -> tuple[Window, ...]:
        """The parts of the window that the frame speaks for."""
        return (self.window,) if self.covers is None else intersect((self.window,), self.covers)


@dataclass(frozen=True, slots=True, eq=False)
class Finding:
    """What one check found."""

    check: str
    """Id of the check, such as `time.grid`."""

    severity: Severity
    message: str
    """What was found and what is allowed."""

    rows: int = 0
    """How many bars it concerns; 0 where it concerns the frame."""

    sample_ts: tuple[int, ...] = ()
    """The first of those bars, at most 20."""

    mask: Rows | None = None
    """The rows of the frame; None where the bars are not in the frame, or all are meant."""

    @property
    def flag(self) -> Flag:
        """The finding as it stands in a report."""
        return Flag(
            check=self.check,
            severity=self.severity.name,
            rows=self.rows,
            sample_ts=self.sample_ts,
            message=self.message,
        )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ConformanceResult:
    """Everything that was found in one frame. Nothing in the frame was changed."""

    context: Context
    findings: tuple[Finding, ...]
    """In the order of the checks."""

    bars: BarFrame | None
    """The frame, as it came; None where its columns or types were wrong."""

    revisions: tuple[Revision, ...] = ()
    """Each bar that differs from the winner before it, withdrawn ones included."""

    withdrawn: Times = field(default_factory=lambda: np.empty(0, np.int64))
    """Bars that the lane takes back: covered, stored with prices, and not in the frame."""

    @property
    def flags(self) -> tuple[Flag, ...]:
        """The findings as they stand in a report."""
        return tuple(finding.flag for finding in self.findings)

    @property
    def passed(self) -> bool:
        """Whether nothing found is BLOCK."""
        return not self.blocking

    @property
    def blocking(self) -> tuple[Finding, ...]:
        """What is BLOCK."""
        return tuple(f for f in self.findings if f.severity is Severity.BLOCK)

    @property
    def objections(self) -> tuple[Finding, ...]:
        """What makes `fetch` raise unless `partial_ok`: BLOCK, and WARN that is not accepted."""
        return tuple(
            f
            for f in self.findings
            if f.severity is Severity.BLOCK
            or (f.severity is Severity.WARN and f.check not in self.context.accepted)
        )

    @property
    def passing(self) -> BarFrame:
        """The rows that no BLOCK finding marks; none where a BLOCK concerns the whole frame."""
        if self.bars is None or any(f.mask is None for f in self.blocking):
            return BarFrame.empty()
        blocked = np.zeros(len(self.bars), np.bool_)
        for finding in self.blocking:
            if finding.mask is not None:
                blocked |= finding.mask
        return self.bars.take(~blocked) if blocked.any() else self.bars


class ConformancePipelineError(SeamlessError):
    """Bars are not as they must be, and `partial_ok` was not given.

    Attributes:
        report: The `ConformanceResult`: every finding, not only those that raised.
    """

    def __init__(self, report: ConformanceResult) -> None:
        told = "; ".join(f"{f.severity.name} {f.check}: {f.message}" for f in report.objections)
        super().__init__(f"{report.context.series} {report.context.window}: {told}")
        self.report = report
