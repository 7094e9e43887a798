"""One time budget, made at the edge and handed down through every call that waits."""

import asyncio
import math
from collections.abc import Coroutine
from dataclasses import dataclass
from typing import Any, TypeVar

from runtime.clock import Clock
from runtime.errors import DeadlineExceededError

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Deadline:
    """The moment by which a call has to be over, on a clock that never goes back."""

    clock: Clock
    started_s: float
    """When the budget began."""

    budget_s: float
    """How long it lasts; infinite without a limit."""

    @classmethod
    def after(cls, clock: Clock, seconds: float | None) -> "Deadline":
        """Return a deadline that many seconds from now; none at all for None."""
        return cls(clock, clock.monotonic(), math.inf if seconds is None else seconds)

    def elapsed_s(self) -> float:
        """Return how much time has been used."""
        return self.clock.monotonic() - self.started_s

    def remaining_s(self) -> float:
        """Return what is left, at least 0; infinite without a limit."""
        return max(0.0, self.budget_s - self.elapsed_s())

    @property
    def expired(self) -> bool:
        """Whether nothing is left."""
        return self.elapsed_s() >= self.budget_s

    def error(self, phase: str) -> DeadlineExceededError:
        """Return the error that says `phase` took too long."""
        return DeadlineExceededError(phase, self.budget_s * 1_000, self.elapsed_s() * 1_000)

    def check(self, phase: str) -> None:
        """Go on if there is time left.

        Raises:
            DeadlineExceededError: There is none.
        """
        if self.expired:
            raise self.error(phase)

    async def run(self, work: Coroutine[Any, Any, T], phase: str) -> T:
        """Return what `work` returns, if it does so in time.

        Work that is done at the very moment of the deadline counts as done. Otherwise it is
        cancelled, and has ended when this raises.

        Raises:
            DeadlineExceededError: The time is over.
        """
        if self.expired:
            work.close()
            raise self.error(phase)
        if math.isinf(self.budget_s):
            return await work
        task = asyncio.ensure_future(work)
        alarm = asyncio.ensure_future(self.clock.sleep(self.remaining_s()))
        try:
            await asyncio.wait((task, alarm), return_when=asyncio.FIRST_COMPLETED)
            if task.done():
                return task.result()
            raise self.error(phase)
        finally:
            await _end(alarm)
            await _end(task)


async def _end(task: asyncio.Future[Any]) -> None:
    task.cancel()
    await asyncio.wait((task,))
    if not task.cancelled():
        task.exception()  # looked at, so that asyncio does not tell it a second time
