"""Where time comes from: a clock is an argument, so that tests can hold it in their hands."""

import asyncio
import time
from typing import Protocol


class Clock(Protocol):
    """Wall time, a time that never goes back, and sleep."""

    def wall_us(self) -> int:
        """Return microseconds since the Unix epoch; may step back."""
        ...

    def monotonic(self) -> float:
        """Return seconds since some fixed moment; never goes back."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Return after that many seconds; at the next turn of the loop when not above 0."""
        ...


class SystemClock:
    """The machine's clock."""

    def wall_us(self) -> int:
        """Return microseconds since the Unix epoch."""
        return time.time_ns() // 1_000

    def monotonic(self) -> float:
        """Return seconds since some fixed moment of this machine."""
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        """Return after that many seconds."""
        await asyncio.sleep(max(0.0, seconds))
