"""`QuestDBStorage`: bars in QuestDB."""

import asyncio
import threading
from collections.abc import Mapping, Sequence

from bars.frame import BarFrame
from bars.series import Series
from bars.versions import Versions
from bars.window import Window
from provider._ask import TS_END
from provider._ledger import LedgerView
from provider.errors import UnverifiedRowsError
from provider.storage import NewRecord, StoredBars
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

    async def ledger(self, series: Series, window: Window | None = None) -> LedgerView:
        """Return the ledger's rows that overlap `window`; all of the series' without one."""
        try:
            entries = await asyncio.to_thread(self._store.ledger.entries, series, window)
        except MissingTableError:
            entries = ()  # nobody has written anything yet
        return LedgerView.of((e.window, e.lane, e.known) for e in entries)

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
        entries = [record.entry for record in records]
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
