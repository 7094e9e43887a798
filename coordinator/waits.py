"""Waiting for one of two things, by a clock that tests hold in their hands."""

import asyncio

from runtime.clock import Clock


async def until(event: asyncio.Event, clock: Clock, seconds: float) -> None:
    """Return when an event is set or that much time has passed, whichever comes first."""
    tasks = [asyncio.ensure_future(event.wait()), asyncio.ensure_future(clock.sleep(seconds))]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
