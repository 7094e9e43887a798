"""When a leader lets time pass, and when it should leave the lead to a faster disk. Pure."""

from dataclasses import dataclass, field
from typing import Final

TICK_MS: Final = 500
"""Between two entries while anything waits for time: expiry is never later than that."""

SLOW_SYNC_S: Final = 0.1
"""A disk that takes so long costs every command of every worker that time."""

SLOW_SYNCS: Final = 5
"""In a row: one slow write is nothing unusual."""

SLOW_PAUSE_S: Final = 60.0
"""Between two attempts to hand over: where all disks are slow, somebody has to lead."""


@dataclass(slots=True)
class Elapsed:
    """The time between a leader's entries, by its own clock.

    A new leader begins at zero: the time before is in other leaders' entries, or lost. So the
    replicated clock may be late and is never early, whoever leads and whatever clocks show.
    """

    _last_ms: int = 0

    def begin(self, now_s: float) -> None:
        """Start to count, at the beginning of a term."""
        self._last_ms = int(now_s * 1_000)

    def so_far(self, now_s: float) -> int:
        """Return the milliseconds since the entry before."""
        return int(now_s * 1_000) - self._last_ms

    def take(self, now_s: float) -> int:
        """Return them for an entry that is written now, and count anew."""
        elapsed_ms = self.so_far(now_s)
        self._last_ms += elapsed_ms
        return elapsed_ms


@dataclass(slots=True)
class SlowDisk:
    """Whether this node's disk keeps the cluster waiting."""

    _slow: int = field(default=0, init=False)
    _seen: int = field(default=0, init=False)
    _next_s: float = field(default=0.0, init=False)

    def should_hand_over(self, syncs: int, sync_s: float, now_s: float) -> bool:
        """Return whether to give the lead away now.

        Args:
            syncs: How often the disk has been waited for.
            sync_s: How long it took last time.
            now_s: Monotonic seconds.
        """
        if syncs == self._seen:
            return False
        self._seen = syncs
        self._slow = self._slow + 1 if sync_s >= SLOW_SYNC_S else 0
        if self._slow < SLOW_SYNCS or now_s < self._next_s:
            return False
        self._slow, self._next_s = 0, now_s + SLOW_PAUSE_S
        return True
