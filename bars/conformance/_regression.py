"""What was said before and is said otherwise now. Told, never stopped."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from avro_schemas import RevisionKind
from bars.conformance._model import Finding, Severity
from bars.conformance._stage import Check, Evidence, Subject, View, judge


def revised(kind: RevisionKind, message: str) -> Callable[[View], Evidence | None]:
    """Return the check that names the revisions of one kind."""

    def ask(view: View) -> Evidence | None:
        ts = np.array([r.ts for r in view.revisions if r.kind is kind], np.int64)
        return Evidence(message, ts=ts) if ts.size else None

    return ask


def unlisted_lane(view: View) -> Evidence | None:
    """A lane that the configuration does not rank: it loses against every other."""
    context = view.context
    if not context.lane or context.lane in context.ranks:
        return None
    return Evidence(f"lane {context.lane} has no rank: every ranked lane wins over it")


CHECKS: tuple[Check[View], ...] = (
    Check(
        "regression.changed",
        Severity.INFO,
        revised(RevisionKind.CHANGED, "values differ from the bar a reader got before"),
    ),
    Check(
        "regression.withdrawn",
        Severity.INFO,
        revised(RevisionKind.WITHDRAWN, "the source no longer has the bar"),
    ),
    Check(
        "regression.restored",
        Severity.INFO,
        revised(RevisionKind.RESTORED, "the bar had been withdrawn and is there again"),
    ),
    Check(
        "regression.outranked",
        Severity.INFO,
        revised(RevisionKind.OUTRANKED, "newer, and a higher lane says otherwise and wins"),
    ),
    Check("regression.rank", Severity.INFO, unlisted_lane),
)


@dataclass(frozen=True, slots=True)
class RegressionReportStage:
    """Compares a frame with the versions that are stored."""

    name: str = "regression"
    checks: tuple[Check[View], ...] = CHECKS

    def run(self, subject: Subject) -> tuple[Finding, ...]:
        """Return what changed; nothing for a frame of the wrong shape."""
        if subject.view is None:
            return ()
        return judge(self.checks, subject.view, subject.view.bars)
