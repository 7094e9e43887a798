"""What a provider needs of a store with versions, and what any such store can do besides.

`Storage` is the little that a provider needs: what the ledger covers, the winners, every lane's
newest versions, and appending verified records. QuestDB, SQLite, PostgreSQL and memory all keep
the same facts behind it, and all are `DataSource`s.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import pandas as pd

from bars.fingerprint import content_hash
from bars.frame import BarFrame
from bars.history_coverage import to_ranges
from bars.protocols import DataSource, DataSourcePriority
from bars.series import Series, backfill_lane
from bars.versions import Versions
from bars.window import Grid, Window, covered
from provider._ask import check_series, check_window
from provider._ledger import LedgerView
from runtime import Clock, SystemClock
from sources import bars_of
from store import LedgerEntry


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

    token: int = 0
    """The fencing token of the lease it was fetched under; 0: none."""

    @property
    def entry(self) -> LedgerEntry:
        """What the ledger says of it."""
        return LedgerEntry(
            series=self.series,
            lane=self.lane,
            window=self.window,
            known=self.known,
            token=self.token,
            bars=int(self.bars.has_prices.sum()),
            content_hash=content_hash(self.bars),
        )


@runtime_checkable
class Storage(DataSource, Protocol):
    """What a provider needs of a store. Facts only grow in it."""

    @property
    def ranks(self) -> Mapping[str, int]:
        """Rank of each lane; the higher one wins."""
        ...

    async def ledger(self, series: Series, window: Window | None = None) -> LedgerView:
        """Return the ledger's rows that overlap `window`; all of the series' without one."""
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


class StoredBars(ABC):
    """What any storage can do besides, said by its other methods. A base to inherit."""

    priority: DataSourcePriority = DataSourcePriority.STORAGE
    _clock: Clock = SystemClock()

    @abstractmethod
    async def ledger(self, series: Series, window: Window | None = None) -> LedgerView:
        """Return the ledger's rows that overlap `window`; all of the series' without one."""

    @abstractmethod
    async def winners(self, series: Series, window: Window) -> BarFrame:
        """Return the bars that a reader gets, ascending and unique by ts."""

    @abstractmethod
    async def highest_known(self, series: Series) -> int:
        """Return the newest `known` in the series' ledger, epoch microseconds; 0 without one."""

    @abstractmethod
    async def prepare(self, series: Series) -> None:
        """See that bars of the series may be added here."""

    @abstractmethod
    async def add(self, records: Sequence[NewRecord]) -> None:
        """Append records, see that they are there, and enter them into the ledger."""

    async def covered(
        self, series: Series, window: Window | None = None
    ) -> Mapping[str, tuple[Window, ...]]:
        """Return by lane what the ledger covers, merged; clipped to `window` when given."""
        return (await self.ledger(series, window)).lanes(window)

    async def is_available(self, start: int, end: int, *, node_id: str, interval: int) -> bool:
        """Return whether the ledger covers all of `[start, end)`."""
        window = check_window(start, end)
        view = await self.ledger(check_series(node_id, interval), window)
        return covered(window, view.covered())

    async def fetch(self, start: int, end: int, *, node_id: str, interval: int) -> pd.DataFrame:
        """Return the bars that a reader gets of `[start, end)`."""
        bars = await self.winners(check_series(node_id, interval), check_window(start, end))
        return bars.to_pandas()

    async def coverage(self, *, node_id: str, interval: int) -> list[tuple[int, int]]:
        """Return inclusive ranges (first bar, last bar) of what the ledger covers."""
        series = check_series(node_id, interval)
        held = (await self.ledger(series)).covered()
        origin = held[0].start if held else 0
        return [(r.start, r.end) for r in to_ranges(held, Grid(series.interval, origin))]

    async def write(
        self, start: int, end: int, frame: pd.DataFrame, *, node_id: str, interval: int
    ) -> None:
        """Store bars that cover `[start, end)`, as lane `bf:fetcher`; nothing judges them here.

        Raises:
            SourceError: The frame has not the columns of bars.
        """
        series, window = check_series(node_id, interval), check_window(start, end)
        bars = bars_of(frame, "fetcher")
        await self.prepare(series)
        known = max(self._clock.wall_us(), await self.highest_known(series) + 1)
        await self.add([NewRecord(series, backfill_lane("fetcher"), window, known, bars)])
