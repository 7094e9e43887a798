"""A clock for tests: time stands still until somebody advances it."""

import asyncio
import heapq
import itertools

_TURNS = 50
"""Turns of the loop that whoever was woken gets to do its work before time goes on."""


class ManualClock:
    """A clock that tests move by hand. Sleepers wake in the order of their times."""

    def __init__(self, wall_us: int = 1_000_000_000_000_000) -> None:
        self._wall_us = wall_us
        self._now_s = 0.0
        self._numbers = itertools.count()
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []
        self._changed = asyncio.Event()

    def wall_us(self) -> int:
        """Return microseconds since the Unix epoch."""
        return self._wall_us

    def monotonic(self) -> float:
        """Return how much time has passed in all."""
        return self._now_s

    @property
    def sleeping(self) -> int:
        """How many wait for time to pass."""
        return sum(not sleeper.done() for _, _, sleeper in self._sleepers)

    async def sleep(self, seconds: float) -> None:
        """Return when time has been advanced that far."""
        if seconds <= 0:
            await asyncio.sleep(0)
            return
        sleeper = asyncio.get_running_loop().create_future()
        heapq.heappush(self._sleepers, (self._now_s + seconds, next(self._numbers), sleeper))
        self._changed.set()
        await sleeper

    async def until_sleeping(self, sleepers: int = 1) -> None:
        """Return once that many wait for time to pass."""
        while self.sleeping < sleepers:
            self._changed.clear()
            await self._changed.wait()

    def step_wall(self, us: int) -> None:
        """Move the wall clock alone, back if below 0: nobody wakes."""
        self._wall_us += us

    def advance(self, seconds: float) -> None:
        """Let time pass at once; those whose time has come wake at the loop's next turn."""
        self._move(self._now_s + seconds)

    async def run(self, seconds: float) -> None:
        """Let time pass from one sleeper to the next, so that what each does then is in time."""
        until = self._now_s + seconds
        await _settle()
        while self._sleepers and self._sleepers[0][0] <= until:
            self._move(self._sleepers[0][0])
            await _settle()
        self._move(until)
        await _settle()

    def _move(self, now_s: float) -> None:
        self._wall_us += round((now_s - self._now_s) * 1_000_000)
        self._now_s = now_s
        while self._sleepers and self._sleepers[0][0] <= now_s:
            _, _, sleeper = heapq.heappop(self._sleepers)
            if not sleeper.done():
                sleeper.set_result(None)


async def _settle() -> None:
    for _ in range(_TURNS):
        await asyncio.sleep(0)
