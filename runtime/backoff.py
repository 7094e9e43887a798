"""How long to wait before a retry. Pure: who retries brings the clock, the draw and the limit."""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass

from bars.errors import InvalidValueError


@dataclass(frozen=True, slots=True)
class Backoff:
    """Delays that grow by a factor up to a cap: `first, first * factor, ..., cap, cap, ...`."""

    first_s: float
    """Delay before the first retry."""

    cap_s: float
    """No delay is longer, jitter aside."""

    factor: float = 2.0
    """Each delay is that many times the one before."""

    jitter_ratio: float = 0.0
    """Up to this share of a delay is added to it, as a draw decides; in [0, 1]."""

    def __post_init__(self) -> None:
        if not self.first_s >= 0:
            raise InvalidValueError("first_s", self.first_s, "0 or more seconds")
        if not self.cap_s >= self.first_s:
            raise InvalidValueError("cap_s", self.cap_s, f"at least first_s {self.first_s}")
        if not self.factor >= 1:
            raise InvalidValueError("factor", self.factor, "1 or more")
        if not 0 <= self.jitter_ratio <= 1:
            raise InvalidValueError("jitter_ratio", self.jitter_ratio, "from 0 to 1")

    def delay_s(self, retry: int, draw: float = 0.0) -> float:
        """Return the delay before a retry.

        Args:
            retry: Which one, 1 for the first.
            draw: A random number in [0, 1), or 0 for no jitter.
        """
        try:
            grown = self.first_s * self.factor ** (retry - 1)
        except OverflowError:
            grown = self.cap_s
        return min(grown, self.cap_s) * (1 + self.jitter_ratio * draw)

    def __iter__(self) -> Iterator[float]:
        """Yield the delays before the first, second, ... retry without end, without jitter."""
        return (self.delay_s(retry) for retry in itertools.count(1))
