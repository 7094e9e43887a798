"""Versions of bars and their one total order: (rank of the lane, known).

Every version is a fact that never changes; stores only collect them. Which one a reader gets is
decided here, when it is read, so neither the order of arrival nor repetition matters: `merge`
is commutative, associative and idempotent.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from bars.errors import InvalidValueError
from bars.frame import BarFrame

Lanes: TypeAlias = NDArray[np.object_]

UNLISTED_RANK = -(2**31)
"""Rank of a lane that the configuration does not list: below all others."""


@dataclass(frozen=True, slots=True, eq=False)
class Versions:
    """Versions of bars of one series, in any order; all arrays have one length.

    `lane` holds strings, `known` int64 epoch microseconds. (ts, lane, known) names a version.
    """

    bars: BarFrame
    lane: Lanes
    known: NDArray[np.int64]

    def __post_init__(self) -> None:
        if self.lane.dtype != np.object_ or self.known.dtype != np.int64:
            raise InvalidValueError(
                "lane, known", (self.lane.dtype, self.known.dtype), "arrays of object and int64"
            )
        if not len(self.bars) == self.lane.size == self.known.size:
            raise InvalidValueError(
                "lane, known", (self.lane.size, self.known.size), f"of length {len(self.bars)}"
            )

    @classmethod
    def empty(cls) -> "Versions":
        """Return no versions."""
        return cls(BarFrame.empty(), np.empty(0, object), np.empty(0, np.int64))

    @classmethod
    def of_lane(cls, bars: BarFrame, lane: str, known: int | NDArray[np.int64]) -> "Versions":
        """Return versions that share a lane."""
        each = known if isinstance(known, np.ndarray) else np.full(len(bars), known, np.int64)
        return cls(bars, np.full(len(bars), lane, object), each)

    def __len__(self) -> int:
        return len(self.bars)

    def take(self, rows: NDArray[np.bool_] | NDArray[np.intp]) -> "Versions":
        """Return the rows that a mask or positions choose."""
        return Versions(self.bars.take(rows), self.lane[rows], self.known[rows])


def ranks_of(lanes: Lanes, ranks: Mapping[str, int]) -> NDArray[np.int64]:
    """Return the rank of each lane; one that `ranks` does not list ranks lowest."""
    names, codes = np.unique(lanes.astype(str), return_inverse=True)
    table = np.array([ranks.get(str(n), UNLISTED_RANK) for n in names], np.int64)
    return table[codes] if names.size else np.empty(0, np.int64)


def merge(parts: Iterable[Versions]) -> Versions:
    """Return every version once, ordered by (ts, lane, known)."""
    found = [p for p in parts if len(p)]
    if not found:
        return Versions.empty()
    every = Versions(
        BarFrame.concat(p.bars for p in found),
        np.concatenate([p.lane for p in found]),
        np.concatenate([p.known for p in found]),
    )
    names = every.lane.astype(str)
    order = np.lexsort((every.known, names, every.bars.ts))
    ts, names, known = every.bars.ts[order], names[order], every.known[order]
    first = np.ones(order.size, np.bool_)
    first[1:] = (ts[1:] != ts[:-1]) | (names[1:] != names[:-1]) | (known[1:] != known[:-1])
    return every.take(order[first])


def newest_of_lane(versions: Versions, lane: str) -> Versions:
    """Return the newest version of each bar in one lane, ascending by ts."""
    own = versions.take(versions.lane == lane)
    order = np.lexsort((own.known, own.bars.ts))
    return own.take(order[_last_of_group(own.bars.ts[order])])


def newest(versions: Versions) -> Versions:
    """Return the newest version of each bar in each lane, ascending by (ts, lane)."""
    names = versions.lane.astype(str)
    order = np.lexsort((versions.known, names, versions.bars.ts))
    ts, names = versions.bars.ts[order], names[order]
    last = np.ones(order.size, np.bool_)
    last[:-1] = (ts[1:] != ts[:-1]) | (names[1:] != names[:-1])
    return versions.take(order[last])


def winners(versions: Versions, ranks: Mapping[str, int]) -> Versions:
    """Return for each ts the version a reader gets, ascending by ts.

    It is the newest version of the highest-ranked lane whose newest version has prices. A ts
    whose lanes have all withdrawn it has no winner. Lanes of equal rank (the unlisted) are
    ordered by known, then by name.
    """
    if not len(versions):
        return versions
    standing = newest(versions)
    standing = standing.take(standing.bars.has_prices)
    rank = ranks_of(standing.lane, ranks)
    order = np.lexsort((standing.lane.astype(str), standing.known, rank, standing.bars.ts))
    return standing.take(order[_last_of_group(standing.bars.ts[order])])


def as_of(versions: Versions, known_max: int) -> Versions:
    """Return what had been learnt at `known_max` (epoch microseconds, inclusive)."""
    return versions.take(versions.known <= known_max)


def _last_of_group(ascending: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Return a mask of the last of each run of equal values."""
    last = np.ones(ascending.size, np.bool_)
    last[:-1] = ascending[1:] != ascending[:-1]
    return last
