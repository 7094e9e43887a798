"""What one partition of history holds that the store may not show yet. Pure.

The store is asked in one order: the VisibleMark first, the store second, and the overlay is laid
on top. What the mark has passed is in the store then and leaves the overlay; what it has not is
still here. Together they hold everything that was ever published.
"""

from collections import defaultdict, deque
from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np

from avro_schemas import BarChunk
from bars.frame import BarFrame
from bars.series import ROLL, Series
from bars.versions import Versions, merge
from bars.window import Window
from streams.errors import MarkWentBackError

OVERLAY_BARS_MAX = 500_000
"""A partition that is that far ahead of the store waits for it."""

PENDING = 2**62
"""Offset of what is published in a transaction that has not been committed."""


@dataclass(slots=True, eq=False)
class Entry:
    """One history record."""

    series: Series
    lane: str
    windows: tuple[Window, ...]
    """What it covers."""

    token: int
    versions: Versions
    offset: int = PENDING
    """Its own, in history."""

    def touches(self, window: Window) -> bool:
        """Whether it covers, or has a bar for, any of the window."""
        ts = self.versions.bars.ts
        covers = any(each.intersect(window) for each in self.windows)
        return covers or bool(((ts >= window.start) & (ts < window.end)).any())

    @property
    def weight(self) -> int:
        """What it adds to the size of an overlay; a record without bars takes room too."""
        return len(self.versions) + 1


def entry_of(chunk: BarChunk, offset: int = PENDING) -> Entry:
    """Return a history record as an overlay keeps it.

    Raises:
        InvalidValueError: It is not one that `conform` or the roller may have written.
    """
    bars = BarFrame(chunk.ts, chunk.open, chunk.high, chunk.low, chunk.close, chunk.volume)
    each = chunk.known_each
    known = each if each.size else np.full(len(bars), chunk.known, np.int64)
    covers = tuple(Window(*window) for window in chunk.covers)
    if not covers and chunk.lane != ROLL:
        covers = (Window(chunk.start, chunk.end),)
    return Entry(
        series=Series(chunk.node_id, chunk.interval),
        lane=chunk.lane,
        windows=covers,
        token=chunk.lease_token,
        versions=Versions.of_lane(bars, chunk.lane, known),
        offset=offset,
    )


@dataclass(slots=True, eq=False)
class Overlay:
    """The records of one partition at or above the mark, and those being published."""

    partition: int
    mark: int = 0
    """Everything below this offset of history is visible in the store."""

    bars_max: int = OVERLAY_BARS_MAX
    _order: deque[Entry] = field(default_factory=deque)
    _of: defaultdict[Series, list[Entry]] = field(default_factory=lambda: defaultdict(list))
    _weight: int = 0

    @property
    def full(self) -> bool:
        """Whether nothing more should be added before the mark has moved."""
        return self._weight >= self.bars_max

    def __len__(self) -> int:
        return len(self._order)

    def add(self, entry: Entry) -> None:
        """Lay a record on top; ascending by offset."""
        self._order.append(entry)
        self._of[entry.series].append(entry)
        self._weight += entry.weight

    def commit(self, offsets: Iterable[int]) -> None:
        """Give the pending records the offsets that they have got, in the order of `add`."""
        pending = (entry for entry in self._order if entry.offset == PENDING)
        for entry, offset in zip(list(pending), offsets, strict=True):
            entry.offset = offset

    def advance(self, mark: int) -> None:
        """Drop what the mark has passed.

        Raises:
            MarkWentBackError: It is lower than before: an older store was put back, and what
                has been dropped here may be missing there.
        """
        if mark < self.mark:
            raise MarkWentBackError(self.partition, self.mark, mark)
        self.mark = mark
        while self._order and self._order[0].offset < mark:
            entry = self._order.popleft()
            own = self._of[entry.series]
            own.remove(entry)
            if not own:
                del self._of[entry.series]
            self._weight -= entry.weight

    def settled(self, series: Series, window: Window) -> bool:
        """Whether the store shows everything that was published of the window.

        What is on its way elsewhere in the series does not count: a long refetch in which one
        bar has changed would otherwise never come to rest, and write every bar again.
        """
        return not any(entry.touches(window) for entry in self._of.get(series, ()))

    def token(self, series: Series, lane: str, window: Window) -> int:
        """Return the highest token of the lane's records that overlap the window, 0 if none."""
        return max(
            (
                entry.token
                for entry in self._of.get(series, ())
                if entry.lane == lane and any(w.intersect(window) for w in entry.windows)
            ),
            default=0,
        )

    def versions(self, series: Series, window: Window, below: Versions) -> Versions:
        """Return the store's versions of the window with the overlay's on top."""
        parts = [below]
        for entry in self._of.get(series, ()):
            ts = entry.versions.bars.ts
            inside = (ts >= window.start) & (ts < window.end)
            if inside.any():
                parts.append(entry.versions.take(inside))
        return merge(parts)
