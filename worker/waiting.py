"""Waiting for an event no longer than some time on an injected clock."""

import asyncio
from collections.abc import Coroutine
from typing import Any

from runtime.clock import Clock


async def until_set(event: asyncio.Event, clock: Clock, seconds: float) -> None:
    """Return when the event is set, or that many seconds have passed."""
    if event.is_set():
        return
    change = asyncio.ensure_future(event.wait())
    alarm = asyncio.ensure_future(clock.sleep(seconds))
    try:
        await asyncio.wait((change, alarm), return_when=asyncio.FIRST_COMPLETED)
    finally:
        change.cancel()
        alarm.cancel()
        await asyncio.wait((change, alarm))


async def until_first_ends(*works: Coroutine[Any, Any, object]) -> None:
    """Run all until the first of them ends, then cancel the others and wait for their end.

    Raises:
        BaseException: The error that one of them ended with, out of any groups it is in.
    """
    tasks = [asyncio.ensure_future(work) for work in works]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
    for task in tasks:
        if not task.cancelled() and (error := task.exception()) is not None:
            raise _first_of(error)


def _first_of(error: BaseException) -> BaseException:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error
