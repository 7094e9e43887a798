"""Where stored bars are read from and direct writers put them.

`Storage` is the little that a provider needs: what the ledger covers, the winners, every lane's
newest versions, and appending verified records. `QuestDBStorage` is the real one; an in-memory
one ships in `provider.testing`. Both are `DataSource`s.
"""

import asyncio
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import pandas as pd

from bars.fingerprint import content_hash
from bars.frame import BarFrame
from bars.history_coverage import to_ranges
from bars.protocols import DataSource, DataSourcePriority
from bars.series import Series
from bars.versions import Versions
from bars.window import Grid, Window, covered, merge
from provider._ask import TS_END, check_series, check_window
from provider.errors import UnverifiedRowsError
from runtime import Backoff, Clock
from store import (
    BarWriter,
    LedgerEntry,
    MissingTableError,
    RecordRows,
    Store,
    StoreUnavailableError,
)

_ATTEMPTS = 5
_RETRY = Backoff(0.2, 5.0)


@dataclass(frozen=True, slots=True, eq=False)
class NewRecord:
    """Bars of one fetched window, judged and ready to be stored."""

    series: Series
    lane: str
    window: Window
    """What the record covers."""

    known: int
    """When it was learnt, epoch microseconds."""

    bars: BarFrame
    """Withdrawn bars (rows of NaN) included."""


@runtime_checkable
class Storage(DataSource, Protocol):
    """What a provider needs of a store. Facts only grow in it."""

    @property
    def ranks(self) -> Mapping[str, int]:
        """Rank of each lane; the higher one wins."""
        ...

    async def covered(
        self, series: Series, window: Window | None = None
    ) -> Mapping[str, tuple[Window, ...]]:
        """Return by lane what the ledger covers, merged; clipped to `window` when given."""
        ...

    async def winners(self, series: Series, window: Window) -> BarFrame:
        """Return the bars that a reader gets, ascending and unique by ts."""
        ...

    async def newest(self, series: Series, window: Window) -> Versions:
        """Return the newest version of each (ts, lane), withdrawn ones included."""
        ...

    async def highest_known(self, series: Series) -> int:
        """Return the newest `known` in the series' ledger, epoch microseconds; 0 without one."""
        ...

    async def prepare(self, series: Series) -> None:
        """See that bars of the series may be added here.

        Raises:
            StoreOwnedError: Kafka writers own the store.
        """
        ...

    async def add(self, records: Sequence[NewRecord]) -> None:
        """Append records, see that they are there, and enter them into the ledger.

        Repeating it with the same records changes nothing.

        Raises:
            StoreOwnedError: Kafka writers own the store.
            UnstorableRowError: A row cannot be stored; nothing was written.
            UnverifiedRowsError: The store keeps something else than was sent.
        """
        ...

    async def close(self) -> None:
        """Let go of every connection; harmless when repeated."""
        ...


class StoredBars:
    """The `DataSource` side of a storage, said by its other methods. A base to inherit."""

    priority: DataSourcePriority = DataSourcePriority.STORAGE

    async def is_available(
        self: Storage, start: int, end: int, *, node_id: str, interval: int
    ) -> bool:
        """Return whether the ledger covers all of `[start, end)`."""
        window = check_window(start, end)
        lanes = await self.covered(check_series(node_id, interval), window)
        return covered(window, (w for held in lanes.values() for w in held))

    async def fetch(
        self: Storage, start: int, end: int, *, node_id: str, interval: int
    ) -> pd.DataFrame:
        """Return the bars that a reader gets of `[start, end)`."""
        bars = await self.winners(check_series(node_id, interval), check_window(start, end))
        return bars.to_pandas()

    async def coverage(self: Storage, *, node_id: str, interval: int) -> list[tuple[int, int]]:
        """Return inclusive ranges (first bar, last bar) of what the ledger covers."""
        series = check_series(node_id, interval)
        lanes = await self.covered(series)
        held = merge(w for windows in lanes.values() for w in windows)
        origin = held[0].start if held else 0
        return [(r.start, r.end) for r in to_ranges(held, Grid(series.interval, origin))]


class QuestDBStorage(StoredBars):
    """Bars in QuestDB. Blocking calls run in threads, so one object serves every loop."""

    def __init__(self, store: Store, ranks: Mapping[str, int], clock: Clock) -> None:
        self._store = store
        self._ranks = dict(ranks)
        self._clock = clock
        self._lock = threading.Lock()
        self._writer: BarWriter | None = None

    @property
    def ranks(self) -> Mapping[str, int]:
        """Rank of each lane; the higher one wins."""
        return self._ranks

    async def covered(
        self, series: Series, window: Window | None = None
    ) -> Mapping[str, tuple[Window, ...]]:
        """Return by lane what the ledger covers, merged; clipped to `window` when given."""
        try:
            entries = await asyncio.to_thread(self._store.ledger.entries, series, window)
        except MissingTableError:
            return {}  # nobody has written anything yet
        lanes: dict[str, list[Window]] = {}
        for entry in entries:
            part = entry.window if window is None else entry.window.intersect(window)
            if part is not None:
                lanes.setdefault(entry.lane, []).append(part)
        return {lane: merge(windows) for lane, windows in lanes.items()}

    async def winners(self, series: Series, window: Window) -> BarFrame:
        """Return the bars that a reader gets, ascending and unique by ts."""
        try:
            return await asyncio.to_thread(self._store.reader.bars, series, window, self._ranks)
        except MissingTableError:
            return BarFrame.empty()

    async def newest(self, series: Series, window: Window) -> Versions:
        """Return the newest version of each (ts, lane), withdrawn ones included."""
        try:
            return await asyncio.to_thread(self._store.reader.newest, series, window)
        except MissingTableError:
            return Versions.empty()

    async def highest_known(self, series: Series) -> int:
        """Return the newest `known` in the series' ledger, epoch microseconds; 0 without one."""
        try:
            state = await asyncio.to_thread(self._store.ledger.state, series, Window(0, TS_END))
        except MissingTableError:
            return 0
        return state.highest_known

    async def prepare(self, series: Series) -> None:
        """Create the tables of the series, if direct writers may write here."""
        await asyncio.to_thread(self._prepare, {series.interval})

    async def add(self, records: Sequence[NewRecord]) -> None:
        """Append records, see that they are there, and enter them into the ledger."""
        if not records:
            return
        rows = [RecordRows(r.series, r.lane, r.known, r.bars) for r in records if len(r.bars)]
        entries = [_entry(record) for record in records]
        for retry in range(1, _ATTEMPTS + 1):
            try:
                await asyncio.to_thread(self._add, rows, entries)
                break
            except (StoreUnavailableError, UnverifiedRowsError):
                if retry == _ATTEMPTS:
                    raise
                # The outcome is unknown: the same rows again can only repeat themselves.
                await self._clock.sleep(_RETRY.delay_s(retry))

    async def close(self) -> None:
        """Let go of every connection; harmless when repeated."""
        await asyncio.to_thread(self._store.close)

    def _prepare(self, intervals: set[int]) -> None:
        self._store.ensure_tables(intervals)
        self._store.meta.claim("direct")

    def _add(self, rows: list[RecordRows], entries: list[LedgerEntry]) -> None:
        # Kafka writers may take a store over at any time, so every write asks.
        self._prepare({r.series.interval for r in rows})
        with self._lock:
            writer = self._writer = self._writer or self._store.writer()
        writer.wait_visible(writer.write(rows))
        mismatches = writer.verify(rows)
        if mismatches:
            raise UnverifiedRowsError(mismatches)
        self._store.ledger.add(entries)


def _entry(record: NewRecord) -> LedgerEntry:
    return LedgerEntry(
        series=record.series,
        lane=record.lane,
        window=record.window,
        known=record.known,
        bars=int(record.bars.has_prices.sum()),
        content_hash=content_hash(record.bars),
    )
