"""What goes into the store and comes out of it, apart from bars themselves."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bars.frame import BarFrame
from bars.series import Series
from bars.window import Window


@dataclass(frozen=True, slots=True, eq=False)
class RecordRows:
    """Versions of bars of one series and one lane: the rows that one record brings."""

    series: Series
    lane: str
    known: int | NDArray[np.int64]
    """When they were learnt, epoch microseconds: one value, or one for each bar."""

    bars: BarFrame


@dataclass(frozen=True, slots=True)
class Mismatch:
    """A row that was sent and is not in the store as it was sent."""

    series: Series
    lane: str
    ts: int
    known: int
    sent: tuple[float, ...]
    """Open, high, low, close, volume."""

    stored: tuple[float, ...] | None
    """The same as the store has them; None: there is no such row."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerEntry:
    """One window that a verified record covers."""

    series: Series
    lane: str
    window: Window
    known: int
    """The record's own, epoch microseconds."""

    token: int = 0
    """The fencing token of the lease it was fetched under; 0: none."""

    bars: int
    """How many bars it brought for the window."""

    content_hash: str
    partition: int = -1
    """Kafka partition of the record in the history topic; -1: written directly."""

    offset: int = -1
    """Its offset there; -1: written directly."""


@dataclass(frozen=True, slots=True)
class LedgerState:
    """A fingerprint of what the ledger says about a window: it changes with every new row."""

    count: int
    """How many rows overlap the window."""

    highest_known: int
    """The newest of them, epoch microseconds; 0: none."""
