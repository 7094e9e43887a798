"""`SQLiteStorage` and `PostgresStorage`: the same facts without QuestDB, or without any server."""

import asyncio
from collections.abc import Mapping, Sequence
from pathlib import Path

from bars.frame import BarFrame
from bars.series import Series
from bars.versions import Versions
from bars.window import Window
from provider._ledger import LedgerView
from provider.storage import NewRecord, StoredBars
from runtime import Backoff, Clock, SystemClock
from store import PostgresStore, Record, RelationalStore, SQLiteStore, StoreUnavailableError

_ATTEMPTS = 5
_RETRY = Backoff(0.2, 5.0)


class RelationalStorage(StoredBars):
    """Bars in a relational database. Blocking calls run in threads."""

    def __init__(
        self, store: RelationalStore, ranks: Mapping[str, int], clock: Clock | None = None
    ) -> None:
        self._store = store
        self._ranks = dict(ranks)
        self._clock = clock or SystemClock()

    @property
    def ranks(self) -> Mapping[str, int]:
        """Rank of each lane; the higher one wins."""
        return self._ranks

    async def ledger(self, series: Series, window: Window | None = None) -> LedgerView:
        """Return the ledger's rows that overlap `window`; all of the series' without one."""
        entries = await asyncio.to_thread(self._store.entries, series, window)
        return LedgerView.of((e.window, e.lane, e.known) for e in entries)

    async def winners(self, series: Series, window: Window) -> BarFrame:
        """Return the bars that a reader gets, ascending and unique by ts."""
        return await asyncio.to_thread(self._store.bars, series, window, self._ranks)

    async def newest(self, series: Series, window: Window) -> Versions:
        """Return the newest version of each (ts, lane), withdrawn ones included."""
        return await asyncio.to_thread(self._store.newest, series, window)

    async def highest_known(self, series: Series) -> int:
        """Return the newest `known` in the series' ledger, epoch microseconds; 0 without one."""
        return await asyncio.to_thread(self._store.highest_known, series)

    async def prepare(self, series: Series) -> None:
        """See that the database can be reached; anybody may write here."""
        del series  # its tables are everybody's
        await asyncio.to_thread(self._store.prepare)

    async def add(self, records: Sequence[NewRecord]) -> None:
        """Append records and enter them into the ledger, in one transaction."""
        if not records:
            return
        made = [Record(record.entry, record.bars) for record in records]
        for retry in range(1, _ATTEMPTS + 1):
            try:
                await asyncio.to_thread(self._store.add, made)
                break
            except StoreUnavailableError:
                if retry == _ATTEMPTS:
                    raise
                # The outcome is unknown: the same records again can only repeat themselves.
                await self._clock.sleep(_RETRY.delay_s(retry))

    async def close(self) -> None:
        """Let go of every connection; harmless when repeated."""
        await asyncio.to_thread(self._store.close)


class SQLiteStorage(RelationalStorage):
    """Bars in one file, safe for several processes: a provider then needs no server at all."""

    def __init__(
        self,
        path: str | Path,
        ranks: Mapping[str, int] | None = None,
        clock: Clock | None = None,
    ) -> None:
        """Make a storage; the file is made when it is first used.

        Args:
            path: The file. Not on a network share: SQLite's locks do not hold there.
            ranks: Rank of each lane, the higher one wins; lanes not listed are ordered by time.
            clock: Where time comes from.

        Raises:
            InvalidValueError: The path is empty or `:memory:`.
        """
        super().__init__(SQLiteStore(path), ranks or {}, clock)


class PostgresStorage(RelationalStorage):
    """Bars in a database that speaks PostgreSQL's protocol and dialect."""

    def __init__(
        self,
        dsn: str,
        ranks: Mapping[str, int] | None = None,
        clock: Clock | None = None,
        *,
        prefix: str = "seamless_",
    ) -> None:
        """Make a storage. Nothing is opened before the first call.

        Args:
            dsn: As libpq reads it: `postgresql://user:password@host:5432/database`.
            ranks: Rank of each lane, the higher one wins; lanes not listed are ordered by time.
            clock: Where time comes from.
            prefix: What every table's name begins with.

        Raises:
            InvalidValueError: The dsn or the prefix is not one.
        """
        super().__init__(PostgresStore(dsn, prefix), ranks or {}, clock)
