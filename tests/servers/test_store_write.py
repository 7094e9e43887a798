"""Writing with proof, on the real server."""

import dataclasses
import threading
from collections.abc import Iterator

import numpy as np
import pytest

from bars.frame import PRICE_COLUMNS, BarFrame
from bars.series import Series
from runtime.settings import Settings
from store import BarWriter, MissingTableError, RecordRows, RefusedRowsError, Store
from tests.servers.store_help import (
    MINUTE,
    NODE,
    RANKS,
    SPAN,
    A,
    count,
    prices,
    put,
    record,
    run,
    walk,
)

pytestmark = pytest.mark.servers


@pytest.fixture
def store(settings: Settings) -> Iterator[Store]:
    with Store.connect(settings.store) as made:
        made.ensure_tables([MINUTE])
        yield made


@pytest.fixture
def writer(store: Store) -> BarWriter:
    return store.writer()


def test_what_was_written_is_read_back_bit_by_bit(store: Store, writer: BarWriter) -> None:
    strange = [-0.0, 0.0, 5e-324, 1.7976931348623157e308, 0.1 + 0.2, -1.5, np.nan]
    values = np.array(strange)
    ts = MINUTE * np.arange(values.size, dtype=np.int64)
    bars = BarFrame(ts, *(np.roll(values, shift) for shift in range(5)))
    put(writer, record(bars, 5))
    assert store.reader.versions(A, SPAN).bars.equals(bars)


def test_rows_sent_again_are_skipped(store: Store, writer: BarWriter) -> None:
    records = [record(walk(500, 1), 5), record(walk(500, 2), 5, "roll")]
    for _ in range(3):
        put(writer, *records)
    assert count(store, store.bars_table(MINUTE)) == 1_000


def test_a_newer_version_does_not_replace_an_older_one(store: Store, writer: BarWriter) -> None:
    for known in (5, 7, 6):
        put(writer, record(prices([60, 120], known), known))
    found = store.reader.versions(A, SPAN)
    assert found.bars.ts.tolist() == [60, 60, 60, 120, 120, 120]
    assert found.known.tolist() == [5, 6, 7, 5, 6, 7]


def test_a_zombie_can_only_repeat_itself(store: Store, writer: BarWriter) -> None:
    """Its old rows come last and change nothing that a reader sees."""
    old, new = record(prices([60], 1.0), 5), record(prices([60], 2.0), 6)
    put(writer, old)
    put(writer, new)
    put(store.writer(), old)
    assert store.reader.bars(A, SPAN, RANKS).open.tolist() == [2.0]
    assert count(store, store.bars_table(MINUTE)) == 2


def test_several_bar_lengths_and_nodes_share_a_write(store: Store, writer: BarWriter) -> None:
    store.ensure_tables([MINUTE, 86_400])
    day = RecordRows(Series(NODE, 86_400), "roll", 3, prices([0, 86_400], 5.0))
    nodes = [record(walk(300, i), 5 + i, series=Series(f"n{i}", MINUTE)) for i in range(120)]
    records = [day, *nodes]
    tables = writer.write(records)
    assert tables == (store.bars_table(MINUTE), store.bars_table(86_400))
    writer.wait_visible(tables)
    assert writer.verify(records) == []
    assert count(store, tables[0]) == 36_000


def test_known_may_differ_from_row_to_row(store: Store, writer: BarWriter) -> None:
    known = np.array([9, 8, 7], np.int64)
    put(writer, RecordRows(A, "roll", known, prices([180, 60, 120], 1.0)))
    found = store.reader.versions(A, SPAN)
    assert found.known.tolist() == [8, 7, 9]


def test_a_write_larger_than_a_flush_is_cut(store: Store, writer: BarWriter) -> None:
    records = [
        record(walk(20_000, i, start=1_000_000_020), 5, series=Series(f"n{i}", MINUTE))
        for i in range(15)
    ]
    put(writer, *records)
    assert count(store, store.bars_table(MINUTE)) == 300_000


@pytest.mark.parametrize("column", [*PRICE_COLUMNS, "ts", "lane", "known", "gone"])
def test_verification_finds_a_tampered_row(store: Store, writer: BarWriter, column: str) -> None:
    """One cell of one row among six thousand, changed behind the writer's back."""
    sent = record(walk(6_000, 3), 5)
    kept = sent.bars.take(np.arange(6_000) != 4_711)
    cells = {name: float(getattr(sent.bars, name)[4_711]) for name in PRICE_COLUMNS}
    if column in cells:
        cells[column] = float(np.nextafter(cells[column], np.inf))
    writer.wait_visible(writer.write([record(kept, 5)]))
    if column != "gone":
        ts = (int(sent.bars.ts[4_711]) * 1_000 + (column == "ts")) * 1_000
        values = ", ".join(repr(cells[name]) for name in PRICE_COLUMNS)
        lane, known = ("roll" if column == "lane" else "bf:first"), 5 + (column == "known")
        table = store.bars_table(MINUTE)
        run(store, f"INSERT INTO {table} VALUES ({ts}, '{NODE}', {values}, '{lane}', {known})")
        writer.wait_visible([table])
    (found,) = writer.verify([sent])
    assert found.ts == 4_711 * MINUTE
    assert (found.stored is None) == (column not in PRICE_COLUMNS)


def test_verification_reads_past_other_nodes_and_versions(writer: BarWriter) -> None:
    """Few of many: a table in which nine of ten rows are somebody else's."""
    others = [record(walk(3_000, i), 5 + i, series=Series(f"other{i}", MINUTE)) for i in range(30)]
    mine = [record(walk(3_000, 99), 5), record(walk(3_000, 98), 6)]
    put(writer, *others, *mine)
    assert writer.verify(mine[1:]) == []
    lost = record(walk(3_000, 97), 7)
    assert len(writer.verify([mine[0], lost])) == 3_000


NAMES = [
    "it's",
    "'",
    "'quoted'",
    "quoted",
    "''",
    "x'; DROP TABLE bars_1m; --",
    '"quoted"',
    "back\\slash",
    "\\' OR 1=1 --",
    "comma, space = equals",
    "$1 %s {0} :name ?",
    "日本語/ütf-8",
    "1.0",
    "null",
    "NULL",
]


def test_a_name_that_looks_like_sql_is_a_name(store: Store, writer: BarWriter) -> None:
    """Each is found alone and among others, by both ways of reading; none finds another's."""
    records = [
        record(walk(40, i), 5 + i, series=Series(name, MINUTE)) for i, name in enumerate(NAMES)
    ]
    put(writer, *records)
    for sent in records:
        wide = dataclasses.replace(SPAN, end=10_000 * MINUTE)
        for window in (SPAN, wide):
            assert store.reader.bars(sent.series, window, RANKS).equals(sent.bars)
        assert store.reader.newest(sent.series, SPAN).known.tolist() == [sent.known] * 40
    nobody = Series("' OR '1'='1", MINUTE)
    assert len(store.reader.bars(nobody, SPAN, RANKS)) == 0
    assert count(store, store.bars_table(MINUTE)) == 40 * len(NAMES)


def test_rows_for_a_table_that_was_never_made_are_refused(writer: BarWriter) -> None:
    with pytest.raises(MissingTableError, match="bars_7m"):
        writer.write([record(prices([0], 1.0), 5, series=Series(NODE, 420))])


def test_a_column_that_is_gone_is_no_reason_to_try_again(store: Store, writer: BarWriter) -> None:
    run(store, f"ALTER TABLE {store.bars_table(MINUTE)} DROP COLUMN volume")
    with pytest.raises(RefusedRowsError, match="volume") as caught:
        writer.write([record(prices([0], 1.0), 5)])
    assert not caught.value.retriable


def test_after_an_error_the_same_writer_goes_on(store: Store, writer: BarWriter) -> None:
    with pytest.raises(MissingTableError):
        writer.write([record(prices([0], 1.0), 5, series=Series(NODE, 420))])
    put(writer, record(prices([0], 1.0), 5))
    assert store.reader.bars(A, SPAN, RANKS).open.tolist() == [1.0]


def test_nothing_to_write_touches_nothing(writer: BarWriter) -> None:
    assert writer.write([]) == ()
    assert writer.write([record(BarFrame.empty(), 5)]) == ()
    writer.wait_visible([])
    assert writer.verify([]) == []


def test_threads_share_a_store_and_a_writer(store: Store, writer: BarWriter) -> None:
    """Ten threads over eight connections: each waits for its turn and sees its own rows."""
    failures: list[BaseException] = []

    def work(number: int) -> None:
        mine = record(walk(700, number), 5, series=Series(f"n{number}", MINUTE))
        try:
            for _ in range(3):
                put(writer, mine)
                assert store.reader.bars(mine.series, SPAN, RANKS).equals(mine.bars)
        except BaseException as error:  # noqa: BLE001 - told to the test's own thread
            failures.append(error)

    threads = [threading.Thread(target=work, args=(i,)) for i in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert failures == []
    assert count(store, store.bars_table(MINUTE)) == 7_000
