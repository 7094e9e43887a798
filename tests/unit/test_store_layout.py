"""The tables on paper: partitions, names, statements, and what differs from them."""

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bars.errors import InvalidValueError
from store.layout import Found, Layout, Table, differences, partition_unit, symbol_capacity

SECONDS = {"HOUR": 3_600, "DAY": 86_400, "WEEK": 604_800, "MONTH": 2_629_746, "YEAR": 31_556_952}


@pytest.mark.parametrize(
    ("interval", "series", "unit"),
    [
        (1, 1_000, "HOUR"),
        (1, 100, "DAY"),
        (1, 10, "WEEK"),
        (60, 1_000, "DAY"),
        (60, 500, "WEEK"),
        (60, 100, "MONTH"),
        (60, 10, "YEAR"),
        (3_600, 5_000, "MONTH"),
        (86_400, 100, "YEAR"),
        (86_400, 20_000, "YEAR"),
    ],
)
def test_a_partition_holds_one_to_ten_million_rows(interval: int, series: int, unit: str) -> None:
    assert partition_unit(interval, series) == unit


@given(st.integers(1, 10 * 86_400), st.integers(1, 10_000_000))
def test_no_other_unit_is_nearer_to_the_goal(interval: int, series: int) -> None:
    def excess(unit: str) -> float:
        rows = series * SECONDS[unit] / interval
        return max(1e6 / rows, rows / 1e7, 1.0)

    chosen = partition_unit(interval, series)
    assert excess(chosen) == pytest.approx(min(map(excess, SECONDS)))


@pytest.mark.parametrize(("series", "room"), [(1, 256), (100, 256), (129, 512), (5_000, 16_384)])
def test_symbols_have_room_for_twice_the_series(series: int, room: int) -> None:
    assert symbol_capacity(series) == room


def test_a_table_is_named_after_its_bar_length() -> None:
    layout = Layout("t_")
    names = [table.name for table in layout.tables([86_400, 60, 5_400, 60])]
    assert names == ["t_seamless_meta", "t_bar_chunks", "t_bars_1m", "t_bars_90m", "t_bars_1d"]


@pytest.mark.parametrize("prefix", ["a b", "a;", "a'", "ä", "x" * 61, "a.b", "a\n"])
def test_a_prefix_that_needs_quoting_is_refused(prefix: str) -> None:
    with pytest.raises(InvalidValueError, match="table_prefix"):
        Layout(prefix)


def test_versions_are_told_apart_by_their_keys() -> None:
    ddl = Layout().bars(60).ddl
    assert ddl.endswith(
        'TIMESTAMP("ts") PARTITION BY MONTH WAL DEDUP UPSERT KEYS("ts", "node", "lane", "known")'
    )
    assert '"node" SYMBOL CAPACITY 256 INDEX' in ddl


def test_the_ledger_keeps_one_row_a_covered_window_of_a_record() -> None:
    ddl = Layout().ledger.ddl
    assert ddl.endswith('KEYS("start", "node", "interval", "lane", "end", "known")')


def test_claims_have_no_key_so_that_none_replaces_another() -> None:
    assert "DEDUP" not in Layout().meta.ddl


def _found(table: Table) -> Found:
    return Found(table.columns, table.keys, table.columns[0].name, wal=True)


def test_a_table_as_we_make_it_has_no_differences() -> None:
    for table in Layout().tables([60]):
        assert differences(table, _found(table)) == ()


def test_every_difference_is_named() -> None:
    table = Layout().bars(60)
    plain = {column.name: column for column in table.columns}
    plain["node"] = dataclasses.replace(plain["node"], indexed=False)
    plain["close"] = dataclasses.replace(plain["close"], type="FLOAT")
    plain["extra"] = dataclasses.replace(plain["close"], name="extra")
    del plain["lane"]
    found = Found(tuple(plain.values()), frozenset(("ts", "node")), "", wal=False)
    assert differences(table, found) == (
        "column node must be indexed",
        "column close must be DOUBLE, was FLOAT",
        "column lane SYMBOL is absent",
        "column extra is not ours",
        "designated timestamp must be ts, was none",
        "dedup keys must be known, lane, node, ts, were node, ts",
        "must be a WAL table",
    )


def test_capacity_and_partition_may_differ() -> None:
    """They follow the number of series that was expected on the day the table was made."""
    made = _found(Layout(series_expected=10).bars(60))
    assert differences(Layout(series_expected=50_000).bars(60), made) == ()
