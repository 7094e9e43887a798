"""What a strategy's own tests need: bars kept in memory, with the manners of the real store."""

from collections.abc import Mapping, Sequence

from bars.frame import BarFrame
from bars.series import Series
from bars.versions import Versions, newest, winners
from bars.versions import merge as merge_versions
from bars.window import Window, merge
from provider.storage import NewRecord, StoredBars


class MemoryStorage(StoredBars):
    """A `Storage` without a server. Facts only grow; nothing outlives the object.

    Attributes:
        records: Everything that was added, in order, repeats included.
    """

    def __init__(self, ranks: Mapping[str, int] | None = None) -> None:
        self._ranks = dict(ranks or {})
        self._versions: dict[Series, Versions] = {}
        self.records: list[NewRecord] = []

    @property
    def ranks(self) -> Mapping[str, int]:
        """Rank of each lane; the higher one wins."""
        return self._ranks

    async def covered(
        self, series: Series, window: Window | None = None
    ) -> Mapping[str, tuple[Window, ...]]:
        """Return by lane what the ledger covers, merged; clipped to `window` when given."""
        lanes: dict[str, list[Window]] = {}
        for record in self.records:
            part = record.window if window is None else record.window.intersect(window)
            if record.series == series and part is not None:
                lanes.setdefault(record.lane, []).append(part)
        return {lane: merge(windows) for lane, windows in lanes.items()}

    async def winners(self, series: Series, window: Window) -> BarFrame:
        """Return the bars that a reader gets, ascending and unique by ts."""
        return winners(self._of(series), self._ranks).bars.inside(window)

    async def newest(self, series: Series, window: Window) -> Versions:
        """Return the newest version of each (ts, lane), withdrawn ones included."""
        found = newest(self._of(series))
        return found.take((found.bars.ts >= window.start) & (found.bars.ts < window.end))

    async def highest_known(self, series: Series) -> int:
        """Return the newest `known` in the series' ledger, epoch microseconds; 0 without one."""
        return max((r.known for r in self.records if r.series == series), default=0)

    async def prepare(self, series: Series) -> None:
        """Anybody may write here."""

    async def add(self, records: Sequence[NewRecord]) -> None:
        """Append records and enter them into the ledger."""
        for record in records:
            added = Versions.of_lane(record.bars, record.lane, record.known)
            self._versions[record.series] = merge_versions([self._of(record.series), added])
        self.records += records

    async def close(self) -> None:
        """Nothing is held."""

    def _of(self, series: Series) -> Versions:
        return self._versions.get(series, Versions.empty())
