"""Any record of any topic, and fastavro as the second opinion on its bytes."""

import io
from typing import Any

import fastavro
import numpy as np
from hypothesis import strategies as st
from numpy.typing import NDArray

from avro_schemas import (
    BackfillRequest,
    BackfillStatus,
    BarChunk,
    ConformanceReport,
    Flag,
    Prices,
    Receipt,
    Record,
    RequestKind,
    RequestState,
    Revision,
    RevisionKind,
    Schema,
    Verdict,
    VisibleMark,
    Watermark,
    WindowFailure,
)
from runtime import KafkaSettings
from topics import Catalogue, Topic

CATALOGUE = Catalogue.of(KafkaSettings())

ints = st.integers(-(2**31), 2**31 - 1)
longs = st.integers(-(2**63), 2**63 - 1)
doubles = st.floats(width=64)
texts = st.text(max_size=20)
names = st.lists(texts, max_size=3).map(tuple)
spans = st.lists(st.tuples(longs, longs), max_size=4).map(tuple)


def long_arrays(size: int | None = None) -> st.SearchStrategy[NDArray[np.int64]]:
    """Return arrays of int64: times of like size, or numbers of every length."""
    near = st.integers(1_600_000_000, 1_800_000_000)
    low, high = (0, 40) if size is None else (size, size)
    found = st.lists(near, min_size=low, max_size=high) | st.lists(
        longs, min_size=low, max_size=high
    )
    return found.map(lambda numbers: np.array(numbers, np.int64))


@st.composite
def chunks(draw: st.DrawFn) -> BarChunk:
    """Return chunks of up to 40 bars."""
    ts = draw(long_arrays())

    def column() -> NDArray[np.float64]:
        values = draw(st.lists(doubles, min_size=ts.size, max_size=ts.size))
        return np.array(values, np.float64)

    return BarChunk(
        node_id=draw(texts),
        interval=draw(longs),
        start=draw(longs),
        end=draw(longs),
        lane=draw(texts),
        source=draw(texts),
        covers=draw(spans),
        empty_confirmed=draw(st.booleans()),
        is_final=draw(st.booleans()),
        request_id=draw(texts),
        request_ids=draw(names),
        lease_token=draw(longs),
        known=draw(longs),
        known_each=draw(st.one_of(long_arrays(0), long_arrays(ts.size))),
        content_hash=draw(texts),
        chunk_partition=draw(ints),
        chunk_offset=draw(longs),
        ts=ts,
        open=column(),
        high=column(),
        low=column(),
        close=column(),
        volume=column(),
    )


requests = st.builds(
    BackfillRequest,
    request_id=texts,
    kind=st.sampled_from(RequestKind),
    node_id=texts,
    interval=longs,
    start=longs,
    end=longs,
    source=texts,
    refetch=st.booleans(),
    priority=ints,
    requested_by=texts,
    reason=texts,
)
failures = st.builds(
    WindowFailure,
    start=longs,
    end=longs,
    error_class=texts,
    message=texts,
    chunk_partition=ints,
    chunk_offset=longs,
)
statuses = st.builds(
    BackfillStatus,
    request_id=texts,
    state=st.sampled_from(RequestState),
    node_id=texts,
    interval=longs,
    windows_total=ints,
    session_bars=longs,
    failures=st.lists(failures, max_size=3).map(tuple),
    message=texts,
)
watermarks = st.builds(
    Watermark,
    role=texts,
    partition=ints,
    next_input_offset=longs,
    last_known=longs,
    open_from=longs,
)
receipts = st.builds(
    Receipt,
    node_id=texts,
    interval=longs,
    lane=texts,
    start=longs,
    end=longs,
    covers=spans,
    known=longs,
    bars=ints,
    content_hash=texts,
    history_partition=ints,
    history_offset=longs,
    chunk_partition=ints,
    chunk_offset=longs,
    lease_token=longs,
    request_id=texts,
    request_ids=names,
)
marks = st.builds(
    VisibleMark,
    partition=ints,
    history_offset=longs,
    conform_next=longs,
    conform_last_known=longs,
    roll_next=longs,
    roll_last_known=longs,
    roll_open_from=longs,
    ledger_offset=longs,
)
finite = st.floats(allow_nan=False)  # NaN equals nothing, these are compared by value
prices = st.builds(Prices, open=finite, high=finite, low=finite, close=finite, volume=finite)
flags = st.builds(
    Flag,
    check=texts,
    severity=st.sampled_from(["UNKNOWN", "INFO", "WARN", "BLOCK"]),
    rows=ints,
    sample_ts=st.lists(longs, max_size=20).map(tuple),
    message=texts,
)
revisions = st.builds(
    Revision,
    ts=longs,
    kind=st.sampled_from(RevisionKind),
    before=st.none() | prices,
    after=st.none() | prices,
)
reports = st.builds(
    ConformanceReport,
    verdict=st.sampled_from(Verdict),
    chunk_partition=ints,
    chunk_offset=longs,
    chunk_offset_end=longs,
    node_id=texts,
    known=longs,
    bars=ints,
    flags=st.lists(flags, max_size=3).map(tuple),
    revisions=st.lists(revisions, max_size=3).map(tuple),
)


def _in(topic: Topic, records: st.SearchStrategy[Any]) -> st.SearchStrategy[tuple[Topic, Record]]:
    return records.map(lambda record: (topic, record))


records_in_topics: st.SearchStrategy[tuple[Topic, Record]] = st.one_of(
    _in(CATALOGUE.requests, requests),
    _in(CATALOGUE.status, statuses),
    _in(CATALOGUE.chunks, chunks()),
    _in(CATALOGUE.live, chunks()),
    _in(CATALOGUE.history, chunks()),
    _in(CATALOGUE.history, watermarks),
    _in(CATALOGUE.coverage, receipts),
    _in(CATALOGUE.visible, marks),
    _in(CATALOGUE.reports, reports),
)


def same(left: Any, right: Any) -> bool:
    """Return whether two records, or parts of them, are the same bit for bit."""
    if isinstance(left, np.ndarray):
        return bool(left.dtype == right.dtype and left.tobytes() == right.tobytes())
    if isinstance(left, BarChunk):
        names = BarChunk.__slots__
        return all(same(getattr(left, name), getattr(right, name)) for name in names)
    return bool(left == right)


def plain(value: Any) -> Any:
    """Return a record's values as fastavro wants them: arrays as lists."""
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, dict):
        return {name: plain(item) for name, item in value.items()}
    return [plain(item) for item in value] if isinstance(value, list) else value


def fastavro_body(schema: Schema, values: Any) -> bytes:
    """Return what fastavro writes."""
    stream = io.BytesIO()
    fastavro.schemaless_writer(stream, fastavro.parse_schema(schema), values, strict=True)
    return stream.getvalue()
