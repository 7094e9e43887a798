"""Waiting for others: what is away comes back, and nothing is given up for that."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeVar

from bars.errors import SeamlessError
from runtime.backoff import Backoff
from runtime.clock import Clock
from runtime.log import logger
from runtime.metrics import Metrics

T = TypeVar("T")

PAUSES = Backoff(0.2, 5.0)

_log = logger(__name__)


@dataclass(frozen=True, slots=True)
class Patience:
    """Makes a call until it succeeds.

    There is no limit in time: a request is never dropped because a store or a broker is away.
    The wait ends with the task that waits.
    """

    clock: Clock
    metrics: Metrics

    async def until_done(self, what: str, call: Callable[[], Awaitable[T]]) -> T:
        """Return what `call` returns, made again with growing pauses while it may succeed.

        Raises:
            SeamlessError: The call's own, when repeating it will not help.
        """
        for pause_s in PAUSES:
            try:
                return await call()
            except SeamlessError as error:
                if not error.retriable:
                    raise
                _log.warning("waiting", what=what, reason=str(error), pause_s=pause_s)
            self.metrics.retries.add(what=what)
            await self.clock.sleep(pause_s)
        raise AssertionError("the pauses never end")
