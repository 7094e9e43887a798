"""What stands in the cells of CSV and Parquet files: times and numbers, read exactly or refused."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from bars.window import Window
from sources import BadCellError
from tests.unit.files_help import (
    DAY,
    HEADER,
    MARCH_1,
    csv_source,
    parquet_source,
    read,
    refused,
    rows,
    times,
)


@pytest.mark.parametrize(
    ("written", "zone"),
    [
        ("2000-03-01", "America/New_York"),
        ("20000301", "America/New_York"),
        ("951868800", "America/New_York"),
        ("951868800000", "America/New_York"),
        ("2000-03-01 00:00:00", "UTC"),
        ("2000-03-01T00:00", "UTC"),
        (" 2000-03-01 00:00:00.000 ", "UTC"),
        ("2000-02-29 19:00:00", "America/New_York"),
        ("2000-03-01T09:00:00", "Asia/Tokyo"),
        ("2000-03-01T00:00:00Z", "America/New_York"),
        ("2000-02-29 19:00:00-05:00", "Asia/Tokyo"),
        ("2000-03-01 05:30:00+0530", "Asia/Tokyo"),
    ],
)
def test_a_moment_can_be_written_in_many_ways(tmp_path: Path, written: str, zone: str) -> None:
    """Dates are sessions: 00:00 UTC whatever the zone; naive times are local to it."""
    assert times(csv_source(tmp_path, rows(written), timezone=zone)) == [MARCH_1]


@pytest.mark.parametrize(
    ("column", "zone"),
    [
        (pa.array([MARCH_1]), "Asia/Tokyo"),
        (pa.array([MARCH_1 * 1_000]), "Asia/Tokyo"),
        (pa.array([MARCH_1 // DAY], pa.int32()).cast(pa.date32()), "Asia/Tokyo"),
        (pa.array([MARCH_1 * 1_000], pa.date64()), "Asia/Tokyo"),
        (pa.array([MARCH_1 * 10**9], pa.timestamp("ns")), "UTC"),
        (pa.array([MARCH_1 + 9 * 3_600], pa.timestamp("s")), "Asia/Tokyo"),
        (pa.array([MARCH_1 * 10**6], pa.timestamp("us", "Europe/Paris")), "Asia/Tokyo"),
        (pa.array(["2000-03-01"]), "Asia/Tokyo"),
        (pa.array(["2000-03-01"]).dictionary_encode(), "Asia/Tokyo"),
        (pa.array(["2000-03-01"], pa.large_string()), "Asia/Tokyo"),
    ],
)
def test_parquet_times_of_every_type_are_read(tmp_path: Path, column: Any, zone: str) -> None:
    assert times(parquet_source(tmp_path, {"ts": column}, timezone=zone)) == [MARCH_1]


@pytest.mark.parametrize(
    "column",
    [
        pa.array([MARCH_1 + 0.5]),
        pa.array([True]),
        pa.array([20_000_301]),
        pa.array([MARCH_1 * 10**6 + 1], pa.timestamp("us")),
        pa.array([None], pa.int64()),
    ],
)
def test_parquet_times_that_would_have_to_be_guessed_are_refused(
    tmp_path: Path, column: Any
) -> None:
    error = refused(parquet_source(tmp_path, {"ts": column}))
    assert isinstance(error, BadCellError)
    assert (error.row, error.column) == (1, "ts")


@pytest.mark.parametrize(
    ("written", "line", "allowed"),
    [
        (["2000-03-01", "yesterday"], 3, "ISO 8601"),
        (["2000-03-01", ""], 3, "ISO 8601"),
        (["2000-03-01", "2000-02-30"], 3, "ISO 8601"),
        (["2000-03-01", "01/03/2000"], 3, "ISO 8601"),
        (["20000301", "20001301"], 3, "ISO 8601"),
        (["2000-03-01", "2000-03-02 00:00:00"], 3, "a date like 2004-08-19, as the first row has"),
        (["2000-03-01 00:00", "2000-03-02 00:00Z"], 3, "a naive time, as the first row has"),
        (["951868800", "2000-03-02"], 3, "an epoch number, as the first row has"),
        (["951868800", "951955200000"], 3, "epoch seconds, as the first row has"),
        (["951868800.0"], 2, "ISO 8601"),
        (["951868800000001"], 2, "epoch seconds or milliseconds"),
        (["9" * 40], 2, "epoch seconds or milliseconds"),
        (["951868800001"], 2, "whole seconds"),
        (["2000-03-01 00:00:00.5"], 2, "whole seconds"),
    ],
)
def test_a_time_that_is_none_is_named_with_its_line(
    tmp_path: Path, written: list[str], line: int, allowed: str
) -> None:
    error = refused(csv_source(tmp_path, rows(*written)))
    assert isinstance(error, BadCellError)
    assert (error.row, error.column, error.found) == (line, "ts", written[line - 2])
    assert allowed in error.allowed
    assert error.file == str(tmp_path / "bars.csv")


@pytest.mark.parametrize(
    ("local", "why"),
    [("2017-11-05 01:30:00", "twice in autumn"), ("2017-03-12 02:30:00", "never in spring")],
)
def test_local_times_of_a_clock_change_are_not_guessed(
    tmp_path: Path, local: str, why: str
) -> None:
    text = rows("2017-03-11 12:00:00", local)
    error = refused(csv_source(tmp_path, text, timezone="America/New_York"))
    assert isinstance(error, BadCellError), why
    assert (error.row, error.found) == (3, local)
    assert "exists exactly once in America/New_York" in str(error)


@pytest.mark.parametrize("cell", ["", "n/a", "1,5", "1_000", "0x10", "1e", "--1", "12abc", "$5"])
def test_a_price_that_is_none_is_named_with_its_line(tmp_path: Path, cell: str) -> None:
    text = rows("2000-03-01") + f'2000-03-02,1,2,"{cell}",1,10\n'
    error = refused(csv_source(tmp_path, text))
    assert isinstance(error, BadCellError)
    assert (error.row, error.column, error.found) == (3, "low", cell)
    assert f"row 3, column low: must be a number that float64 can hold, was '{cell}'" in str(error)


@pytest.mark.parametrize(
    ("cell", "value"),
    [
        ("+1.5", 1.5),
        ("1.", 1.0),
        (".5", 0.5),
        (" 7 ", 7.0),
        ("1E-3", 0.001),
        ("-Infinity", -np.inf),
    ],
)
def test_every_usual_way_to_write_a_number_is_read(tmp_path: Path, cell: str, value: float) -> None:
    """Infinities too: to refuse them is for conformance, which tells more."""
    frame = read(csv_source(tmp_path, HEADER + f"2000-03-01,1,2,{cell},1,10\n"))
    assert frame["low"].tolist() == [value]


def test_a_bad_price_spoils_only_the_windows_that_hold_its_row(tmp_path: Path) -> None:
    source = csv_source(tmp_path, rows("2000-03-01") + "2000-03-02,oops,2,1,1,10\n")
    assert len(read(source, Window(MARCH_1, MARCH_1 + DAY))) == 1
    refused(source, Window(MARCH_1, MARCH_1 + 2 * DAY))


def test_a_column_of_garbage_spoils_the_file(tmp_path: Path) -> None:
    text = HEADER + "".join(f"{ts},x,2,1,1,10\n" for ts in range(MARCH_1, MARCH_1 + 1_500))
    error = refused(csv_source(tmp_path, text), Window(0, 1))
    assert isinstance(error, BadCellError)
    assert error.row == 2


def test_empty_lines_count_as_lines_in_errors(tmp_path: Path) -> None:
    text = rows("2000-03-01").replace("\n", "\r\n") + "\r\n\r\n2000-03-02,oops,2,1,1,10\r\n"
    error = refused(csv_source(tmp_path, text))
    assert isinstance(error, BadCellError)
    assert error.row == 5


def test_numbers_of_every_parquet_type_are_read_exactly(tmp_path: Path) -> None:
    source = parquet_source(
        tmp_path,
        {
            "ts": [MARCH_1],
            "open": pa.array([0.1], pa.float32()),
            "high": pa.array([2**53], pa.int64()),
            "low": pa.array(["0.1"]),
            "close": pa.array([7], pa.uint64()),
            "volume": pa.array([5], pa.int16()),
        },
    )
    (row,) = read(source).to_numpy().tolist()
    assert row[1:] == [float(np.float32(0.1)), 2.0**53, 0.1, 7.0, 5.0]


@pytest.mark.parametrize(
    "column",
    [
        pa.array([None], pa.float64()),
        pa.array([None]),
        pa.array([2**53 + 1]),
        pa.array([-(2**63)]),
        pa.array([2**64 - 1], pa.uint64()),
        pa.array([True]),
        pa.array([b"1"]),
    ],
)
def test_parquet_cells_that_are_no_numbers_are_named(tmp_path: Path, column: Any) -> None:
    error = refused(parquet_source(tmp_path, {"ts": [MARCH_1], "volume": column}))
    assert isinstance(error, BadCellError)
    assert (error.row, error.column) == (1, "volume")
