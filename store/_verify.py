"""Is what was sent there? What to read back, and how it is compared. Pure."""

from collections.abc import Iterable
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

_WASTE_RATIO_MAX = 1.2
"""Rows read for each row looked for: what is read in vain costs the server and our memory."""

_WASTE_ROWS_MAX = 5_000
"""A query costs about as much as reading this many rows."""


_NUMBERS = 1 << 62
"""How many places can be told apart in an int64."""


@dataclass(slots=True)
class Group:
    """Nodes and a window to read back with one query."""

    window: Window
    nodes: set[str] = field(default_factory=set)
    sent: int = 0

    def takes(self, node: str, window: Window, rows: int, interval: int) -> bool:
        """Add a record that begins no earlier than the group, unless that wastes too much."""
        sent = self.sent + rows
        end = max(self.window.end, window.end)
        nodes = len(self.nodes) + (node not in self.nodes)
        if nodes * ((end - self.window.start) // interval + 1) > most_rows(sent):
            return False
        self.window = Window(self.window.start, end)
        self.nodes.add(node)
        self.sent = sent
        return True


def most_rows(sent: int) -> int:
    """Return up to how many rows may be read with one query to find those that were sent."""
    return int(sent * _WASTE_RATIO_MAX) + _WASTE_ROWS_MAX


def groups(spans: Iterable[tuple[str, Window, int]], interval: int) -> list[Group]:
    """Return few queries that together read all spans and not much more.

    One query over everything would read the table when a chunk of ten years ago and a bar of
    today share a flush; one for each record would be hundreds.

    Args:
        spans: Node, window and number of rows of each record.
        interval: Bar length in seconds.
    """
    found: list[Group] = []
    for node, window, rows in sorted(spans, key=lambda span: span[1].start):
        if not (found and found[-1].takes(node, window, rows, interval)):
            found.append(Group(window, {node}, rows))
    return found


class Places:
    """A number for every (ts, node, lane, known) of a batch; equal numbers mean equal keys."""

    def __init__(self, batch: Batch) -> None:
        self._batch = batch
        self._known = np.unique(batch.known)
        others = len(batch.node.names) * len(batch.lane.names) * self._known.size
        self._ts = _Moments(batch.ts, _NUMBERS // others)
        self.sent = self._number(
            self._ts.codes(batch.ts)[0],
            batch.node.codes,
            batch.lane.codes,
            np.searchsorted(self._known, batch.known),
        )

    def of(self, found: Columns) -> NDArray[np.int64]:
        """Return the numbers of rows that were read back, -1 for rows of others."""
        seconds, rest = np.divmod(found.times("ts"), MICROSECONDS)
        ts, ours = self._ts.codes(seconds)
        known, known_there = _positions(self._known, found.times("known"))
        node = found.symbols("node").coded_as(self._batch.node.names)
        lane = found.symbols("lane").coded_as(self._batch.lane.names)
        ours &= known_there & (rest == 0) & (node >= 0) & (lane >= 0)
        return np.where(ours, self._number(ts, node, lane, known), -1)

    def _number(
        self,
        ts: NDArray[np.int64],
        node: NDArray[np.int32],
        lane: NDArray[np.int32],
        known: NDArray[np.int64],
    ) -> NDArray[np.int64]:
        number = ts * len(self._batch.node.names) + node
        number = number * len(self._batch.lane.names) + lane
        return number * self._known.size + known


class _Moments:
    """Codes of open times: how far from the first, or, where those are too many, which one."""

    def __init__(self, ts: NDArray[np.int64], most: int) -> None:
        self._first = int(ts.min())
        self._size = int(ts.max()) - self._first + 1
        self._listed = np.unique(ts) if self._size > most else None

    def codes(self, ts: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        """Return the code of each time, and whether it may be one of ours."""
        if self._listed is not None:
            return _positions(self._listed, ts)
        codes = ts - self._first
        return codes, (codes >= 0) & (codes < self._size)


def mismatches(batch: Batch, results: Iterable[Columns]) -> list[Mismatch]:
    """Return the rows of the batch that no result contains with the same bytes.

    A row that was sent twice counts as right when the store has one of them and they are equal.
    One result is looked at after another, and of each one column after another: none has to be
    in memory with the rest.
    """
    places = Places(batch)
    right = np.zeros(len(batch), np.bool_)
    stored: dict[int, tuple[float, ...]] = {}
    for result in results:
        sent, at = _found(places, result)
        same = np.ones(sent.size, np.bool_)
        for name, column in zip(PRICE_COLUMNS, batch.prices, strict=True):
            same &= _same_bytes(column[sent], result.doubles(name)[at])
        right[sent[same]] = True
        wrong, there = sent[~same], at[~same]
        if wrong.size:
            values = [result.doubles(name)[there].tolist() for name in PRICE_COLUMNS]
            stored.update(zip(wrong.tolist(), zip(*values, strict=True), strict=True))
    return [_told(batch, row, stored.get(row)) for row in np.flatnonzero(~right).tolist()]


def _found(places: Places, result: Columns) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return the rows of the batch that a result has, and where in it each of them stands."""
    number = places.of(result)
    order = np.argsort(number, kind="stable")
    if not order.size:
        return order, order
    at, there = _positions(number[order], places.sent)
    sent = np.flatnonzero(there)
    return sent, order[at[sent]]


def _same_bytes(a: NDArray[np.float64], b: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Return where two columns are equal bit for bit; NaN and NULL are the same."""
    same: NDArray[np.bool_] = a.view(np.int64) == b.view(np.int64)
    return same | (np.isnan(a) & np.isnan(b))


def _positions(
    ascending: NDArray[np.int64], values: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Return where each value is in the ascending array, and whether it is there at all."""
    at = np.minimum(np.searchsorted(ascending, values), ascending.size - 1)
    return at, ascending[at] == values


def _told(batch: Batch, row: int, stored: tuple[float, ...] | None) -> Mismatch:
    return Mismatch(
        Series(batch.node.names[batch.node.codes[row]], batch.interval),
        batch.lane.names[batch.lane.codes[row]],
        int(batch.ts[row]),
        int(batch.known[row]),
        tuple(float(column[row]) for column in batch.prices),
        stored,
    )
