"""Reading bars: winners for strategies, versions for those who judge."""

from collections.abc import Mapping

import numpy as np

from bars.frame import PRICE_COLUMNS, BarFrame
from bars.series import Series
from bars.versions import Versions, merge, newest, winners
from bars.window import Window
from store._query import Query, Select
from store._stretches import replace, stretches
from store._time import Until
from store.columns import Columns
from store.errors import StoreError
from store.layout import Layout
from store.sql import MICROSECONDS, inside, select

_PRICES = ", ".join(("ts", *PRICE_COLUMNS))


class BarReader:
    """Reads one series at a time. Thread-safe.

    Every method raises `StoreUnavailableError` where the server is away or too slow, and
    `MissingTableError` where `ensure_tables` never ran for such an interval.
    """

    def __init__(self, query: Query, layout: Layout) -> None:
        self._query = query
        self._layout = layout

    def bars(
        self,
        series: Series,
        window: Window,
        ranks: Mapping[str, int],
        as_of: int | None = None,
        timeout_s: float = 60.0,
    ) -> BarFrame:
        """Return the winners, ascending and unique by ts, all with prices.

        Few bars have a second version, so the columns that tell versions apart are read only
        where an open time repeats.

        Args:
            series: Which bars.
            window: Which open times.
            ranks: Rank of each lane.
            as_of: Only versions learnt by then, epoch microseconds.
            timeout_s: Budget of the whole read.
        """
        until = Until.after(timeout_s)
        found = _bars(self._columns(_PRICES, series, window, as_of, until))
        parts = stretches(found.ts, series.interval)
        chosen = [winners(self._versions(series, w, as_of, until), ranks).bars for w in parts]
        return replace(found, parts, chosen)

    def versions(self, series: Series, window: Window, timeout_s: float = 60.0) -> Versions:
        """Return every version the store has, ascending by (ts, lane, known)."""
        return merge([self._versions(series, window, None, Until.after(timeout_s))])

    def newest(self, series: Series, window: Window, timeout_s: float = 60.0) -> Versions:
        """Return the newest version of each (ts, lane), withdrawn ones included."""
        return newest(self._versions(series, window, None, Until.after(timeout_s)))

    def _versions(
        self, series: Series, window: Window, as_of: int | None, until: Until
    ) -> Versions:
        found = self._columns(f"{_PRICES}, lane, known", series, window, as_of, until)
        return Versions(_bars(found), found.symbols("lane").texts(), found.times("known"))

    def _columns(
        self, columns: str, series: Series, window: Window, as_of: int | None, until: Until
    ) -> Columns:
        table = self._layout.bars_name(series.interval)
        learnt = "" if as_of is None else f" AND known <= {as_of:d}"
        return self._query.columns(
            Select(
                sql=select(columns, table, inside(series, window) + learnt),
                table=table,
                rows=(window.end - window.start) // series.interval,
            ),
            until,
        )


def _bars(found: Columns) -> BarFrame:
    """Return the rows as bars, ascending by ts."""
    seconds, rest = np.divmod(found.times("ts"), MICROSECONDS)
    if rest.any():
        raise StoreError(
            "a bar in the store does not open at a whole second: somebody else wrote it"
        )
    bars = BarFrame(seconds, *(found.doubles(name) for name in PRICE_COLUMNS))
    if len(bars) and bool((seconds[1:] < seconds[:-1]).any()):
        return bars.take(np.argsort(seconds, kind="stable"))
    return bars
