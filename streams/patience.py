"""Waiting for others: a store, a broker or a registry that is away comes back.

Nothing is given up for that, and nothing goes to the dead letter topic: the same call is made
again with growing pauses. Who asks the process to stop ends the wait, and so does a limit, after
which the process ends too and its supervisor starts it anew.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import TypeVar

from bars.errors import SeamlessError
from runtime import Backoff, Clock
from runtime.log import logger
from runtime.metrics import Metrics
from streams.errors import HangingCallError, StoppedError

T = TypeVar("T")

WAIT_MAX_S = 900.0
"""A process that got nowhere for so long is better started anew."""

PAUSES = Backoff(0.2, 5.0)

_log = logger(__name__)


async def in_thread(what: str, seconds: float, call: Callable[[], T]) -> T:
    """Return what a blocking call returns, made in a thread.

    librdkafka may hang in a transaction after its broker was away, whatever limit it was given;
    only a new process helps then.

    Raises:
        HangingCallError: It did not come back; its thread is left behind.
    """
    try:
        return await asyncio.wait_for(asyncio.to_thread(call), seconds)
    except TimeoutError:
        raise HangingCallError(what, seconds) from None


def transaction_max_s(transaction_timeout_ms: int) -> float:
    """Return how long a transaction may take: the broker has given it up long before."""
    return 3 * transaction_timeout_ms / 1_000


def _never() -> bool:
    return False


@dataclass(slots=True, kw_only=True)
class Patience:
    """Makes calls until they succeed."""

    clock: Clock
    metrics: Metrics
    stopping: Callable[[], bool] = field(default=_never)
    """Whether the process has been asked to stop."""

    wait_max_s: float = WAIT_MAX_S

    async def until_done(self, what: str, call: Callable[[], Awaitable[T]]) -> T:
        """Return what `call` returns, made again while its errors are retriable.

        Raises:
            StoppedError: The process was asked to stop meanwhile.
            SeamlessError: The call's own, when it is not retriable or the limit is reached.
        """
        since = self.clock.monotonic()
        for pause_s in PAUSES:
            try:
                return await call()
            except SeamlessError as error:
                if not error.retriable or self.clock.monotonic() - since > self.wait_max_s:
                    raise
                _log.warning("waiting", what=what, reason=str(error), pause_s=pause_s)
            await self.pause(what, pause_s)
        raise AssertionError("the pauses never end")

    async def pause(self, what: str, seconds: float) -> None:
        """Wait before the next try.

        Raises:
            StoppedError: The process was asked to stop.
        """
        self.metrics.retries.add(what=what)
        if self.stopping():
            raise StoppedError(what)
        await self.clock.sleep(seconds)
        if self.stopping():
            raise StoppedError(what)
