"""A lease service with a session open, for whatever runs behind it."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from coordinator.client import LeaseClient
from runtime.clock import Clock

SESSION_MS = 3_600_000
SOON_S = 1.0
"""What the fastest of calls may take where time goes on by itself."""

PATIENCE_S = 20.0
"""Real seconds after which something that should have happened will not."""


async def eventually(holds: Callable[[], bool]) -> None:
    """Return when something holds, whatever sockets it takes."""
    async with asyncio.timeout(PATIENCE_S):
        while not holds():  # noqa: ASYNC110 - what happens at the far end of a socket tells nobody
            await asyncio.sleep(0.001)


@dataclass(kw_only=True)
class Bench:
    """A lease service with session `w` open."""

    client: LeaseClient
    clock: Clock
    pass_s: Callable[[float], Awaitable[None]]
    """Let time pass for the service and its clients."""

    waiting: Callable[[], int]
    """How many acquires wait."""

    async def waits(self, acquires: int = 1) -> None:
        """Return when that many acquires wait."""
        await eventually(lambda: self.waiting() == acquires)
