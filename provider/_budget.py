"""How long one call may take: budgets by phase, enforced while waiting, spent over all waits."""

import asyncio
import math
from collections.abc import Coroutine
from typing import Any, TypeVar

from opentelemetry import trace

from provider.errors import SeamlessSLAExceeded
from runtime import Clock, DeadlineExceededError, SLAPolicy

T = TypeVar("T")

STORAGE, BACKFILL, LIVE, TOTAL = "storage", "backfill", "live", "total"


class Budget:
    """The time of one call. A wait that ends late is left, whatever it does about it."""

    def __init__(
        self,
        clock: Clock,
        node_id: str,
        sla: SLAPolicy | None,
        timeout_s: float,
        tracer: trace.Tracer | None = None,
    ) -> None:
        """Begin now.

        Args:
            clock: Where time comes from.
            node_id: Whose bars are asked for.
            sla: The service level; None: only `timeout_s`.
            timeout_s: The call's limit where the service level has none.
            tracer: Where spans go; OpenTelemetry's global one if not given.
        """
        self.tracer = tracer or trace.get_tracer("seamless")
        self._clock = clock
        self._node_id = node_id
        self._sla = sla
        self._started_s = clock.monotonic()
        total_ms = None if sla is None else sla.total_deadline_ms
        self.total_s = timeout_s if total_ms is None else total_ms / 1_000
        self._late: DeadlineExceededError | None = None
        self.spent_s: dict[str, float] = {}
        """Time by phase, as far as it has been waited for."""

    def over(self, error: DeadlineExceededError) -> bool:
        """Return whether an error is this budget's own, not one that a source raised."""
        return error is self._late

    def elapsed_s(self) -> float:
        """Return how long the call has taken."""
        return self._clock.monotonic() - self._started_s

    def phase_s(self, phase: str) -> float:
        """Return the budget of a phase; infinite without one."""
        ms = None if self._sla is None else getattr(self._sla, f"max_wait_{phase}_ms", None)
        return math.inf if ms is None else ms / 1_000

    def left_s(self, phase: str) -> float:
        """Return how long a wait of a phase may last now."""
        phase_left = self.phase_s(phase) - self.spent_s.get(phase, 0.0)
        return max(0.0, min(phase_left, self.total_s - self.elapsed_s()))

    async def run(self, phase: str, work: Coroutine[Any, Any, T], at_most_s: float = math.inf) -> T:
        """Return what `work` returns, if it does so in time; else cancel it and go on.

        Args:
            phase: What the time is spent on.
            work: What is waited for.
            at_most_s: A limit of this wait where the phase has no budget.

        Raises:
            SeamlessSLAExceeded: The phase or the call has used up its budget.
            DeadlineExceededError: The same, without a service level.
        """
        left_s = self.left_s(phase)
        if math.isinf(self.phase_s(phase)):
            left_s = min(left_s, at_most_s)
        if left_s <= 0:
            work.close()
            raise self.late(phase)
        began_s = self._clock.monotonic()
        about: Any = {"sla.phase": phase, "sla.left_ms": left_s * 1_000}
        try:
            with self.tracer.start_as_current_span("seamless.stage", attributes=about):
                return await self._wait(phase, work, left_s)
        finally:
            spent_s = self._clock.monotonic() - began_s
            self.spent_s[phase] = self.spent_s.get(phase, 0.0) + spent_s

    async def _wait(self, phase: str, work: Coroutine[Any, Any, T], left_s: float) -> T:
        task = asyncio.ensure_future(work)
        alarm: asyncio.Future[None] | None = None
        try:
            await asyncio.sleep(0)
            if not task.done():  # what need not wait needs no alarm
                alarm = asyncio.ensure_future(self._clock.sleep(left_s))
                await asyncio.wait((task, alarm), return_when=asyncio.FIRST_COMPLETED)
            if task.done():
                return task.result()
        finally:
            if alarm is not None:
                alarm.cancel()
            if not task.done():
                # Not waited for: a source that does not mind being cancelled must not hold us.
                task.add_done_callback(_looked_at)
                task.cancel()
        await asyncio.sleep(0)
        raise self.late(phase, waited_s=left_s)

    def late(self, phase: str, waited_s: float = 0.0) -> DeadlineExceededError:
        """Return the error that says that a phase, or the call, took too long."""
        self._late = self._error(phase, waited_s)
        return self._late

    def _error(self, phase: str, waited_s: float) -> DeadlineExceededError:
        if self._sla is None:
            return DeadlineExceededError(phase, self.total_s * 1_000, self.elapsed_s() * 1_000)
        elapsed_s, budget_s = self.spent_s.get(phase, 0.0) + waited_s, self.phase_s(phase)
        if elapsed_s < budget_s:
            phase, elapsed_s, budget_s = TOTAL, self.elapsed_s(), self.total_s
        return SeamlessSLAExceeded(phase, self._node_id, elapsed_s * 1_000, budget_s * 1_000)


def _looked_at(task: asyncio.Future[Any]) -> None:
    if not task.cancelled():
        task.exception()  # looked at, so that asyncio does not tell it a second time
