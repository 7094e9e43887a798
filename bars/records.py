"""What a `BarChunk` record says, in the words of this package."""

import numpy as np

from avro_schemas import BarChunk
from bars.errors import InvalidValueError
from bars.frame import BarFrame, Times
from bars.series import ROLL, Series
from bars.versions import Versions
from bars.window import Window, intersect


def series_of(chunk: BarChunk) -> Series:
    """Return the series of the chunk."""
    return Series(chunk.node_id, chunk.interval)


def window_of(chunk: BarChunk) -> Window:
    """Return the record window."""
    return Window(chunk.start, chunk.end)


def bars_of(chunk: BarChunk) -> BarFrame:
    """Return the columns of the chunk as they are.

    Raises:
        InvalidValueError: They have not one length, or a wrong type.
    """
    return BarFrame(chunk.ts, chunk.open, chunk.high, chunk.low, chunk.close, chunk.volume)


def known_of(chunk: BarChunk) -> Times:
    """Return when each bar was learnt, epoch microseconds."""
    if not chunk.known_each.size:
        return np.full(chunk.ts.size, chunk.known, np.int64)
    if chunk.known_each.size != chunk.ts.size:
        raise InvalidValueError("known_each", chunk.known_each.size, f"of {chunk.ts.size} bars")
    return chunk.known_each


def versions_of(chunk: BarChunk) -> Versions:
    """Return the bars of the chunk as versions of its lane."""
    return Versions.of_lane(bars_of(chunk), chunk.lane, known_of(chunk))


def covered_by(chunk: BarChunk) -> tuple[Window, ...]:
    """Return what the chunk covers, as few windows as possible.

    A backfilled chunk with bars covers its window (a slot without a bar: no trades, the source
    answered), or the parts of it that it names; one without bars covers only what its source
    can prove to be empty. Lane `roll` covers nothing but what it names: the slots of final
    bars and those that the feed declared empty, never the space between.
    """
    if not chunk.is_final:
        return ()
    named = intersect((window_of(chunk),), (Window(*w) for w in chunk.covers))
    if chunk.lane == ROLL:
        return named
    if not chunk.ts.size and not chunk.empty_confirmed:
        return ()
    return named if chunk.covers else (window_of(chunk),)
