"""The ledger: which windows are covered by verified records. It only grows."""

from collections.abc import Iterable, Sequence

from bars.series import Series
from bars.window import Window
from store.rows import LedgerEntry, LedgerState


class Ledger:
    """Coverage, proved: one row per covered window of a verified record. Thread-safe."""

    def add(self, entries: Sequence[LedgerEntry], timeout_s: float = 60.0) -> None:
        """Append entries and return once they are visible; repeating it changes nothing."""
        raise NotImplementedError

    def entries(
        self, series: Series, window: Window | None = None, lane: str | None = None
    ) -> tuple[LedgerEntry, ...]:
        """Return the entries that overlap `window`, ascending by (start, end, lane, known)."""
        raise NotImplementedError

    def windows(
        self, series: Series, lanes: Iterable[str] | None = None, window: Window | None = None
    ) -> tuple[Window, ...]:
        """Return what is covered, merged, and clipped to `window` when one is given."""
        raise NotImplementedError

    def highest_token(self) -> int:
        """Return the highest fencing token of all entries, 0 if there is none."""
        raise NotImplementedError

    def highest_token_of(self, series: Series, lane: str, window: Window) -> int:
        """Return the highest token of the lane's entries that overlap `window`, 0 if none."""
        raise NotImplementedError

    def highest_offset(self, partition: int) -> int:
        """Return the highest chunk offset of a Kafka partition in the ledger, -1 if none."""
        raise NotImplementedError

    def state(self, series: Series, window: Window) -> LedgerState:
        """Return a fingerprint of the entries that overlap `window`."""
        raise NotImplementedError
