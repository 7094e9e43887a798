"""Where the versions of bars have to be looked at, and how the answer is put together. Pure."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from bars.frame import BarFrame
from bars.window import Window

_JOIN_BARS = 2_000
"""Stretches nearer than this are read as one: the bars between cost less than a query."""

STRETCHES_MAX = 8
"""Queries for one read at most; then the nearest stretches are joined, however far apart."""


def stretches(ts: NDArray[np.int64], interval: int) -> tuple[Window, ...]:
    """Return windows around all times that repeat, ascending and apart.

    Args:
        ts: Open times, ascending.
        interval: Bar length in seconds.
    """
    repeated = np.unique(ts[1:][ts[1:] == ts[:-1]])
    if not repeated.size:
        return ()
    gaps = np.diff(repeated)
    far = np.flatnonzero(gaps > _JOIN_BARS * interval)
    if far.size >= STRETCHES_MAX:
        widest = far[np.argsort(gaps[far], kind="stable")[-(STRETCHES_MAX - 1) :]]
        far = np.sort(widest)
    starts = repeated[np.concatenate(([0], far + 1))]
    ends = repeated[np.concatenate((far, [repeated.size - 1]))] + 1
    return tuple(map(Window, starts.tolist(), ends.tolist()))


def replace(found: BarFrame, parts: Sequence[Window], chosen: Sequence[BarFrame]) -> BarFrame:
    """Return the bars with each part replaced whole by what was chosen for it.

    Outside the parts every time is there once; where that one version has no prices, the bar
    was withdrawn and there is no other.

    Args:
        found: What was read first, ascending.
        parts: Windows that were read again, ascending and apart.
        chosen: The winners inside each of them.
    """
    pieces: list[BarFrame] = []
    start = 0
    for part, winners in zip(parts, chosen, strict=True):
        first, last = np.searchsorted(found.ts, (part.start, part.end))
        pieces += [_priced(found, start, int(first)), winners]
        start = int(last)
    if not pieces:
        return _priced(found, 0, len(found))
    return BarFrame.concat([*pieces, _priced(found, start, len(found))])


def _priced(bars: BarFrame, start: int, end: int) -> BarFrame:
    part = bars if (start, end) == (0, len(bars)) else bars.take(slice(start, end))
    priced = part.has_prices
    return part if priced.all() else part.take(priced)
