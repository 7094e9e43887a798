"""`MemoryStorage`: bars that live as long as the object, with the manners of a real store."""

from collections.abc import Mapping, Sequence

from bars.frame import BarFrame
from bars.series import Series
from bars.versions import Versions, newest, winners
from bars.versions import merge as merge_versions
from bars.window import Window
from provider._ledger import LedgerView
from provider.storage import NewRecord, StoredBars
from runtime import Clock, SystemClock


class MemoryStorage(StoredBars):
    """A `Storage` without file or server. Facts only grow; nothing outlives the object.

    Attributes:
        records: Everything that was added, in order, repeats included.
    """

    def __init__(self, ranks: Mapping[str, int] | None = None, clock: Clock | None = None) -> None:
        self._ranks = dict(ranks or {})
        self._clock = clock or SystemClock()
        self._versions: dict[Series, Versions] = {}
        self._ledger: dict[Series, LedgerView] = {}
        self.records: list[NewRecord] = []

    @property
    def ranks(self) -> Mapping[str, int]:
        """Rank of each lane; the higher one wins."""
        return self._ranks

    async def ledger(self, series: Series, window: Window | None = None) -> LedgerView:
        """Return the ledger's rows that overlap `window`; all of the series' without one."""
        every = self._ledger.get(series, LedgerView.of(()))
        return every if window is None else every.inside(window)

    async def winners(self, series: Series, window: Window) -> BarFrame:
        """Return the bars that a reader gets, ascending and unique by ts."""
        return winners(self._inside(series, window), self._ranks).bars

    async def newest(self, series: Series, window: Window) -> Versions:
        """Return the newest version of each (ts, lane), withdrawn ones included."""
        return newest(self._inside(series, window))

    async def highest_known(self, series: Series) -> int:
        """Return the newest `known` in the series' ledger, epoch microseconds; 0 without one."""
        known = self._ledger.get(series, LedgerView.of(())).known
        return int(known.max()) if known.size else 0

    async def prepare(self, series: Series) -> None:
        """Anybody may write here."""

    async def add(self, records: Sequence[NewRecord]) -> None:
        """Append records and enter them into the ledger."""
        for series in {record.series for record in records}:
            own = [record for record in records if record.series == series]
            fresh = [Versions.of_lane(r.bars, r.lane, r.known) for r in own]
            held = self._versions.get(series, Versions.empty())
            self._versions[series] = merge_versions([held, *fresh])
            rows = LedgerView.of((r.window, r.lane, r.known) for r in own)
            self._ledger[series] = self._ledger.get(series, LedgerView.of(())).joined(rows)
        self.records += records

    async def close(self) -> None:
        """Nothing is held."""

    def _inside(self, series: Series, window: Window) -> Versions:
        found = self._versions.get(series, Versions.empty())
        first, end = found.bars.ts.searchsorted((window.start, window.end))
        return Versions(
            found.bars.take(slice(first, end)), found.lane[first:end], found.known[first:end]
        )
