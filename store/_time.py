"""How long a blocking call may still take."""

import time
from dataclasses import dataclass
from typing import Self


@dataclass(frozen=True, slots=True)
class Until:
    """A moment of the monotonic clock that ends a call with all its steps."""

    moment: float

    @classmethod
    def after(cls, seconds: float) -> Self:
        """Return the moment that is `seconds` from now."""
        return cls(time.monotonic() + seconds)

    @property
    def left_s(self) -> float:
        """Seconds until then, 0 when it has passed."""
        return max(0.0, self.moment - time.monotonic())
