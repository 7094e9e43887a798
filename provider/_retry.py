"""Asking a source again: how often, and how long to wait between."""

import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import TypeVar

from bars.errors import SeamlessError
from provider._slots import Slots
from runtime import BackfillConfig, Clock, DeadlineExceededError

T = TypeVar("T")

_MISTAKES = (TypeError, AttributeError, NameError, NotImplementedError)
"""Errors of a program: asking again changes nothing."""


def retry_delay_s(config: BackfillConfig, retry: int, draw: Callable[[], float]) -> float:
    """Return the delay before a retry, 1 for the first.

    It is `retry_backoff_ms * 2^(retry-1)` plus a uniform part of 0 to `jitter_ratio` of that;
    nothing is drawn where that part is 0 anyway.
    """
    delay_ms = float(config.retry_backoff_ms * 2 ** (retry - 1))
    share = min(max(config.jitter_ratio, 0.0), 1.0)
    if delay_ms and share:
        delay_ms += delay_ms * share * draw()
    return delay_ms / 1_000


def worth_asking_again(error: Exception) -> bool:
    """Return whether the same question may have an answer later. A deadline is never retried."""
    if isinstance(error, DeadlineExceededError):
        return False
    if isinstance(error, SeamlessError):
        return error.retriable
    return not isinstance(error, _MISTAKES) and getattr(error, "retriable", True) is not False


@dataclass(frozen=True, slots=True, kw_only=True)
class Asking:
    """How a source is asked."""

    config: BackfillConfig
    clock: Clock
    slots: Slots
    """Of the provider: so many questions are under way at a time."""

    draw: Callable[[], float] = field(default=random.random)
    """Where the jitter of delays comes from: [0, 1)."""

    on_retry: Callable[[], None] = field(default=lambda: None)

    async def ask(self, question: Callable[[], Awaitable[T]]) -> T:
        """Return the answer, asking again while that may help.

        Raises:
            Exception: What the last attempt raised.
        """
        attempt = 1
        while True:
            try:
                async with self.slots:
                    return await question()
            except Exception as e:
                if attempt >= self.config.max_attempts or not worth_asking_again(e):
                    raise
                pause_s = getattr(e, "retry_after_s", None) or 0.0
            delay_s = retry_delay_s(self.config, attempt, self.draw)
            self.on_retry()
            await self.clock.sleep(max(pause_s, delay_s))
            attempt += 1
