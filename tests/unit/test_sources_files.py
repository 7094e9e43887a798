"""CSV and Parquet files as sources: what is read, what is refused and how that is told."""

import asyncio
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from bars.series import Series
from bars.window import Window
from runtime.errors import ConfigError
from runtime.settings import Settings
from sources import BadCellError, Source, SourceError, open_source
from sources import _files as files

DAY = 86_400
MARCH_1 = 951_868_800  # 2000-03-01
ALL = Window(0, 4_000_000_000)
HEADER = "ts,open,high,low,close,volume\n"


def settings_of(base: Path, source: Mapping[str, object], **symbols: str) -> Settings:
    """Settings of one source `s` with a daily node for each symbol; `x: X` if none is named."""
    nodes = {
        node: {"interval": "1d", "sources": ["s"], "calendar": "24/7", "symbol": symbol}
        for node, symbol in (symbols or {"x": "X"}).items()
    }
    return Settings.from_mapping({"sources": {"s": source}, "nodes": nodes}, base)


def opened(base: Path, source: Mapping[str, object], **symbols: str) -> Source:
    settings = settings_of(base, source, **symbols)
    return open_source(settings.sources["s"], settings.nodes, base=base)


def csv_source(base: Path, text: str, **options: object) -> Source:
    (base / "bars.csv").write_text(text)
    return opened(base, {"kind": "csv", "path": "bars.csv", **options})


def parquet_source(base: Path, columns: Mapping[str, Any], **options: object) -> Source:
    prices = {name: [1.0] * len(columns["ts"]) for name in ("open", "high", "low", "close")}
    pq.write_table(pa.table({**prices, "volume": prices["open"], **columns}), base / "x.parquet")
    return opened(base, {"kind": "parquet", "path": "x.parquet", **options})


def read(source: Source, window: Window = ALL, node: str = "x") -> pd.DataFrame:
    return asyncio.run(source.fetcher.fetch(window.start, window.end, node_id=node, interval=DAY))


def times(source: Source) -> list[int]:
    return [int(ts) for ts in read(source)["ts"]]


def refused(source: Source, window: Window = ALL, node: str = "x") -> SourceError:
    with pytest.raises(SourceError) as caught:
        read(source, window, node)
    assert caught.value.retriable is False
    return caught.value


def rows(*times: object) -> str:
    return HEADER + "".join(f"{ts},1,2,0.5,1.5,10\n" for ts in times)


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
