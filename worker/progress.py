"""How far a request has come: which of its windows are proved to be stored, which have failed.

Pure. Evidence comes as windows in any order, from whoever fetched them, and may repeat.
"""

from collections.abc import Iterable

import numpy as np

from avro_schemas import BackfillStatus, RequestState, WindowFailure
from bars.window import Window, intersect, merge, subtract
from coordinator.client import Failure
from worker.accept import Accepted
from worker.plan import Plan

FAILURES_MAX = 100
"""Failures told of a request; the message says how many more there are. A status of thousands
would not fit into a record."""


class Progress:
    """The windows of one request."""

    def __init__(self, accepted: Accepted, plan: Plan) -> None:
        self.accepted = accepted
        self.plan = plan
        self.since = 0
        """Only evidence of leases with a higher token counts; 0 unless it refetches."""

        self.bars_fetched = 0
        self._starts = np.array([w.start for w in plan.windows], np.int64)
        self._ends = np.array([w.end for w in plan.windows], np.int64)
        self._rest = merge(plan.windows)
        self._failed: tuple[Window, ...] = ()
        self._failures: list[WindowFailure] = []

    @property
    def rest(self) -> tuple[Window, ...]:
        """What is neither stored nor given up, ascending."""
        return self._rest

    @property
    def settled(self) -> bool:
        """Whether nothing more is waited for."""
        return not self._rest

    @property
    def failed(self) -> bool:
        """Whether a window was given up."""
        return bool(self._failed)

    def counts_from(self, lane: str, token: int) -> bool:
        """Return whether what a lane holds under a lease is what the request wants."""
        lanes = self.accepted.lanes
        if self.accepted.request.refetch:
            return lane == self.accepted.target.lane and token > self.since
        return lanes is None or lane in lanes

    def stored(self, windows: Iterable[Window]) -> bool:
        """Take note of what the ledger covers; return whether that was news."""
        return self._settle(windows)

    def give_up(self, failure: Failure) -> bool:
        """Take note of a window that nobody will fetch; return whether that was news."""
        lost = intersect((failure.window,), self._rest)
        if not lost:
            return False
        self._failed = merge((*self._failed, *lost))
        if len(self._failures) < FAILURES_MAX:
            self._failures.append(
                WindowFailure(
                    start=failure.window.start,
                    end=failure.window.end,
                    error_class=failure.error_class,
                    message=failure.message,
                    chunk_partition=failure.chunk_partition,
                    chunk_offset=failure.chunk_offset,
                )
            )
        return self._settle((failure.window,))

    def lose(self, windows: Iterable[Window], error_class: str, message: str) -> bool:
        """Give up windows of which only that is known."""
        news = False
        for window in windows:
            failure = Failure(window=window, error_class=error_class, message=message)
            news |= self.give_up(failure)
        return news

    def status(self, state: RequestState, message: str = "") -> BackfillStatus:
        """Return what is told of the request."""
        request, window = self.accepted.request, self.plan.window
        nothing = request.end if self.plan.too_early else request.start
        failed = self._count(self._failed)
        return BackfillStatus(
            request_id=request.request_id,
            state=state,
            node_id=request.node_id,
            interval=request.interval,
            start=window.start if window else nothing,
            end=window.end if window else nothing,
            windows_total=len(self._starts),
            windows_done=len(self._starts) - self._count((*self._rest, *self._failed)),
            windows_failed=failed,
            session_bars=self.plan.session_bars,
            session_bars_covered=self.plan.covered_bars,
            bars_fetched=self.bars_fetched,
            failures=tuple(self._failures),
            message=message,
        )

    def verdict(self) -> BackfillStatus:
        """Return the final status of a request that is settled."""
        if not self.failed:
            return self.status(RequestState.DONE, self.plan.note)
        failed = self._count(self._failed)
        first = self._failures[0]
        more = f"; the first {FAILURES_MAX} are listed" if failed > FAILURES_MAX else ""
        return self.status(
            RequestState.FAILED,
            f"{failed} of {len(self._starts)} windows failed, the first: {first.error_class}: "
            f"{first.message}{more}",
        )

    def _settle(self, windows: Iterable[Window]) -> bool:
        before = self._rest
        self._rest = subtract(before, windows)
        return self._rest != before

    def _count(self, windows: tuple[Window, ...]) -> int:
        """Return how many of the request's windows overlap any of these."""
        touched = np.zeros(len(self._starts), np.bool_)
        for window in windows:
            first = int(np.searchsorted(self._ends, window.start, side="right"))
            last = int(np.searchsorted(self._starts, window.end, side="left"))
            touched[first:last] = True
        return int(touched.sum())
