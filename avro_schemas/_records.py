"""The typed records: the same names, order and defaults as the schema files.

Columns are numpy arrays (`ts` int64, prices float64); everything else is plain Python. A
record compares by identity where it holds arrays (`BarChunk`), by value elsewhere.
"""

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Self, TypeAlias

import numpy as np
from numpy.typing import NDArray

Times: TypeAlias = NDArray[np.int64]
Column: TypeAlias = NDArray[np.float64]


class RequestKind(StrEnum):
    """What a request event asks for."""

    UNKNOWN = "UNKNOWN"
    SUBMIT = "SUBMIT"
    CANCEL = "CANCEL"


class RequestState(StrEnum):
    """Where a request stands; the last four are final."""

    UNKNOWN = "UNKNOWN"
    ACCEPTED = "ACCEPTED"
    RUNNING = "RUNNING"
    DONE = "DONE"
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"
    REJECTED = "REJECTED"

    @property
    def final(self) -> bool:
        """Whether nothing more will be said of the request."""
        return self in _FINAL


_FINAL = frozenset(
    {RequestState.DONE, RequestState.FAILED, RequestState.CANCELLED, RequestState.REJECTED}
)


class Verdict(StrEnum):
    """What conformance said of a chunk."""

    UNKNOWN = "UNKNOWN"
    PASSED = "PASSED"
    NO_NEWS = "NO_NEWS"
    BLOCKED = "BLOCKED"
    STALE = "STALE"
    EXPIRED = "EXPIRED"


class RevisionKind(StrEnum):
    """How a version differs from the winner before it."""

    UNKNOWN = "UNKNOWN"
    CHANGED = "CHANGED"
    WITHDRAWN = "WITHDRAWN"
    RESTORED = "RESTORED"
    OUTRANKED = "OUTRANKED"


@dataclass(frozen=True, slots=True, kw_only=True)
class BackfillRequest:
    """Somebody wants the bars of a window, or no longer wants them."""

    request_id: str
    kind: RequestKind
    node_id: str = ""
    interval: int = 0
    start: int = 0
    end: int = 0
    source: str = ""
    refetch: bool = False
    priority: int = 0
    requested_by: str = ""
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class WindowFailure:
    """A window that nobody will fetch any more, and why."""

    start: int
    end: int
    error_class: str
    message: str
    chunk_partition: int = -1
    chunk_offset: int = -1


@dataclass(frozen=True, slots=True, kw_only=True)
class BackfillStatus:
    """How far a request has come; the last one of a request id holds."""

    request_id: str
    state: RequestState
    node_id: str = ""
    interval: int = 0
    start: int = 0
    end: int = 0
    windows_total: int = 0
    windows_done: int = 0
    windows_failed: int = 0
    session_bars: int = 0
    session_bars_covered: int = 0
    bars_fetched: int = 0
    failures: tuple[WindowFailure, ...] = ()
    message: str = ""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class BarChunk:
    """Bars of one series and lane, columnar, and the window that they claim to cover."""

    node_id: str
    interval: int
    start: int
    end: int
    lane: str
    source: str = ""
    covers: tuple[tuple[int, int], ...] = ()
    empty_confirmed: bool = False
    is_final: bool = True
    request_id: str = ""
    request_ids: tuple[str, ...] = ()
    lease_token: int = 0
    known: int = 0
    known_each: Times = field(default_factory=lambda: np.empty(0, np.int64))
    content_hash: str
    chunk_partition: int = -1
    chunk_offset: int = -1
    ts: Times
    open: Column
    high: Column
    low: Column
    close: Column
    volume: Column


@dataclass(frozen=True, slots=True, kw_only=True)
class Watermark:
    """How far a writer of history has read its input."""

    role: str
    partition: int
    next_input_offset: int
    last_known: int
    open_from: int = -1


@dataclass(frozen=True, slots=True, kw_only=True)
class Receipt:
    """Proof that what a history record brought is visible in the store and verified."""

    node_id: str
    interval: int
    lane: str
    start: int
    end: int
    covers: tuple[tuple[int, int], ...]
    known: int
    bars: int
    content_hash: str
    history_partition: int
    history_offset: int
    chunk_partition: int
    chunk_offset: int
    lease_token: int = 0
    request_id: str = ""
    request_ids: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class VisibleMark:
    """Below `history_offset` everything of the partition is visible in the store."""

    partition: int
    history_offset: int
    conform_next: int = 0
    conform_last_known: int = 0
    roll_next: int = 0
    roll_last_known: int = 0
    roll_open_from: int = -1
    ledger_offset: int = -1


@dataclass(frozen=True, slots=True, kw_only=True)
class Prices:
    """The values of one bar."""

    open: float
    high: float
    low: float
    close: float
    volume: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Flag:
    """What one check found; `severity` is INFO, WARN or BLOCK."""

    check: str
    severity: str
    rows: int
    sample_ts: tuple[int, ...]
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Revision:
    """A bar whose version differs from the winner before it."""

    ts: int
    kind: RevisionKind
    before: Prices | None = None
    after: Prices | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ConformanceReport:
    """The verdict on one chunk."""

    verdict: Verdict
    chunk_partition: int
    chunk_offset: int
    chunk_offset_end: int
    node_id: str = ""
    interval: int = 0
    lane: str = ""
    start: int = 0
    end: int = 0
    request_id: str = ""
    request_ids: tuple[str, ...] = ()
    lease_token: int = 0
    known: int = 0
    bars: int = 0
    session_bars: int = 0
    content_hash: str = ""
    error_class: str = ""
    message: str = ""
    flags: tuple[Flag, ...] = ()
    revisions: tuple[Revision, ...] = ()

    @classmethod
    def on(cls, chunk: BarChunk, partition: int, offset: int, verdict: Verdict) -> Self:
        """Return a verdict on the chunk that stands at an offset, and nothing about why."""
        return cls(
            verdict=verdict,
            chunk_partition=partition,
            chunk_offset=offset,
            chunk_offset_end=offset + 1,
            node_id=chunk.node_id,
            interval=chunk.interval,
            lane=chunk.lane,
            start=chunk.start,
            end=chunk.end,
            request_id=chunk.request_id,
            request_ids=chunk.request_ids,
            lease_token=chunk.lease_token,
            bars=int(chunk.ts.size),
            content_hash=chunk.content_hash,
        )


Record: TypeAlias = (
    BackfillRequest
    | BackfillStatus
    | BarChunk
    | ConformanceReport
    | Receipt
    | VisibleMark
    | Watermark
)
"""Whatever stands in a topic."""
