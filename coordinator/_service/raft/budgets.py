"""Budgets of many that wait, under one timer: thousands begin in a second, hardly one is spent."""

import asyncio
from typing import Final

from coordinator._service.log import UnknownOutcomeError
from coordinator._service.raft.proposal import Outcome

LOOK_S: Final = 0.05
"""How often they are looked at: one who waits in vain is told so much later at most."""


class Budgets:
    """What waits for the log, and until when. Belongs to one event loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._waiting: dict[asyncio.Future[Outcome], tuple[float, str, float]] = {}
        self._timer: asyncio.TimerHandle | None = None

    def begin(self, answer: "asyncio.Future[Outcome]", request_id: str, timeout_s: float) -> None:
        """Give an answer so much time: then it is that nobody knows."""
        self._waiting[answer] = (self._loop.time() + timeout_s, request_id, timeout_s)
        self._look_later()

    def end(self, answer: "asyncio.Future[Outcome]") -> None:
        """Nobody waits for it any more."""
        del self._waiting[answer]

    def _look_later(self) -> None:
        if self._timer is None and self._waiting:
            self._timer = self._loop.call_later(LOOK_S, self._look)

    def _look(self) -> None:
        self._timer, now = None, self._loop.time()
        for answer, (until, request_id, timeout_s) in self._waiting.items():
            if now >= until and not answer.done():
                reason = f"no answer within {timeout_s} s"
                answer.set_result(UnknownOutcomeError(request_id, reason))
        self._look_later()
