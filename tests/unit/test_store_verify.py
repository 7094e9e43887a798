"""What is read back to prove a flush, and how it is compared."""

from collections.abc import Iterable
from typing import TypeAlias

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from bars.frame import PRICE_COLUMNS, BarFrame
from bars.series import Series
from bars.window import Window
from store import RecordRows
from store._verify import Group, groups, mismatches, most_rows
from store.batch import Batch, pack, spans
from store.columns import Symbols
from store.sql import MICROSECONDS

Row: TypeAlias = tuple[float, str | None, str | None, int, float]
"""ts, node, lane, known and open; the other prices are its multiples."""

A, B = Series("A", 60), Series("B", 60)


class Table:
    """Columns as a query would return them."""

    def __init__(self, rows: Iterable[Row]) -> None:
        self._rows = list(rows)

    def __len__(self) -> int:
        return len(self._rows)

    def times(self, name: str) -> NDArray[np.int64]:
        if name == "ts":
            return np.array([round(row[0] * MICROSECONDS) for row in self._rows], np.int64)
        return np.array([row[3] for row in self._rows], np.int64)

    def longs(self, name: str) -> NDArray[np.int64]:
        raise AssertionError(name)

    def doubles(self, name: str) -> NDArray[np.float64]:
        factor = PRICE_COLUMNS.index(name) + 1
        return np.array([row[4] * factor for row in self._rows], np.float64)

    def symbols(self, name: str) -> Symbols:
        texts = [row[1] if name == "node" else row[2] for row in self._rows]
        names = sorted({text for text in texts if text is not None})
        codes = [-1 if text is None else names.index(text) for text in texts]
        return Symbols(np.array(codes, np.int32), tuple(names))


def record(
    series: Series, ts: list[int], price: list[float], lane: str = "bf:x", known: int = 5
) -> RecordRows:
    values = np.array(price, np.float64)
    bars = BarFrame(np.array(ts, np.int64), *(values * factor for factor in range(1, 6)))
    return RecordRows(series, lane, known, bars)


def batch(*records: RecordRows) -> Batch:
    (made,) = pack(records)
    return made


SENT = batch(
    record(A, [60, 120], [1.0, 2.0]),
    record(B, [60], [3.0], lane="roll", known=9),
    record(A, [180], [np.nan]),
)
STORED: list[Row] = [
    (60, "A", "bf:x", 5, 1.0),
    (60, "B", "roll", 9, 3.0),
    (120, "A", "bf:x", 5, 2.0),
    (180, "A", "bf:x", 5, np.nan),
]


def test_rows_that_are_there_match_whatever_else_is() -> None:
    others: list[Row] = [
        (60, "A", "bf:x", 4, 7.0),
        (60, "A", "roll", 5, 7.0),
        (60, "C", "bf:x", 5, 7.0),
        (240, "A", "bf:x", 5, 7.0),
        (60.5, "A", "bf:x", 5, 7.0),
        (60, None, "bf:x", 5, 7.0),
        (60, "A", None, 5, 7.0),
    ]
    assert mismatches(SENT, [Table(others + STORED[::-1])]) == []


def test_it_does_not_matter_which_query_found_a_row() -> None:
    assert mismatches(SENT, [Table(STORED[:1]), Table([]), Table(STORED[1:]), Table(STORED)]) == []


@pytest.mark.parametrize("gone", range(len(STORED)))
def test_an_absent_row_is_told(gone: int) -> None:
    (found,) = mismatches(SENT, [Table(STORED[:gone] + STORED[gone + 1 :])])
    assert (found.ts, found.series.node, found.lane, found.known) == STORED[gone][:4]
    assert found.stored is None


def test_nothing_found_means_everything_is_absent() -> None:
    assert len(mismatches(SENT, [])) == len(SENT)
    assert len(mismatches(SENT, [Table([])])) == len(SENT)


@pytest.mark.parametrize("value", [1.0000000000000002, np.nan, -1.0])
def test_another_value_is_told_with_both(value: float) -> None:
    (found,) = mismatches(SENT, [Table([(60, "A", "bf:x", 5, value), *STORED[1:]])])
    assert found.sent == (1.0, 2.0, 3.0, 4.0, 5.0)
    assert found.stored is not None
    assert np.array_equal(found.stored, [value * factor for factor in range(1, 6)], equal_nan=True)


def test_the_sign_of_zero_is_a_value() -> None:
    zero = batch(record(A, [60], [0.0]))
    assert mismatches(zero, [Table([(60, "A", "bf:x", 5, 0.0)])]) == []
    assert mismatches(zero, [Table([(60, "A", "bf:x", 5, -0.0)])]) != []


def test_a_row_sent_twice_is_right_when_it_is_there_once() -> None:
    twice = batch(record(A, [60], [1.0]), record(A, [60], [1.0]))
    assert mismatches(twice, [Table(STORED[:1])]) == []


def test_two_values_for_one_version_cannot_both_be_right() -> None:
    twice = batch(record(A, [60], [1.0]), record(A, [60], [2.0]))
    (found,) = mismatches(twice, [Table([(60, "A", "bf:x", 5, 2.0)])])
    assert found.sent[0] == 1.0


def test_times_far_apart_do_not_collide() -> None:
    """Places are products; from 1970 to 9999 with many versions they would overflow."""
    end = 253_402_300_740
    many = [record(A, [0, end], [1.0, 2.0], known=k) for k in range(1, 3)]
    wide = [RecordRows(Series(f"n{i}", 60), "bf:x", i + 1, many[0].bars) for i in range(5_000)]
    sent = batch(*many, *wide)
    stored = [
        (ts, sent.node.names[node], "bf:x", known, price)
        for ts, node, known, price in zip(
            sent.ts.tolist(),
            sent.node.codes.tolist(),
            sent.known.tolist(),
            sent.prices[0].tolist(),
            strict=True,
        )
    ]
    assert mismatches(sent, [Table(stored)]) == []
    assert len(mismatches(sent, [Table(stored[1:])])) == 1


cells = st.tuples(
    st.integers(0, 3).map(lambda k: k * 60),
    st.sampled_from("ABC"),
    st.sampled_from(["bf:x", "bf:y", "roll"]),
    st.integers(1, 3),
)


@given(st.dictionaries(cells, st.integers(0, 2)), st.dictionaries(cells, st.integers(0, 2)))
def test_a_mismatch_is_a_row_that_a_dictionary_would_miss(
    sent: dict[tuple[int, str, str, int], int], stored: dict[tuple[int, str, str, int], int]
) -> None:
    records = [
        record(Series(node, 60), [ts], [price], lane, known)
        for (ts, node, lane, known), price in sent.items()
    ]
    found = [
        (m.ts, m.series.node, m.lane, m.known)
        for made in pack(records)
        for m in mismatches(made, [Table((*key, price) for key, price in stored.items())])
    ]
    assert sorted(found) == sorted(key for key in sent if stored.get(key) != sent[key])


def test_records_side_by_side_are_one_query() -> None:
    chunks = [(f"n{i}", Window(0, 500 * 60), 500) for i in range(100)]
    (one,) = groups(chunks, 60)
    assert (one.window, len(one.nodes), one.sent) == (Window(0, 30_000), 100, 50_000)


def test_an_old_chunk_and_a_live_bar_do_not_read_what_lies_between() -> None:
    old, live = Window(0, 30_000), Window(600_000_000, 600_000_060)
    found = groups([("A", live, 1), ("A", old, 500)], 60)
    assert [group.window for group in found] == [old, live]


spans_of_nodes = st.lists(
    st.tuples(
        st.sampled_from([f"n{i}" for i in range(20)]), st.integers(0, 10**6), st.integers(1, 2_000)
    ),
    max_size=60,
)


@given(spans_of_nodes)
def test_groups_hold_every_record_and_little_else(drawn: list[tuple[str, int, int]]) -> None:
    chunks = [(n, Window(k * 60, (k + bars) * 60), bars) for n, k, bars in drawn]
    found = groups(chunks, 60)
    for node, window, _ in chunks:
        assert any(node in g.nodes and g.window.covers(window) for g in found)
    assert sum(g.sent for g in found) == sum(rows for _, _, rows in chunks)
    for group in found:
        slots = (group.window.end - group.window.start) // 60
        assert len(group.nodes) * slots <= max(most_rows(group.sent), group.sent)


def test_a_group_refuses_what_would_waste_and_stays_as_it_was() -> None:
    group = Group(Window(0, 6_000), {"A"}, 100)
    assert not group.takes("B", Window(6_000_000, 6_000_060), 1, 60)
    assert group == Group(Window(0, 6_000), {"A"}, 100)


def test_spans_are_of_one_bar_length_and_skip_empty_records() -> None:
    day = record(Series("D", 86_400), [86_400], [1.0])
    empty = RecordRows(A, "bf:x", 5, BarFrame.empty())
    minutes = record(A, [180, 60], [1.0, 2.0])
    assert spans([day, empty, minutes], 60) == [("A", Window(60, 181), 2)]
