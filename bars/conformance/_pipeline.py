"""Puts the stages one after another."""

from dataclasses import dataclass, field

import numpy as np

from bars.conformance import _regression, _schema, _temporal
from bars.conformance._model import (
    ConformancePipelineError,
    ConformanceResult,
    Context,
    Severity,
)
from bars.conformance._raw import Frame, RawFrame
from bars.conformance._stage import Stage, Subject, View
from bars.frame import BarFrame

CHECKS: dict[str, Severity] = {
    check.id: check.severity
    for table in (
        _schema.CHECKS,
        _schema.SENDER_CHECKS,
        _temporal.CHECKS,
        _regression.CHECKS,
    )
    for check in table
}
"""Every check by its id."""


def default_stages() -> tuple[Stage, ...]:
    """Return the three stages with all their checks."""
    return (
        _schema.SchemaRollupStage(),
        _temporal.TemporalRollupStage(),
        _regression.RegressionReportStage(),
    )


@dataclass(frozen=True, slots=True)
class ConformancePipeline:
    """Judges frames: the same one in the agents and in the provider."""

    stages: tuple[Stage, ...] = field(default_factory=default_stages)
    """Asked in this order."""

    partial_ok: bool = False
    """Report what would raise instead of raising it."""

    def run(self, frame: Frame, context: Context) -> ConformanceResult:
        """Return everything that the stages find; never raises for what the data holds."""
        raw = RawFrame.of(frame)
        bars = frame if isinstance(frame, BarFrame) else raw.typed()
        view = None if bars is None else View(bars, context)
        subject = Subject(raw, context, view)
        return ConformanceResult(
            context=context,
            findings=tuple(found for stage in self.stages for found in stage.run(subject)),
            bars=bars,
            revisions=() if view is None else view.revisions,
            withdrawn=np.empty(0, np.int64) if view is None else view.withdrawn,
        )

    def check(self, frame: Frame, context: Context) -> ConformanceResult:
        """Return what `run` returns.

        Raises:
            ConformancePipelineError: There are objections, and `partial_ok` is not set.
        """
        result = self.run(frame, context)
        if result.objections and not self.partial_ok:
            raise ConformancePipelineError(result)
        return result
