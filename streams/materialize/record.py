"""From a history record to rows, ledger entries, a receipt. Pure."""

from dataclasses import dataclass, replace

import numpy as np

from avro_schemas import BarChunk, ConformanceReport, Receipt, Verdict
from bars.errors import InvalidValueError
from bars.frame import BarFrame
from bars.series import ROLL, Series, check_lane
from bars.window import Window
from store import LedgerEntry, RecordRows
from topics import RawMessage

_TIME_END = 253_402_300_800
"""End of the year 9999, after which the store has no times."""


@dataclass(frozen=True, slots=True, eq=False)
class HistoryBars:
    """A record that brings bars."""

    chunk: BarChunk
    rows: RecordRows
    entries: tuple[LedgerEntry, ...]
    """What enters the ledger once the rows are proved to be there."""


def bars_of(chunk: BarChunk, message: RawMessage) -> HistoryBars:
    """Return what a record brings.

    Raises:
        InvalidValueError: Its columns make no frame, or its names or windows are none.
    """
    series = Series(chunk.node_id, chunk.interval)
    lane = check_lane(chunk.lane)
    bars = BarFrame(chunk.ts, chunk.open, chunk.high, chunk.low, chunk.close, chunk.volume)
    if chunk.known_each.size not in (0, len(bars)):
        raise InvalidValueError("known_each", chunk.known_each.size, f"0 or {len(bars)} values")
    entries = tuple(
        LedgerEntry(
            series=series,
            lane=lane,
            window=window,
            known=known_of(chunk),
            token=chunk.lease_token,
            bars=int(((bars.ts >= window.start) & (bars.ts < window.end)).sum()),
            content_hash=chunk.content_hash,
            partition=message.partition,
            offset=message.offset,
        )
        for window in _covered(chunk)
    )
    for entry in entries:
        _check_times(entry)
    known = chunk.known_each if chunk.known_each.size else chunk.known
    return HistoryBars(chunk, RecordRows(series, lane, known, bars), entries)


def _check_times(entry: LedgerEntry) -> None:
    """Refuse what the ledger cannot hold; there it would stop everything behind it."""
    window = entry.window
    if window.start < 0 or window.end > _TIME_END:
        raise InvalidValueError("window", str(window), "inside the years 1970 to 9999")
    if not 0 < entry.known <= _TIME_END * 1_000_000:
        raise InvalidValueError("known", entry.known, "epoch microseconds after 1970-01-01")


def known_of(chunk: BarChunk) -> int:
    """Return when the newest of its bars was learnt, epoch microseconds."""
    return int(np.max(chunk.known_each)) if chunk.known_each.size else chunk.known


def _covered(chunk: BarChunk) -> tuple[Window, ...]:
    """Return what a record proves: a live slice only what it says, and only once it is sealed."""
    if chunk.lane == ROLL and not chunk.is_final:
        return ()
    if chunk.covers:
        return tuple(Window(*each) for each in chunk.covers)
    return () if chunk.lane == ROLL else (Window(chunk.start, chunk.end),)


def receipt_of(bars: HistoryBars, message: RawMessage) -> Receipt:
    """Return the proof that what a record brought is visible and verified."""
    chunk = bars.chunk
    return Receipt(
        node_id=chunk.node_id,
        interval=chunk.interval,
        lane=chunk.lane,
        start=chunk.start,
        end=chunk.end,
        covers=tuple((entry.window.start, entry.window.end) for entry in bars.entries),
        known=known_of(chunk),
        bars=len(bars.rows.bars),
        content_hash=chunk.content_hash,
        history_partition=message.partition,
        history_offset=message.offset,
        chunk_partition=chunk.chunk_partition,
        chunk_offset=chunk.chunk_offset,
        lease_token=chunk.lease_token,
        request_id=chunk.request_id,
        request_ids=chunk.request_ids,
    )


def failure_of(chunk: BarChunk, message: str) -> ConformanceReport:
    """Return the later verdict on a chunk that had passed: its window has failed after all."""
    report = ConformanceReport.on(chunk, chunk.chunk_partition, chunk.chunk_offset, Verdict.BLOCKED)
    return replace(report, error_class="unstorable", message=message)
