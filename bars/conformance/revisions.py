"""What a chunk changes: revisions of the winners, and bars that a lane takes back."""

from collections.abc import Iterable, Mapping

import numpy as np
from numpy.typing import NDArray

from avro_schemas import Prices, Revision, RevisionKind
from bars.frame import PRICE_COLUMNS, BarFrame, Times, among, inside_any
from bars.versions import Versions, merge, newest_of_lane, winners
from bars.window import Grid, Window


def revisions(
    before: Versions, bars: BarFrame, lane: str, ranks: Mapping[str, int], known: int | None = None
) -> tuple[Revision, ...]:
    """Return each bar of a chunk that differs from the winner before it, ascending.

    A bar that nobody had is no revision, nor is one that says what its lane said last and
    changes nothing for a reader.

    Args:
        before: Versions of the window in all lanes, at least the newest of each.
        bars: The chunk, ts ascending and unique; rows of NaN withdraw.
        lane: The chunk's lane.
        ranks: Of the lanes.
        known: The versions that the bars will be, epoch microseconds; None: after all others.
    """
    near = before.take(among(before.bars.ts, bars.ts))
    # Where every version says the same, nothing can have changed: usually everywhere.
    at = np.searchsorted(bars.ts, near.bars.ts)
    other = np.unique(at[~near.bars.same_rows(bars.take(at))])
    if not other.size:
        return ()
    bars = bars.take(other)
    near = near.take(among(near.bars.ts, bars.ts))
    newer = int(near.known.max()) + 1 if known is None else known
    after = winners(merge((near, Versions.of_lane(bars, lane, newer))), ranks)
    old = _Found(winners(near, ranks), bars.ts)
    own = _Found(newest_of_lane(near, lane), bars.ts)
    new = _Found(after, bars.ts)

    priced = bars.has_prices
    wins = new.there & (new.lane == lane) & (new.known == newer)
    differs = old.there & ~old.same(bars)
    repeats = own.there & own.same(bars)
    # A withdrawal says something only of a bar that its lane had.
    told = priced | (own.there & own.bars.has_prices)
    marks = {
        RevisionKind.CHANGED: priced & wins & differs,
        RevisionKind.RESTORED: priced & wins & ~old.there,
        RevisionKind.WITHDRAWN: ~priced & told & old.there & (old.lane == lane),
        RevisionKind.OUTRANKED: ~wins & told & differs & ~repeats & (old.lane != lane),
    }
    found = [
        _revision(kind, row, old, bars if priced[row] else None)
        for kind, mask in marks.items()
        for row in np.flatnonzero(mask).tolist()
    ]
    return tuple(sorted(found, key=lambda revision: revision.ts))


def withdrawals(newest: Versions, covered: Iterable[Window], grid: Grid, bars: BarFrame) -> Times:
    """Return the slots that a chunk covers and has no bar for, where its lane has prices.

    Args:
        newest: The newest version of each bar in the chunk's lane.
        covered: What the chunk covers.
        grid: Of the series; what is stored off the grid is not a slot.
        bars: The chunk, ts ascending.
    """
    held = newest.bars.ts[newest.bars.has_prices]
    slots = held[(held - grid.origin % grid.interval) % grid.interval == 0]
    return np.unique(slots[inside_any(slots, covered) & ~among(slots, bars.ts)])


def withdraw(bars: BarFrame, ts: Times) -> BarFrame:
    """Return `bars` with a row of NaN for each of `ts` added, ascending."""
    if not ts.size:
        return bars
    both = BarFrame.concat((bars, _gone(ts)))
    return both.take(np.argsort(both.ts, kind="stable"))


def same_as_newest(newest: Versions, bars: BarFrame) -> bool:
    """Return whether every row of `bars` says what the lane's newest version says already.

    Args:
        newest: The newest version of each bar in the lane, ascending.
        bars: The chunk with its withdrawals, ts ascending and unique.
    """
    own = _Found(newest, bars.ts)
    return bool((own.there & own.same(bars)).all())


class _Found:
    """Versions looked up for given times; where there is none, the row means nothing."""

    def __init__(self, versions: Versions, ts: Times) -> None:
        self.ts = ts
        if len(versions):
            at = np.searchsorted(versions.bars.ts, ts)
            self.there = among(ts, versions.bars.ts)
            chosen = versions.take(np.minimum(at, len(versions) - 1))
        else:
            self.there = np.zeros(ts.size, np.bool_)
            chosen = Versions.of_lane(_gone(ts), "", 0)
        self.bars, self.lane, self.known = chosen.bars, chosen.lane, chosen.known

    def same(self, bars: BarFrame) -> NDArray[np.bool_]:
        """Return where the values equal those of `bars`."""
        return self.bars.same_rows(bars)


def _gone(ts: Times) -> BarFrame:
    """Return withdrawn bars."""
    return BarFrame(ts.copy(), *(np.full(ts.size, np.nan) for _ in PRICE_COLUMNS))


def _revision(kind: RevisionKind, row: int, old: _Found, bars: BarFrame | None) -> Revision:
    return Revision(
        ts=int(old.ts[row]),
        kind=kind,
        before=_prices(old.bars, row) if old.there[row] else None,
        after=None if bars is None else _prices(bars, row),
    )


def _prices(bars: BarFrame, row: int) -> Prices:
    return Prices(
        open=float(bars.open[row]),
        high=float(bars.high[row]),
        low=float(bars.low[row]),
        close=float(bars.close[row]),
        volume=float(bars.volume[row]),
    )
