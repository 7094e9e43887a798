"""From a history record to rows, ledger entries and a receipt."""

from typing import Any

import numpy as np
import pytest

from avro_schemas import BarChunk, Verdict
from bars.errors import InvalidValueError
from bars.window import Window
from streams.materialize.record import bars_of, failure_of, receipt_of
from tests.unit.judging import MINUTE, chunk, slots
from topics import RawMessage

WHOLE = slots(0, 4)
MESSAGE = RawMessage(topic="h", partition=2, offset=30, key=b"k", value=b"v", timestamp_ms=1)


def record(**fields: Any) -> BarChunk:
    return chunk(
        WHOLE,
        {0: 1.0, 1: np.nan, 3: 2.0},
        **{"known": 50, "chunk_partition": 2, "chunk_offset": 9, "lease_token": 4, **fields},
    )


def test_a_record_covers_its_window() -> None:
    found = bars_of(record(), MESSAGE)
    (entry,) = found.entries
    assert (entry.window, entry.known, entry.token, entry.bars) == (WHOLE, 50, 4, 3)
    assert (entry.partition, entry.offset) == (2, 30)
    assert entry.content_hash == found.chunk.content_hash
    assert (found.rows.known, found.rows.lane, len(found.rows.bars)) == (50, "bf:one", 3)


def test_a_record_that_covers_parts_enters_the_ledger_part_by_part() -> None:
    found = bars_of(record(covers=((0, 2 * MINUTE), (3 * MINUTE, 4 * MINUTE))), MESSAGE)
    assert [(e.window, e.bars) for e in found.entries] == [(slots(0, 2), 2), (slots(3, 4), 1)]


@pytest.mark.parametrize(
    ("fields", "windows"),
    [
        ({}, ()),
        ({"covers": ((0, MINUTE),)}, (slots(0, 1),)),
        ({"covers": ((0, MINUTE),), "is_final": False}, ()),
    ],
)
def test_a_live_slice_proves_only_what_it_says_once_it_is_sealed(
    fields: dict[str, Any], windows: tuple[Window, ...]
) -> None:
    found = bars_of(record(lane="roll", source="", **fields), MESSAGE)
    assert tuple(entry.window for entry in found.entries) == windows


def test_versions_of_their_own_stay_with_their_bars() -> None:
    each = np.array([51, 53, 52])
    found = bars_of(record(known_each=each), MESSAGE)
    assert np.array_equal(found.rows.known, each)
    assert found.entries[0].known == 53


@pytest.mark.parametrize(
    "fields",
    [
        {"node_id": ""},
        {"interval": 0},
        {"lane": "nobody"},
        {"close": np.array([1.0])},
        {"known_each": np.array([1, 2])},
        {"start": -MINUTE},
        {"covers": ((-MINUTE, MINUTE),)},
        {"end": 253_402_300_801},
        {"known": 0},
        {"covers": ((5, 5),)},
    ],
)
def test_a_record_that_nobody_should_have_written_is_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(InvalidValueError):
        bars_of(record(**fields), MESSAGE)


def test_the_receipt_names_record_and_chunk() -> None:
    receipt = receipt_of(bars_of(record(request_id="r"), MESSAGE), MESSAGE)
    assert (receipt.history_partition, receipt.history_offset) == (2, 30)
    assert (receipt.chunk_partition, receipt.chunk_offset) == (2, 9)
    assert (receipt.lease_token, receipt.request_id, receipt.bars) == (4, "r", 3)
    assert receipt.covers == ((WHOLE.start, WHOLE.end),)


def test_a_record_that_is_given_up_fails_the_window_of_its_chunk() -> None:
    report = failure_of(record(request_id="r"), "why")
    assert (report.verdict, report.error_class) == (Verdict.BLOCKED, "unstorable")
    assert (report.chunk_partition, report.chunk_offset, report.chunk_offset_end) == (2, 9, 10)
    assert (report.request_id, report.lease_token, report.message) == ("r", 4, "why")
