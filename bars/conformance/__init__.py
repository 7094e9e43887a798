"""Judges bars: a table of small pure checks in three stages over one immutable frame.

BLOCK never passes, WARN passes flagged, INFO is told. Nothing is cast, sorted, filled or
dropped here; what the verdict leads to is decided by those who ask (`streams`, `provider`).
"""

from bars.conformance._model import (
    ConformancePipelineError,
    ConformanceResult,
    Context,
    Finding,
    Severity,
)
from bars.conformance._pipeline import CHECKS, ConformancePipeline, default_stages
from bars.conformance._raw import Frame
from bars.conformance._regression import RegressionReportStage
from bars.conformance._schema import SchemaRollupStage
from bars.conformance._stage import Stage, Subject, View
from bars.conformance._temporal import TemporalRollupStage
from bars.conformance.revisions import revisions, same_as_newest, withdraw, withdrawals

__all__ = [
    "CHECKS",
    "ConformancePipeline",
    "ConformancePipelineError",
    "ConformanceResult",
    "Context",
    "Finding",
    "Frame",
    "RegressionReportStage",
    "SchemaRollupStage",
    "Severity",
    "Stage",
    "Subject",
    "TemporalRollupStage",
    "View",
    "default_stages",
    "revisions",
    "same_as_newest",
    "withdraw",
    "withdrawals",
]
