"""What a ledger said at one moment: who covers what, and whether it has changed since. Pure."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from bars.versions import Lanes
from bars.window import Window, intersect, merge
from store import LedgerState

Numbers: TypeAlias = NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class LedgerView:
    """Rows of a ledger as columns, in any order."""

    start: Numbers
    end: Numbers
    known: Numbers
    lane: Lanes

    @classmethod
    def of(cls, rows: Iterable[tuple[Window, str, int]]) -> "LedgerView":
        """Return the view of rows (window, lane, known)."""
        found = list(rows)
        return cls(
            np.array([w.start for w, _, _ in found], np.int64),
            np.array([w.end for w, _, _ in found], np.int64),
            np.array([known for _, _, known in found], np.int64),
            np.array([lane for _, lane, _ in found], object),
        )

    def __len__(self) -> int:
        return int(self.start.size)

    def inside(self, window: Window) -> "LedgerView":
        """Return the rows that overlap a window."""
        rows = (self.start < window.end) & (self.end > window.start)
        return LedgerView(self.start[rows], self.end[rows], self.known[rows], self.lane[rows])

    def joined(self, other: "LedgerView") -> "LedgerView":
        """Return the rows of both, each once."""
        rows = {*self.rows(), *other.rows()}
        return LedgerView.of((Window(start, end), lane, known) for start, end, known, lane in rows)

    def state(self, window: Window) -> LedgerState:
        """Return the fingerprint of what overlaps a window: it changes with every new row."""
        own = self.known[(self.start < window.end) & (self.end > window.start)]
        return LedgerState(int(own.size), int(own.max()) if own.size else 0)

    def lanes(self, window: Window | None = None) -> Mapping[str, tuple[Window, ...]]:
        """Return by lane what is covered, merged; clipped to `window` when given."""
        found: dict[str, list[Window]] = {}
        for start, end, _, lane in self.rows():
            found.setdefault(lane, []).append(Window(start, end))
        merged = {lane: merge(windows) for lane, windows in sorted(found.items())}
        if window is None:
            return merged
        clipped = {lane: intersect((window,), held) for lane, held in merged.items()}
        return {lane: held for lane, held in clipped.items() if held}

    def covered(self, window: Window | None = None) -> tuple[Window, ...]:
        """Return what is covered by any lane, merged; clipped to `window` when given."""
        held = merge(map(Window, self.start.tolist(), self.end.tolist()))
        return held if window is None else intersect((window,), held)

    def rows(self) -> list[tuple[int, int, int, str]]:
        """Return the rows as (start, end, known, lane)."""
        columns = (self.start.tolist(), self.end.tolist(), self.known.tolist())
        return list(zip(*columns, self.lane.tolist(), strict=True))
