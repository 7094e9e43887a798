"""CSV and Parquet files as sources: which rows are read of which file, and when anew."""

import asyncio
import os
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from bars.series import Series
from bars.window import Window
from runtime.errors import ConfigError
from sources import BadCellError, SourceError, open_source
from sources import _files as files
from tests.unit.files_help import (
    ALL,
    DAY,
    HEADER,
    MARCH_1,
    csv_source,
    opened,
    parquet_source,
    read,
    refused,
    rows,
    settings_of,
    times,
)


def test_a_csv_file_is_read_as_it_stands(tmp_path: Path) -> None:
    frame = read(
        csv_source(
            tmp_path,
            "Date,Open,High,Low,Adj,Volume,Extra\n2000-03-02,0.1,3,1,2.5,1e3,a\n"
            "2000-03-01,1.10000000000000008,nan,-1,.5,10,b\n",
            columns={
                "ts": "Date",
                "open": "Open",
                "high": "High",
                "low": "Low",
                "close": "Adj",
                "volume": "Volume",
            },
        )
    )
    assert list(frame.columns) == ["ts", "open", "high", "low", "close", "volume"]
    assert [str(kind) for kind in frame.dtypes] == ["int64"] + ["float64"] * 5
    assert frame["ts"].tolist() == [MARCH_1 + DAY, MARCH_1]
    assert frame["open"].tolist() == [0.1, 1.1]
    assert np.isnan(frame["high"].iloc[1])
    assert frame["close"].tolist() == [2.5, 0.5]


def test_order_and_repeats_are_kept_for_conformance_to_judge(tmp_path: Path) -> None:
    source = csv_source(tmp_path, rows("2000-03-02", "2000-03-01", "2000-03-02"))
    assert times(source) == [MARCH_1 + DAY, MARCH_1, MARCH_1 + DAY]


def test_only_rows_inside_the_half_open_window_are_returned(tmp_path: Path) -> None:
    source = csv_source(tmp_path, rows("2000-03-01", "2000-03-02", "2000-03-03"))
    frame = read(source, Window(MARCH_1, MARCH_1 + 2 * DAY))
    assert frame["ts"].tolist() == [MARCH_1, MARCH_1 + DAY]


def test_an_empty_answer_has_the_same_columns_and_types(tmp_path: Path) -> None:
    frame = read(csv_source(tmp_path, HEADER))
    assert len(frame) == 0
    assert [str(kind) for kind in frame.dtypes] == ["int64"] + ["float64"] * 5


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "must be a csv file: Empty CSV file"),
        ("date,open,high,low,close,volume\n", "must have a column 'ts', has date, open"),
        ("ts,Open,high,low,close,volume\n", "is 'Open' meant?"),
        ("ts,ts,open,high,low,close,volume\n", "must have column 'ts' once, has it 2 times"),
        (HEADER + "2000-03-01,1\n", "Expected 6 columns, got 2"),
    ],
)
def test_a_file_of_another_shape_is_refused(tmp_path: Path, text: str, told: str) -> None:
    assert told in str(refused(csv_source(tmp_path, text)))


def test_what_is_no_parquet_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x.parquet").write_text(HEADER)
    source = opened(tmp_path, {"kind": "parquet", "path": "x.parquet"})
    assert "must be a parquet file" in str(refused(source))


def test_bytes_that_are_no_text_are_refused(tmp_path: Path) -> None:
    source = csv_source(tmp_path, "")
    (tmp_path / "bars.csv").write_bytes(HEADER.encode() + b"2000-03-01,1,2,\xff,1,10\n")
    assert "invalid UTF8" in str(refused(source))


def test_a_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    source = opened(tmp_path, {"kind": "csv", "path": "none.csv"})
    assert f"{tmp_path / 'none.csv'} must be a file that can be read" in str(refused(source))


def test_a_folder_has_one_file_a_symbol(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "A.csv").write_text(rows("2000-03-01"))
    (tmp_path / "data" / "B.csv").write_text(rows("2000-03-02"))
    source = opened(tmp_path, {"kind": "csv", "path": "data"}, a="A", b="B")
    assert read(source, node="a")["ts"].tolist() == [MARCH_1]
    assert read(source, node="b")["ts"].tolist() == [MARCH_1 + DAY]


def test_a_path_can_be_a_pattern(tmp_path: Path) -> None:
    (tmp_path / "A_1d.csv").write_text(rows("2000-03-01"))
    source = opened(tmp_path, {"kind": "csv", "path": "{symbol}_{interval}.csv"}, x="A")
    assert times(source) == [MARCH_1]


def test_compressed_files_are_read_by_their_name(tmp_path: Path) -> None:
    import gzip  # noqa: PLC0415 - here alone

    text = rows("2000-03-01") + "\n2000-03-02,oops,2,1,1,10\n"
    (tmp_path / "A.csv.gz").write_bytes(gzip.compress(text.encode()))
    source = opened(tmp_path, {"kind": "csv", "path": "{symbol}.csv.gz"}, x="A")
    assert len(read(source, Window(MARCH_1, MARCH_1 + DAY))) == 1
    error = refused(source)
    assert isinstance(error, BadCellError)
    assert error.row == 4


MANY = (
    "sym," + HEADER + "A,2000-03-01,1,2,1,1,10\nB,2000-03-01,5,6,5,5,50\nA,2000-03-02,2,2,2,2,1\n"
)


def test_one_file_can_have_many_symbols(tmp_path: Path) -> None:
    (tmp_path / "all.csv").write_text(MANY)
    source = opened(
        tmp_path, {"kind": "csv", "path": "all.csv", "symbol_column": "sym"}, a="A", b="B", c="C"
    )
    assert read(source, node="a")["close"].tolist() == [1, 2]
    assert read(source, node="b")["close"].tolist() == [5]
    assert asyncio.run(source.listed(Series("b", DAY))) == Window(MARCH_1, MARCH_1 + DAY)
    told = str(refused(source, node="c"))
    assert "symbol must be one that" in told
    assert "(A, B), was 'C'" in told


def test_a_symbol_column_of_parquet_may_hold_numbers_and_nulls(tmp_path: Path) -> None:
    source = parquet_source(
        tmp_path,
        {"ts": [MARCH_1, MARCH_1 + DAY], "sym": pa.array([600_000, None])},
        symbol_column="sym",
    )
    settings = settings_of(
        tmp_path, {"kind": "parquet", "path": "x.parquet", "symbol_column": "sym"}, x="600000"
    )
    source = open_source(settings.sources["s"], settings.nodes, base=tmp_path)
    assert times(source) == [MARCH_1]


@pytest.mark.parametrize(
    ("source", "symbols"),
    [
        ({"kind": "csv", "path": "one.csv"}, {"a": "A", "b": "B"}),
        ({"kind": "csv", "path": "{symbol}.csv"}, {"a": "A", "b": "A"}),
        ({"kind": "csv", "path": "x.csv", "symbol_column": "s"}, {"a": "A", "b": "A"}),
        ({"kind": "csv", "path": "{symbol}.csv"}, {"a": "BTC/USDT"}),
        ({"kind": "csv", "path": "{symbol}.csv"}, {"a": "../secret"}),
    ],
)
def test_nodes_that_would_get_the_wrong_rows_are_refused_when_opened(
    tmp_path: Path, source: dict[str, object], symbols: dict[str, str]
) -> None:
    """Two nodes with the rows of one file, or a symbol that leads to another folder."""
    with pytest.raises(ConfigError, match=r"nodes\.[ab]\.symbol: must be"):
        opened(tmp_path, source, **symbols)


def test_a_series_that_does_not_list_the_source_is_refused(tmp_path: Path) -> None:
    assert "series must be one that lists it" in str(
        refused(csv_source(tmp_path, rows("2000-03-01")), node="y")
    )


def test_listed_reaches_from_the_first_bar_to_the_end_of_the_last(tmp_path: Path) -> None:
    source = csv_source(tmp_path, rows("2000-03-03", "2000-03-01", "2000-03-02"))
    listed = asyncio.run(source.listed(Series("x", DAY)))
    assert listed == Window(MARCH_1, MARCH_1 + 3 * DAY)


def test_a_file_without_rows_lists_nothing(tmp_path: Path) -> None:
    assert asyncio.run(csv_source(tmp_path, HEADER).listed(Series("x", DAY))) is None


def test_a_source_gives_bars_and_knows_its_lane(tmp_path: Path) -> None:
    source = csv_source(tmp_path, rows("2000-03-02", "2000-03-01"))
    bars = asyncio.run(source.bars(Series("x", DAY), ALL))
    assert bars.ts.tolist() == [MARCH_1 + DAY, MARCH_1]
    assert (source.name, source.lane, source.empty_confirmed) == ("s", "bf:s", True)


def test_a_file_is_read_once_until_it_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reads = []
    original = files._read_csv

    def counted(path: Path, wanted: Any) -> Any:
        reads.append(path)
        return original(path, wanted)

    monkeypatch.setattr(files, "_read_csv", counted)
    source = csv_source(tmp_path, rows("2000-03-01"))

    async def many() -> None:
        series = Series("x", DAY)
        await asyncio.gather(*(source.bars(series, ALL) for _ in range(20)))
        await source.listed(series)

    asyncio.run(many())
    assert len(reads) == 1
    stat = (tmp_path / "bars.csv").stat()
    (tmp_path / "new.csv").write_text(rows("2000-03-02"))
    os.utime(tmp_path / "new.csv", ns=(stat.st_atime_ns, stat.st_mtime_ns))
    (tmp_path / "new.csv").replace(tmp_path / "bars.csv")
    assert times(source) == [MARCH_1 + DAY], "same size and time, but another file"
    assert len(reads) == 2


def test_a_file_that_changes_while_it_is_read_is_read_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A half-written file must not be taken for the whole one."""
    source = csv_source(tmp_path, rows("2000-03-01"))
    original = files._read_csv
    changes = iter([HEADER + "torn", rows("2000-03-01", "2000-03-02")])

    def torn(path: Path, wanted: Any) -> Any:
        for text in changes:
            path.write_text(text)
            break
        return original(path, wanted)

    monkeypatch.setattr(files, "_read_csv", torn)
    assert times(source) == [MARCH_1, MARCH_1 + DAY]


def test_a_file_that_never_rests_is_given_up_for_now(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = csv_source(tmp_path, rows("2000-03-01"))
    original = files._read_csv

    def restless(path: Path, wanted: Any) -> Any:
        with path.open("a") as file:
            file.write("2000-03-05,1,2,1,1,10\n")
        return original(path, wanted)

    monkeypatch.setattr(files, "_read_csv", restless)
    with pytest.raises(SourceError, match="changes while it is read") as caught:
        read(source)
    assert caught.value.retriable is True


def test_files_not_asked_for_are_dropped_when_memory_is_short(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "CACHE_BYTES", 2_500)
    symbols = {name.lower(): name for name in "ABC"}
    for name in symbols.values():
        (tmp_path / f"{name}.csv").write_text(rows("2000-03-01"))
    source = opened(tmp_path, {"kind": "csv", "path": "{symbol}.csv"}, **symbols)
    for node in (*symbols, "a"):
        assert len(read(source, node=node)) == 1
    fetcher = source.fetcher
    assert isinstance(fetcher, files.FileFetcher)
    assert [path.stem for path in fetcher._cache._files] == ["C", "A"]
