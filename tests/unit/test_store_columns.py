"""Parquet files as the server makes them, as columns."""

import io

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet

from store.columns import ParquetColumns, Symbols

NULL = np.iinfo(np.int64).min


def content(table: pa.Table, **options: object) -> bytes:
    sink = io.BytesIO()
    parquet.write_table(table, sink, **options)
    return sink.getvalue()


TABLE = pa.table(
    {
        "ts": pa.array([1, None, 3], pa.timestamp("us", tz="UTC")),
        "price": pa.array([0.5, None, float("nan")]),
        "n": pa.array([7, None, 9], pa.int64()),
        "lane": pa.array(["a", None, "b"]),
    }
)


@pytest.mark.parametrize("coded", [["lane"], False])
@pytest.mark.parametrize("group", [1, 3])
def test_nulls_and_row_groups_do_not_matter(coded: object, group: int) -> None:
    """Symbols come as a dictionary or as plain texts, as the plan of the query has it."""
    found = ParquetColumns(content(TABLE, use_dictionary=coded, row_group_size=group))
    assert len(found) == 3
    assert found.times("ts").tolist() == [1, NULL, 3]
    assert found.longs("n").tolist() == [7, NULL, 9]
    assert np.array_equal(found.doubles("price"), [0.5, np.nan, np.nan], equal_nan=True)
    assert found.symbols("lane").texts().tolist() == ["a", None, "b"]


def test_texts_stored_by_their_lengths_are_read() -> None:
    """The encoding that the server takes for texts which it does not export from its own files."""
    plain = content(
        TABLE, use_dictionary=False, column_encoding={"lane": "DELTA_LENGTH_BYTE_ARRAY"}
    )
    assert ParquetColumns(plain).symbols("lane").texts().tolist() == ["a", None, "b"]


def test_an_empty_answer_has_empty_columns() -> None:
    found = ParquetColumns(content(TABLE.slice(0, 0)))
    assert len(found) == found.times("ts").size == found.doubles("price").size == 0
    assert found.symbols("lane").texts().tolist() == []


def test_codes_are_translated_between_lists_of_names() -> None:
    symbols = Symbols(np.array([0, 1, -1, 2], np.int32), ("a", "b", "c"))
    assert symbols.coded_as(("c", "a")).tolist() == [1, -1, -1, 0]
    assert symbols.coded_as(()).tolist() == [-1, -1, -1, -1]
