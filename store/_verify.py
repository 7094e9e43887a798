"""Is what was sent there? What to read back, and how it is compared. Pure."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from bars.frame import PRICE_COLUMNS
from bars.series import Series
from bars.window import Window
from store.batch import Batch
from store.columns import Columns
from store.rows import Mismatch
from store.sql import MICROSECONDS

_WASTE_RATIO_MAX = 3
_WASTE_ROWS_MAX = 10_000
"""A query costs about as much as reading this many rows; so much more than what is looked for may
come back before two queries are better than one."""


@dataclass(slots=True)
class Group:
    """Nodes and a window to read back with one query."""

    window: Window
    nodes: set[str] = field(default_factory=set)
    sent: int = 0

    def slots(self, interval: int) -> int:
        """Return how many rows the query may find, if all nodes have one version of all bars."""
        return len(self.nodes) * ((self.window.end - self.window.start) // interval + 1)


def groups(spans: Iterable[tuple[str, Window, int]], interval: int) -> list[Group]:
    """Return few queries that together read all spans and not much more.

    One query over everything would read the table when a chunk of ten years ago and a bar of
    today share a flush; one for each record would be hundreds.

    Args:
        spans: Node, window and number of rows of each record.
        interval: Bar length in seconds.
    """
    found: list[Group] = []
    for node, window, rows in sorted(spans, key=lambda span: (span[1], span[0])):
        last = found[-1] if found else None
        if last is not None:
            wider = Group(
                Window(last.window.start, max(last.window.end, window.end)),
                last.nodes | {node},
                last.sent + rows,
            )
            if wider.slots(interval) <= wider.sent * (1 + _WASTE_RATIO_MAX) + _WASTE_ROWS_MAX:
                found[-1] = wider
                continue
        found.append(Group(window, {node}, rows))
    return found


class Places:
    """A number for every (ts, node, lane, known) of a batch; equal numbers mean equal keys."""

    def __init__(self, batch: Batch) -> None:
        self._batch = batch
        self._ts = np.unique(batch.ts)
        self._known = np.unique(batch.known)
        self.sent = self._number(
            np.searchsorted(self._ts, batch.ts),
            batch.node.codes,
            batch.lane.codes,
            np.searchsorted(self._known, batch.known),
        )

    def of(self, found: Columns) -> NDArray[np.int64]:
        """Return the numbers of rows that were read back, -1 for rows of others."""
        seconds, rest = np.divmod(found.times("ts"), MICROSECONDS)
        ts, ts_known = _positions(self._ts, seconds)
        known, known_known = _positions(self._known, found.times("known"))
        node = found.symbols("node").coded_as(self._batch.node.names)
        lane = found.symbols("lane").coded_as(self._batch.lane.names)
        ours = ts_known & known_known & (rest == 0) & (node >= 0) & (lane >= 0)
        return np.where(ours, self._number(ts, node, lane, known), -1)

    def _number(
        self,
        ts: NDArray[np.intp],
        node: NDArray[np.int32],
        lane: NDArray[np.int32],
        known: NDArray[np.intp],
    ) -> NDArray[np.int64]:
        number = ts.astype(np.int64) * len(self._batch.node.names) + node
        number = number * len(self._batch.lane.names) + lane
        return number * self._known.size + known


def mismatches(batch: Batch, results: Iterable[Columns]) -> list[Mismatch]:
    """Return the rows of the batch that no result contains with the same bytes.

    A row that was sent twice counts as right when the store has one of them and they are equal.
    """
    places = Places(batch)
    numbers: list[NDArray[np.int64]] = []
    values: list[list[NDArray[np.float64]]] = []
    for result in results:
        number = places.of(result)
        ours = number >= 0
        every = bool(ours.all())
        numbers.append(number if every else number[ours])
        columns = (result.doubles(name) for name in PRICE_COLUMNS)
        values.append([column if every else column[ours] for column in columns])
    if not sum(n.size for n in numbers):
        return list(_told(batch, np.arange(len(batch)), None))
    number = np.concatenate(numbers)
    prices = [np.concatenate(parts) for parts in zip(*values, strict=True)]
    order = np.argsort(number, kind="stable")
    at, there = _positions(number[order], places.sent)
    row = order[at]
    stored = [column[row] for column in prices]
    same = there.copy()
    for sent, found in zip(batch.prices, stored, strict=True):
        same &= (sent.view(np.int64) == found.view(np.int64)) | (np.isnan(sent) & np.isnan(found))
    wrong = np.flatnonzero(~same)
    return list(_told(batch, wrong, (there, stored)))


def _positions(
    ascending: NDArray[np.int64], values: NDArray[np.int64]
) -> tuple[NDArray[np.intp], NDArray[np.bool_]]:
    """Return where each value is in the ascending array, and whether it is there at all."""
    at = np.minimum(np.searchsorted(ascending, values), ascending.size - 1)
    return at, ascending[at] == values


def _told(
    batch: Batch,
    rows: NDArray[np.intp],
    stored: tuple[NDArray[np.bool_], list[NDArray[np.float64]]] | None,
) -> Iterator[Mismatch]:
    for row in rows:
        found = None
        if stored is not None and stored[0][row]:
            found = tuple(float(column[row]) for column in stored[1])
        yield Mismatch(
            Series(batch.node.names[batch.node.codes[row]], batch.interval),
            batch.lane.names[batch.lane.codes[row]],
            int(batch.ts[row]),
            int(batch.known[row]),
            tuple(float(column[row]) for column in batch.prices),
            found,
        )
