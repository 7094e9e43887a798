"""What a provider keeps of what it has read: cache entries, and the cache in memory (L1).

An entry holds winners of one window and the ledger's rows that they were read under, taken
*before* the bars, so it can only be newer than it says. Whoever reads asks the ledger once and
compares: a repaired bar shows at once. Only bars of a source that keeps no ledger live by the
clock (`cache_ttl`).
"""

import hashlib
import threading
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import pandas as pd

from bars.errors import InvalidValueError
from bars.frame import BarFrame
from bars.history_coverage import to_ranges
from bars.protocols import DataSource, DataSourcePriority
from bars.series import Series
from bars.window import Grid, Window, covered, merge, subtract
from provider._ask import check_series, check_window
from provider._ledger import LedgerView
from runtime import Clock, SystemClock

ROW_BYTES = 48
ENTRY_BYTES = 512
"""About what an entry takes besides its bars."""

JOIN_BARS_MAX = 16_384
"""Neighbours are joined up to this size: a strategy that steps bar by bar must not leave a
thousand entries behind, and a large one must not be copied at every step."""


@dataclass(frozen=True, slots=True, eq=False)
class CacheEntry:
    """Winners of one window."""

    series: Series
    window: Window
    """All of it is covered; a slot without a bar has none."""

    bars: BarFrame
    """Ascending, unique by ts, inside the window."""

    ranks: str
    """Hash of the ranks by which the winners were chosen, and of whose bars they are."""

    ledger: LedgerView | None
    """The rows that overlapped the window, read before the bars; None: the source has none."""

    expires_us: int | None = None
    """Wall time after which it is not believed; None: the ledger decides."""

    @property
    def size_bytes(self) -> int:
        """About how much memory it takes."""
        rows = 0 if self.ledger is None else len(self.ledger)
        return ENTRY_BYTES + ROW_BYTES * len(self.bars) + 32 * rows

    def current(self, view: LedgerView | None, window: Window, now_us: int) -> bool:
        """Return whether the bars inside `window` still are what a reader would get.

        Args:
            view: The ledger's rows now, at least those that overlap `window`; None where there is
                none, or it cannot be asked: then the clock decides.
            window: What of the entry is wanted.
            now_us: Wall time.
        """
        if view is None:
            return self.expires_us is not None and now_us < self.expires_us
        return self.ledger is not None and self.ledger.state(window) == view.state(window)

    def cut(self, window: Window) -> "CacheEntry":
        """Return the part inside a window, which lies inside the entry's."""
        first, end = self.bars.ts.searchsorted((window.start, window.end))
        rows = None if self.ledger is None else self.ledger.inside(window)
        bars = self.bars.take(slice(int(first), int(end)))
        return CacheEntry(self.series, window, bars, self.ranks, rows, self.expires_us)

    def joined(self, later: "CacheEntry") -> "CacheEntry | None":
        """Return this and the one that begins where this ends, as one.

        None where they were read under different ledgers: the rows of one would vouch for the
        bars of the other.
        """
        if (self.ledger is None) != (later.ledger is None):
            return None
        rows = None
        if self.ledger is not None and later.ledger is not None:
            rows = self.ledger.joined(later.ledger)
            for part in (self, later):
                own = self.ledger if part is self else later.ledger
                if rows.state(part.window) != own.state(part.window):
                    return None
        ends = [e for e in (self.expires_us, later.expires_us) if e is not None]
        return CacheEntry(
            self.series,
            Window(self.window.start, later.window.end),
            BarFrame.concat((self.bars, later.bars)),
            self.ranks,
            rows,
            min(ends, default=None),
        )


@runtime_checkable
class BarCache(DataSource, Protocol):
    """A cache that a provider fills: what was read below is kept here."""

    async def find(self, series: Series, window: Window, ranks: str) -> Sequence[CacheEntry]:
        """Return the entries that overlap the window, ascending and disjoint; maybe out of date."""
        ...

    async def keep(self, entry: CacheEntry) -> None:
        """Put an entry in the place of whatever its window held."""
        ...

    async def drop(self, entry: CacheEntry) -> None:
        """Forget an entry that is out of date."""
        ...

    async def close(self) -> None:
        """Let go of everything; harmless when repeated."""
        ...


def ranks_hash(ranks: Mapping[str, int], source: str = "") -> str:
    """Return one short text for a set of ranks and whose bars they order."""
    told = f"{source}|{sorted(ranks.items())}"
    return hashlib.blake2b(told.encode(), digest_size=8).hexdigest()


class CachedBars:
    """The `DataSource` side of a cache: what it holds and has not expired. A base to inherit."""

    priority: DataSourcePriority = DataSourcePriority.CACHE

    async def entries(self, series: Series, window: Window | None) -> Sequence[CacheEntry]:
        """Return every entry of the series that overlaps the window, whatever its ranks."""
        raise NotImplementedError

    async def is_available(self, start: int, end: int, *, node_id: str, interval: int) -> bool:
        """Return whether all of `[start, end)` is held."""
        window = check_window(start, end)
        found = await self.entries(check_series(node_id, interval), window)
        return covered(window, (entry.window for entry in found))

    async def fetch(self, start: int, end: int, *, node_id: str, interval: int) -> pd.DataFrame:
        """Return the bars held of `[start, end)`, as they were when they were read."""
        window = check_window(start, end)
        taken: tuple[Window, ...] = ()
        parts = []
        for entry in await self.entries(check_series(node_id, interval), window):
            parts += [entry.cut(w).bars.inside(window) for w in subtract((entry.window,), taken)]
            taken = merge((*taken, entry.window))
        bars = BarFrame.concat(parts)
        return bars.take(bars.ts.argsort(kind="stable")).to_pandas()

    async def coverage(self, *, node_id: str, interval: int) -> list[tuple[int, int]]:
        """Return inclusive ranges (first bar, last bar) of what is held."""
        series = check_series(node_id, interval)
        held = merge(entry.window for entry in await self.entries(series, None))
        origin = held[0].start if held else 0
        return [(r.start, r.end) for r in to_ranges(held, Grid(series.interval, origin))]


class MemoryCache(CachedBars):
    """The cache in memory, bounded in bytes; what was used longest ago goes first. Thread-safe."""

    def __init__(self, max_bytes: int = 256 * 2**20, clock: Clock | None = None) -> None:
        """Make an empty cache.

        Args:
            max_bytes: About how much memory it may take; 256 MiB are five million bars.
            clock: Where time comes from.

        Raises:
            InvalidValueError: `max_bytes` is below 0.
        """
        if max_bytes < 0:
            raise InvalidValueError("max_bytes", max_bytes, "0 or more")
        self._max_bytes = max_bytes
        self._clock = clock or SystemClock()
        self._lock = threading.Lock()
        self._entries: OrderedDict[int, CacheEntry] = OrderedDict()
        self._by_key: dict[tuple[Series, str], list[CacheEntry]] = {}
        self._bytes = 0

    @property
    def size_bytes(self) -> int:
        """About how much memory it takes now."""
        return self._bytes

    async def find(self, series: Series, window: Window, ranks: str) -> Sequence[CacheEntry]:
        """Return the entries that overlap the window, ascending and disjoint; maybe out of date."""
        with self._lock:
            own = self._by_key.get((series, ranks), ())
            found = [entry for entry in own if entry.window.intersect(window) is not None]
            for entry in found:
                self._entries.move_to_end(id(entry))
            return found

    async def keep(self, entry: CacheEntry) -> None:
        """Put an entry in the place of whatever its window held, and make room for it."""
        if entry.size_bytes > self._max_bytes:
            return
        with self._lock:
            own = self._by_key.get((entry.series, entry.ranks), [])
            rests: list[CacheEntry] = []
            for old in [e for e in own if e.window.intersect(entry.window) is not None]:
                rests += [old.cut(w) for w in subtract((old.window,), (entry.window,))]
                self._forget(old)
            for rest in rests:
                self._add(rest)
            self._add(self._with_neighbours(entry))
            while self._bytes > self._max_bytes:
                self._forget(self._victim())

    async def drop(self, entry: CacheEntry) -> None:
        """Forget an entry that is out of date."""
        with self._lock:
            if id(entry) in self._entries:
                self._forget(entry)

    async def close(self) -> None:
        """Forget everything; harmless when repeated."""
        with self._lock:
            self._entries.clear()
            self._by_key.clear()
            self._bytes = 0

    async def entries(self, series: Series, window: Window | None) -> Sequence[CacheEntry]:
        """Return every entry of the series that overlaps the window, whatever its ranks."""
        now_us = self._clock.wall_us()
        with self._lock:
            own = [e for (whose, _), held in self._by_key.items() if whose == series for e in held]
        return [
            e
            for e in own
            if (e.expires_us is None or now_us < e.expires_us)
            and (window is None or e.window.intersect(window) is not None)
        ]

    def _victim(self) -> CacheEntry:
        """Return what goes first: what was used longest ago."""
        return next(iter(self._entries.values()))

    def _with_neighbours(self, entry: CacheEntry) -> CacheEntry:
        """Return the entry joined with those that touch it, as far as they are small."""
        for old in list(self._by_key.get((entry.series, entry.ranks), ())):
            if len(old.bars) + len(entry.bars) > JOIN_BARS_MAX:
                continue
            joined = None
            if old.window.end == entry.window.start:
                joined = old.joined(entry)
            elif entry.window.end == old.window.start:
                joined = entry.joined(old)
            if joined is not None:
                self._forget(old)
                entry = joined
        return entry

    def _add(self, entry: CacheEntry) -> None:
        own = self._by_key.setdefault((entry.series, entry.ranks), [])
        own.append(entry)
        own.sort(key=lambda e: e.window)
        self._entries[id(entry)] = entry
        self._bytes += entry.size_bytes

    def _forget(self, entry: CacheEntry) -> None:
        del self._entries[id(entry)]
        own = self._by_key[(entry.series, entry.ranks)]
        own[:] = [e for e in own if e is not entry]
        if not own:
            del self._by_key[(entry.series, entry.ranks)]
        self._bytes -= entry.size_bytes
