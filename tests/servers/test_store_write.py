"""Writing with proof, on the real server."""

import dataclasses
import threading
from collections.abc import Iterator

import numpy as np
import pytest

from bars.frame import PRICE_COLUMNS, BarFrame
from bars.series import Series
from ops.stack import Addresses
from store import BarWriter, MissingTableError, RecordRows, RefusedRowsError, Store
from tests.servers.store_help import (
    MINUTE,
    RANKS,
    SPAN,
    count,
    new_series,
    new_store,
    prices,
    put,
    record,
    run,
    walk,
)

pytestmark = pytest.mark.servers


@pytest.fixture(scope="module")
def store(stack: Addresses) -> Iterator[Store]:
    with new_store(stack.dsn) as made:
        yield made


@pytest.fixture
def writer(store: Store) -> Iterator[BarWriter]:
    with store.writer() as made:
        yield made


@pytest.fixture
def series() -> Series:
    return new_series()


def test_what_was_written_is_read_back_bit_by_bit(
    store: Store, writer: BarWriter, series: Series
) -> None:
    strange = [-0.0, 0.0, 5e-324, 1.7976931348623157e308, 0.1 + 0.2, -1.5, np.nan]
    values = np.array(strange)
    ts = MINUTE * np.arange(values.size, dtype=np.int64)
    bars = BarFrame(ts, *(np.roll(values, shift) for shift in range(5)))
    put(writer, record(series, bars, 5))
    assert store.reader.versions(series, SPAN).bars.equals(bars)


def test_rows_sent_again_are_skipped(store: Store, writer: BarWriter, series: Series) -> None:
    records = [record(series, walk(500, 1), 5), record(series, walk(500, 2), 5, "roll")]
    for _ in range(3):
        put(writer, *records)
    assert count(store, series) == 1_000


def test_a_newer_version_does_not_replace_an_older_one(
    store: Store, writer: BarWriter, series: Series
) -> None:
    for known in (5, 7, 6):
        put(writer, record(series, prices([60, 120], known), known))
    found = store.reader.versions(series, SPAN)
    assert found.bars.ts.tolist() == [60, 60, 60, 120, 120, 120]
    assert found.known.tolist() == [5, 6, 7, 5, 6, 7]


def test_a_zombie_can_only_repeat_itself(store: Store, writer: BarWriter, series: Series) -> None:
    """Its old rows come last and change nothing that a reader sees."""
    old, new = record(series, prices([60], 1.0), 5), record(series, prices([60], 2.0), 6)
    put(writer, old)
    put(writer, new)
    with store.writer() as zombie:
        put(zombie, old)
    assert store.reader.bars(series, SPAN, RANKS).open.tolist() == [2.0]
    assert count(store, series) == 2


def test_several_bar_lengths_and_nodes_share_a_write(stack: Addresses) -> None:
    with new_store(stack.dsn) as mixed, mixed.writer() as both:
        mixed.ensure_tables([MINUTE, 86_400])
        day = record(Series("d", 86_400), prices([0, 86_400], 5.0), 3)
        nodes = [record(new_series(), walk(300, i), 5 + i) for i in range(120)]
        tables = both.write([day, *nodes])
        assert tables == (mixed.bars_table(MINUTE), mixed.bars_table(86_400))
        both.wait_visible(tables)
        assert both.verify([day, *nodes]) == []
        assert len(both.verify([*nodes, dataclasses.replace(day, known=4)])) == 2
        run(mixed, f"DROP TABLE {tables[1]}")


def test_known_may_differ_from_row_to_row(store: Store, writer: BarWriter, series: Series) -> None:
    known = np.array([9, 8, 7], np.int64)
    put(writer, RecordRows(series, "roll", known, prices([180, 60, 120], 1.0)))
    assert store.reader.versions(series, SPAN).known.tolist() == [8, 7, 9]


def test_a_write_larger_than_a_flush_is_cut(
    store: Store, writer: BarWriter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("store.writer._FLUSH_ROWS_MAX", 1_000)
    every = [record(new_series(), walk(700, i, start=10**9 + 20), 5) for i in range(5)]
    put(writer, *every)
    assert [count(store, r.series) for r in every] == [700] * 5


@pytest.mark.parametrize("column", ["ts", "lane", "known", "gone", "open", "volume"])
def test_verification_finds_a_tampered_row(
    store: Store, writer: BarWriter, series: Series, column: str
) -> None:
    """One cell of one row among six thousand, changed behind the writer's back."""
    sent = record(series, walk(6_000, 3), 5)
    kept = sent.bars.take(np.arange(6_000) != 4_711)
    cells = {name: float(getattr(sent.bars, name)[4_711]) for name in PRICE_COLUMNS}
    if column in cells:
        cells[column] = float(np.nextafter(cells[column], np.inf))
    writer.wait_visible(writer.write([record(series, kept, 5)]))
    if column != "gone":
        ts = (int(sent.bars.ts[4_711]) * 1_000 + (column == "ts")) * 1_000
        values = ", ".join(repr(cells[name]) for name in PRICE_COLUMNS)
        lane, known = ("roll" if column == "lane" else "bf:first"), 5 + (column == "known")
        table = store.bars_table(MINUTE)
        row = f"{ts}, '{series.node}', {values}, '{lane}', {known}"
        run(store, f"INSERT INTO {table} VALUES ({row})")
        writer.wait_visible([table])
    (found,) = writer.verify([sent])
    assert found.ts == 4_711 * MINUTE
    assert (found.stored is None) == (column not in PRICE_COLUMNS)


def test_verification_reads_past_other_nodes_and_versions(
    writer: BarWriter, series: Series
) -> None:
    """Few of many: a table in which nine of ten rows are somebody else's."""
    others = [record(new_series(), walk(3_000, i), 5 + i) for i in range(30)]
    mine = [record(series, walk(3_000, 99), 5), record(series, walk(3_000, 98), 6)]
    put(writer, *others, *mine)
    assert writer.verify(mine[1:]) == []
    lost = record(series, walk(3_000, 97), 7)
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
    records = [record(Series(name, MINUTE), walk(40, i), 5 + i) for i, name in enumerate(NAMES)]
    put(writer, *records)
    for sent in records:
        for window in (SPAN, dataclasses.replace(SPAN, end=10_000 * MINUTE)):
            assert store.reader.bars(sent.series, window, RANKS).equals(sent.bars)
        assert store.reader.newest(sent.series, SPAN).known.tolist() == [sent.known] * 40
    nobody = Series("' OR '1'='1", MINUTE)
    assert len(store.reader.bars(nobody, SPAN, RANKS)) == 0


def test_rows_for_a_table_that_was_never_made_are_refused(
    store: Store, writer: BarWriter, series: Series
) -> None:
    """And the writer goes on with others."""
    with pytest.raises(MissingTableError, match="bars_7m"):
        writer.write([record(new_series(420), prices([0], 1.0), 5)])
    put(writer, record(series, prices([0], 1.0), 5))
    assert store.reader.bars(series, SPAN, RANKS).open.tolist() == [1.0]


def test_a_column_that_is_gone_is_no_reason_to_try_again(stack: Addresses, series: Series) -> None:
    with new_store(stack.dsn) as broken, broken.writer() as writer:
        run(broken, f"ALTER TABLE {broken.bars_table(MINUTE)} DROP COLUMN volume")
        with pytest.raises(RefusedRowsError, match="volume") as caught:
            writer.write([record(series, prices([0], 1.0), 5)])
        assert not caught.value.retriable


def test_nothing_to_write_touches_nothing(writer: BarWriter, series: Series) -> None:
    assert writer.write([]) == ()
    assert writer.write([record(series, BarFrame.empty(), 5)]) == ()
    writer.wait_visible([])
    assert writer.verify([]) == []


def test_threads_share_a_store_and_a_writer(store: Store, writer: BarWriter) -> None:
    """Ten threads over eight connections: each waits for its turn and sees its own rows."""
    failures: list[BaseException] = []

    def work(number: int) -> None:
        mine = record(new_series(), walk(700, number), 5)
        try:
            for _ in range(2):
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
