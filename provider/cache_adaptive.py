"""`AdaptiveCacheSource`: a cache whose size and times to live follow what is really asked."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from bars.errors import InvalidValueError
from bars.series import Series
from bars.window import Window
from provider.cache import ROW_BYTES, CacheEntry, MemoryCache
from runtime import Clock, SystemClock


class UsageAnalytics(Protocol):
    """Knows what is asked how often."""

    def asked(self, series: Series, bars: int, now_s: float) -> None:
        """Take note that somebody asked for so many bars of a series."""
        ...

    def worth(self, series: Series, now_s: float) -> float:
        """Return how much it matters to keep a series; only the order counts."""
        ...

    def pause_s(self, series: Series) -> float:
        """Return how long it is from one time that a series is asked to the next; inf: unknown."""
        ...

    def wanted_bars(self, now_s: float) -> int:
        """Return how many bars those who ask would like to find."""
        ...


@dataclass(slots=True)
class _Use:
    """How one series is asked."""

    score: float = 0.0
    last_s: float = 0.0
    pause_s: float = math.inf
    bars: int = 0


class ObservedUsage:
    """Counts with a half-life: what was asked an hour ago weighs half as much as now."""

    SERIES_MAX = 10_000
    """Series remembered; the least asked is forgotten for a new one."""

    def __init__(self, half_life_s: float = 3_600.0) -> None:
        if half_life_s <= 0:
            raise InvalidValueError("half_life_s", half_life_s, "above 0")
        self._half_life_s = half_life_s
        self._uses: dict[Series, _Use] = {}

    def asked(self, series: Series, bars: int, now_s: float) -> None:
        """Take note that somebody asked for so many bars of a series."""
        use = self._uses.get(series)
        if use is None:
            if len(self._uses) >= self.SERIES_MAX:
                del self._uses[min(self._uses, key=lambda s: self.worth(s, now_s))]
            use = self._uses[series] = _Use()
        elif now_s > use.last_s:
            pause_s = now_s - use.last_s
            if math.isinf(use.pause_s):
                use.pause_s = pause_s
            # A new pause counts a fifth: one long weekend does not make a series rare.
            use.pause_s += (pause_s - use.pause_s) / 5
        use.score = self._faded(use, now_s) + 1
        use.last_s = now_s
        use.bars = max(bars, use.bars // 2)

    def worth(self, series: Series, now_s: float) -> float:
        """Return how often it was asked, lately counting more."""
        use = self._uses.get(series)
        return 0.0 if use is None else self._faded(use, now_s)

    def pause_s(self, series: Series) -> float:
        """Return how long it is from one time that a series is asked to the next."""
        use = self._uses.get(series)
        return math.inf if use is None else use.pause_s

    def wanted_bars(self, now_s: float) -> int:
        """Return how many bars the series that matter are asked for."""
        return sum(use.bars for use in self._uses.values() if self._faded(use, now_s) >= 1)

    def _faded(self, use: _Use, now_s: float) -> float:
        return float(use.score * 0.5 ** ((now_s - use.last_s) / self._half_life_s))


@dataclass(frozen=True, slots=True, kw_only=True)
class AdaptiveLimits:
    """Between what an adaptive cache moves."""

    min_bytes: int = 16 * 2**20
    max_bytes: int = 1024 * 2**20
    min_ttl_s: float = 5.0
    max_ttl_s: float = 3_600.0

    def __post_init__(self) -> None:
        if not 0 <= self.min_bytes <= self.max_bytes:
            raise InvalidValueError("min_bytes", self.min_bytes, f"0 to {self.max_bytes}")
        if not 0 <= self.min_ttl_s <= self.max_ttl_s:
            raise InvalidValueError("min_ttl_s", self.min_ttl_s, f"0 to {self.max_ttl_s}")


class AdaptiveCacheSource(MemoryCache):
    """Keeps what is asked often: the least asked series goes first.

    Its size is twice what is wanted now, between the limits. An entry that lives by the clock
    lives four of the pauses between two times that its series is asked, between the limits.
    """

    HEADROOM = 2
    PAUSES = 4

    def __init__(
        self,
        usage_analytics: UsageAnalytics | None = None,
        limits: AdaptiveLimits | None = None,
        clock: Clock | None = None,
    ) -> None:
        """Make an empty cache.

        Args:
            usage_analytics: Knows what is asked how often; `ObservedUsage` if not given.
            limits: Between what size and times to live move.
            clock: Where time comes from.
        """
        self._limits = limits or AdaptiveLimits()
        self._usage = usage_analytics or ObservedUsage()
        super().__init__(self._limits.min_bytes, clock or SystemClock())

    @property
    def max_bytes(self) -> int:
        """How much memory it may take now."""
        return self._max_bytes

    async def find(self, series: Series, window: Window, ranks: str) -> Sequence[CacheEntry]:
        """Return the entries that overlap the window, and take note that it was asked for."""
        now_s = self._clock.monotonic()
        self._usage.asked(series, (window.end - window.start) // series.interval, now_s)
        wanted = self._usage.wanted_bars(now_s) * ROW_BYTES * self.HEADROOM
        self._max_bytes = min(max(wanted, self._limits.min_bytes), self._limits.max_bytes)
        return await super().find(series, window, ranks)

    async def keep(self, entry: CacheEntry) -> None:
        """Put an entry in the place of whatever its window held, and make room for it."""
        if entry.expires_us is not None:
            entry = replace(entry, expires_us=self._clock.wall_us() + self._ttl_us(entry.series))
        await super().keep(entry)

    def _ttl_us(self, series: Series) -> int:
        ttl_s = self.PAUSES * self._usage.pause_s(series)
        return int(min(max(ttl_s, self._limits.min_ttl_s), self._limits.max_ttl_s) * 1_000_000)

    def _victim(self) -> CacheEntry:
        now_s = self._clock.monotonic()
        return min(self._entries.values(), key=lambda e: self._usage.worth(e.series, now_s))
