"""What the store says of a batch of windows, asked for with few questions."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from bars.series import Series
from bars.versions import Versions, merge
from bars.window import Window
from bars.window import merge as merge_windows
from store import LedgerEntry, Store


@dataclass(frozen=True, slots=True)
class Stored:
    """Versions and ledger entries by series."""

    _versions: Mapping[Series, Versions]
    _entries: Mapping[Series, tuple[LedgerEntry, ...]]

    def versions(self, series: Series, window: Window) -> Versions:
        """Return the newest version of each bar in each lane."""
        found = self._versions.get(series)
        if found is None:
            return Versions.empty()
        return found.take((found.bars.ts >= window.start) & (found.bars.ts < window.end))

    def entries(self, series: Series, window: Window, lane: str) -> tuple[LedgerEntry, ...]:
        """Return the ledger entries of a lane that overlap the window."""
        found = self._entries.get(series, ())
        return tuple(e for e in found if e.lane == lane and e.window.intersect(window))


def ask(store: Store, wanted: Iterable[tuple[Series, Window]]) -> Stored:
    """Ask for the windows, those that touch in one go. Blocking.

    Raises:
        StoreUnavailableError: The store did not answer.
    """
    spans: dict[Series, list[Window]] = {}
    for series, window in wanted:
        spans.setdefault(series, []).append(window)
    versions: dict[Series, Versions] = {}
    entries: dict[Series, tuple[LedgerEntry, ...]] = {}
    for series, windows in spans.items():
        touching = merge_windows(windows)
        versions[series] = merge(store.reader.newest(series, span) for span in touching)
        entries[series] = tuple(e for span in touching for e in store.ledger.entries(series, span))
    return Stored(versions, entries)
