"""`SQLiteCache` (L2): what was read of a distant store, in a file of this machine."""

import asyncio
import json
from collections.abc import Sequence
from pathlib import Path

from bars.series import Series
from bars.window import Window, subtract
from provider._ledger import LedgerView
from provider.cache import CachedBars, CacheEntry
from runtime import Clock, SystemClock
from store import Shelf, Shelved


class SQLiteCache(CachedBars):
    """The cache in a file, bounded in bytes; survives the process, may be shared by several."""

    def __init__(
        self, path: str | Path, max_bytes: int = 4 * 2**30, clock: Clock | None = None
    ) -> None:
        """Make a cache; the file is made when it is first used.

        Args:
            path: The file. Not on a network share: SQLite's locks do not hold there.
            max_bytes: About how large its bars may be together.
            clock: Where time comes from.

        Raises:
            InvalidValueError: The path is empty or `:memory:`, or `max_bytes` below 0.
        """
        self._shelf = Shelf(path, max_bytes)
        self._clock = clock or SystemClock()

    async def find(self, series: Series, window: Window, ranks: str) -> Sequence[CacheEntry]:
        """Return the entries that overlap the window, ascending and disjoint; maybe out of date."""
        return [_entry(one) for one in await self._found(series, ranks, window)]

    async def keep(self, entry: CacheEntry) -> None:
        """Put an entry in the place of whatever its window held, and make room for it."""
        old = await self._found(entry.series, entry.ranks, entry.window)
        for one in old:  # what lies beyond the new entry stays
            for rest in subtract((one.window,), (entry.window,)):
                await self._put(_entry(one).cut(rest), ())
        await self._put(entry, [one.place for one in old])

    async def drop(self, entry: CacheEntry) -> None:
        """Forget an entry that is out of date."""
        old = await self._found(entry.series, entry.ranks, entry.window)
        same = [one.place for one in old if one.window == entry.window]
        await asyncio.to_thread(self._shelf.take, same)

    async def close(self) -> None:
        """Let go of the file; harmless when repeated."""
        await asyncio.to_thread(self._shelf.close)

    async def size_bytes(self) -> int:
        """Return about how large its bars are together."""
        return await asyncio.to_thread(self._shelf.size_bytes)

    async def entries(self, series: Series, window: Window | None) -> Sequence[CacheEntry]:
        """Return every entry of the series that overlaps the window, whatever its ranks."""
        now_us = self._clock.wall_us()
        found = [_entry(one) for one in await self._found(series, None, window)]
        return [e for e in found if e.expires_us is None or now_us < e.expires_us]

    async def _found(
        self, series: Series, tag: str | None, window: Window | None
    ) -> Sequence[Shelved]:
        now_us = self._clock.wall_us()
        return await asyncio.to_thread(self._shelf.find, series, tag, window, now_us)

    async def _put(self, entry: CacheEntry, replaced: Sequence[int]) -> None:
        rows = None if entry.ledger is None else entry.ledger.rows()
        note = json.dumps({"rows": rows, "expires_us": entry.expires_us})
        one = Shelved(entry.series, entry.ranks, entry.window, entry.bars, note)
        await asyncio.to_thread(self._shelf.put, one, replaced, self._clock.wall_us())


def _entry(one: Shelved) -> CacheEntry:
    note = json.loads(one.note)
    ledger = None
    if note["rows"] is not None:
        ledger = LedgerView.of((Window(s, e), lane, known) for s, e, known, lane in note["rows"])
    return CacheEntry(one.series, one.window, one.bars, one.tag, ledger, note["expires_us"])
