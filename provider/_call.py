"""One call: what is asked, how it is to be answered, and how long it may take."""

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from bars.conformance import ConformancePipeline
from bars.frame import inside_any
from bars.protocols import DataAvailabilityStrategy
from bars.window import Window
from provider._ask import Ask
from provider._budget import Budget
from provider._sight import Sight, look
from runtime import SLAPolicy, Violation


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Call:
    """One call of a provider."""

    ask: Ask
    limit: int
    """First open time whose bar has not been over for as long as it has to settle."""

    closed: int
    """First open time whose bar is not over."""

    strategy: DataAvailabilityStrategy
    pipeline: ConformancePipeline
    """Judges the answer; its `partial_ok` is the call's."""

    accepted: tuple[str, ...]
    sla: SLAPolicy | None
    budget: Budget
    _numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1), repr=False)

    def to_fill(self) -> Ask:
        """Return what the next fill is asked, under a name of its own.

        A call fills again when a fetch that it waited for ended with somebody else's loop. The
        name is the request's and the job's: one that comes again is answered with how the first
        ended, though that one was for other windows.
        """
        number = next(self._numbers)
        if number == 1:
            return self.ask
        return replace(self.ask, request_id=f"{self.ask.request_id}/{number}")

    @property
    def on_violation(self) -> Violation:
        """What to do when the service level cannot be kept."""
        said = None if self.sla is None else self.sla.on_violation
        return said or ("partial_fill" if self.answers_partly else "fail_fast")

    @property
    def answers_partly(self) -> bool:
        """Whether the strategy answers though bars are missing."""
        return self.strategy in {
            DataAvailabilityStrategy.PARTIAL_FILL,
            DataAvailabilityStrategy.SEAMLESS,
        }

    def sight(self, covered: Sequence[Window], listed: Window | None = None) -> Sight:
        """Return what the window should hold and what of it is missing."""
        return look(self.ask, covered, self.limit, listed)

    def enough(self, covered: Sequence[Window]) -> bool:
        """Return whether no session bar is missing any more."""
        return not self.sight(covered).missing.size


def share(sight: Sight) -> float:
    """Return the covered share of the session bars; 1.0 where there should be none."""
    if not sight.session.size:
        return 1.0
    return 1.0 - float(sight.missing.size) / float(sight.session.size)


def last_covered_close(sight: Sight) -> int | None:
    """Return when the last covered session bar closed; None without one."""
    covered = sight.session[inside_any(sight.session, sight.covered)]
    return None if not covered.size else int(np.max(covered)) + sight.ask.grid.interval
