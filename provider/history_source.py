"""`HistoryProviderDataSource`: a history provider, as a bare loader, for a provider's storage."""

import pandas as pd

from bars.history_coverage import CoverageRange, to_windows
from bars.protocols import DataSourcePriority, HistoryProvider
from bars.window import covered
from provider._ask import check_window


class HistoryProviderDataSource:
    """A `DataSource` over any `HistoryProvider`. It can `fill_missing`, so it is asked to first."""

    priority = DataSourcePriority.STORAGE

    def __init__(self, history: HistoryProvider) -> None:
        self._history = history

    async def is_available(self, start: int, end: int, *, node_id: str, interval: int) -> bool:
        """Return whether every bar of `[start, end)` is held."""
        held = await self.coverage(node_id=node_id, interval=interval)
        windows = to_windows((CoverageRange(*each) for each in held), interval)
        return covered(check_window(start, end), windows)

    async def fetch(self, start: int, end: int, *, node_id: str, interval: int) -> pd.DataFrame:
        """Return the bars held whose open time is in `[start, end)`."""
        return await self._history.fetch(start, end, node_id=node_id, interval=interval)

    async def coverage(self, *, node_id: str, interval: int) -> list[tuple[int, int]]:
        """Return inclusive ranges (first bar, last bar), ascending and disjoint."""
        return await self._history.coverage(node_id=node_id, interval=interval)

    async def fill_missing(self, start: int, end: int, *, node_id: str, interval: int) -> None:
        """Fetch what is missing from `start` to `end`, both inclusive."""
        await self._history.fill_missing(start, end, node_id=node_id, interval=interval)
