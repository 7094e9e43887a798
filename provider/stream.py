"""What a stream yields, and the one rule that decides what comes out of it. Pure.

A bar beyond the frontier comes out when it is the next of the session. With session bars between,
whoever drives the rule tries to get them, waits a grace, and then says so: a gap. A bar at or
below the frontier that was never told is late; one that was told with other values is revised.
"""

from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Literal, TypeAlias

import numpy as np

from bars.calendars import expected
from bars.frame import BarFrame
from bars.window import Window
from provider._ask import Ask

StreamMode: TypeAlias = Literal["emit", "final_only"]
Values: TypeAlias = tuple[float, float, float, float, float]

TOLD_MAX = 100_000
"""Bars whose values are remembered; what comes again of older ones is not told."""


class EventKind(StrEnum):
    """What an event of a stream says."""

    BAR = "bar"
    """The next closed bar."""

    PARTIAL = "partial"
    """The bar that is still open, as it is now."""

    LATE = "late"
    """A bar of a gap that was told."""

    REVISION = "revision"
    """A bar that was told, with other values."""

    GAP = "gap"
    """Session bars that could not be had."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamEvent:
    """One thing that happened in a series."""

    kind: EventKind
    ts: int
    """Open time of the bar, or of the first one that is missing."""

    end: int
    """First open time after it."""

    values: Values | None = None
    """Open, high, low, close, volume; None for a gap."""

    @property
    def is_final(self) -> bool:
        """Whether the bar has closed."""
        return self.kind is not EventKind.PARTIAL


class Splice:
    """Makes one ordered sequence of bars that come from several places."""

    def __init__(self, ask: Ask, since: int) -> None:
        """Begin with the first open time at or after `since`."""
        self._ask = ask
        self._interval = ask.grid.interval
        self.frontier = ask.grid.ceil(since)
        """First open time that nothing has been said of."""

        self._told: OrderedDict[int, Values] = OrderedDict()
        self._oldest = self.frontier
        self._since = self.frontier

    def between(self, ts: int) -> Window | None:
        """Return the session bars between the frontier and a bar; None if it is the next."""
        if ts <= self.frontier:
            return None
        window = Window(self.frontier, ts)
        session = expected(self._ask.calendar, self._ask.grid, window, self._ask.listed)
        if not session.size:
            return None
        return Window(int(session[0]), int(session[-1]) + self._interval)

    def take(self, bars: BarFrame) -> Iterator[StreamEvent]:
        """Yield what closed bars, ascending, come to; what lies between them is passed over.

        Whoever gives bars has seen to it before that nothing is missing between, or has said so.
        """
        columns = (c.tolist() for c in bars.prices)
        for ts, *values in zip(bars.ts.tolist(), *columns, strict=True):
            yield from self._closed(ts, tuple(values))

    def partial(self, bars: BarFrame) -> Iterator[StreamEvent]:
        """Yield an open bar as it is now, unless it has closed already."""
        columns = (c.tolist() for c in bars.prices)
        for ts, *values in zip(bars.ts.tolist(), *columns, strict=True):
            if ts >= self.frontier:
                yield self._event(EventKind.PARTIAL, ts, tuple(values))

    def give_up(self, window: Window) -> StreamEvent:
        """Return the gap, and go on behind it."""
        self.frontier = max(self.frontier, window.end)
        return StreamEvent(kind=EventKind.GAP, ts=window.start, end=window.end)

    def pass_over(self, until: int) -> None:
        """Go on with `until`: nothing should be there before it."""
        self.frontier = max(self.frontier, until)

    def _closed(self, ts: int, values: Values) -> Iterator[StreamEvent]:
        if not self._ask.grid.on(ts) or ts < self._oldest:
            return
        if ts >= self.frontier:
            self.frontier = ts + self._interval
            kind = EventKind.BAR
        elif ts not in self._told:
            kind = EventKind.LATE
        elif _same(self._told[ts], values):
            return
        else:
            kind = EventKind.REVISION
        self._told[ts] = values
        if len(self._told) > TOLD_MAX:
            gone, _ = self._told.popitem(last=False)
            self._oldest = max(self._oldest, gone + self._interval)
        yield self._event(kind, ts, values)

    def _event(self, kind: EventKind, ts: int, values: Values) -> StreamEvent:
        return StreamEvent(kind=kind, ts=ts, end=ts + self._interval, values=values)


def _same(a: Values, b: Values) -> bool:
    return bool(np.array_equal(np.array(a), np.array(b), equal_nan=True))
