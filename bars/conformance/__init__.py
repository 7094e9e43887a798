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
from bars.conformance._pipeline import ConformancePipeline
from bars.conformance.revisions import revisions, same_as_newest, withdraw, withdrawals

__all__ = [
    "ConformancePipeline",
    "ConformancePipelineError",
    "ConformanceResult",
    "Context",
    "Finding",
    "Severity",
    "revisions",
    "same_as_newest",
    "withdraw",
    "withdrawals",
]
