"""What a chunk changes: revisions of the winners, and bars that a lane takes back."""

from collections.abc import Iterable, Mapping

from avro_schemas import Revision
from bars.frame import BarFrame, Times
from bars.versions import Versions
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
    raise NotImplementedError


def withdrawals(newest: Versions, covered: Iterable[Window], grid: Grid, bars: BarFrame) -> Times:
    """Return the slots that a chunk covers and has no bar for, where its lane has prices.

    Args:
        newest: The newest version of each bar in the chunk's lane.
        covered: What the chunk covers.
        grid: Of the series; what is stored off the grid is not a slot.
        bars: The chunk.
    """
    raise NotImplementedError


def withdraw(bars: BarFrame, ts: Times) -> BarFrame:
    """Return `bars` with a row of NaN for each of `ts` added, ascending."""
    raise NotImplementedError


def same_as_newest(newest: Versions, bars: BarFrame) -> bool:
    """Return whether every row of `bars` says what the lane's newest version says already.

    Args:
        newest: The newest version of each bar in the lane, ascending.
        bars: The chunk with its withdrawals, ts ascending and unique.
    """
    raise NotImplementedError
