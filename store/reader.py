"""Reading bars: winners for strategies, versions for those who judge."""

from collections.abc import Mapping

from bars.frame import BarFrame
from bars.series import Series
from bars.versions import Versions
from bars.window import Window


class BarReader:
    """Reads one series at a time. Thread-safe."""

    def bars(
        self,
        series: Series,
        window: Window,
        ranks: Mapping[str, int],
        as_of: int | None = None,
        timeout_s: float = 60.0,
    ) -> BarFrame:
        """Return the winners, ascending and unique by ts, all with prices.

        Args:
            series: Which bars.
            window: Which open times.
            ranks: Rank of each lane.
            as_of: Only versions learnt by then, epoch microseconds.
            timeout_s: Budget of the whole read.
        """
        raise NotImplementedError

    def versions(self, series: Series, window: Window, timeout_s: float = 60.0) -> Versions:
        """Return every version the store has, ascending by (ts, lane, known)."""
        raise NotImplementedError

    def newest(self, series: Series, window: Window, timeout_s: float = 60.0) -> Versions:
        """Return the newest version of each (ts, lane), withdrawn ones included."""
        raise NotImplementedError
