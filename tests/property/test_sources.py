"""Whatever bars a file holds come back bit for bit, however their times are written."""

import asyncio
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from hypothesis import given, settings
from hypothesis import strategies as st

from bars.frame import COLUMNS, BarFrame
from bars.series import Series
from bars.window import Window
from runtime.settings import NodeSettings, SourceSettings
from sources import open_source
from sources._times import parse_times

SERIES = Series("x", 60)
NODE = NodeSettings(series=SERIES, sources=("s",), calendar="24/7", symbol="X")
DECADES = st.integers(200_000_000, 4_000_000_000)
PRICES = st.floats(allow_nan=True, allow_infinity=True, width=64)


@st.composite
def frames(draw: st.DrawFn) -> BarFrame:
    ts = draw(st.lists(DECADES, max_size=30))
    if draw(st.booleans()):
        ts.sort()  # as most files are, which are then searched in another way
    columns = [draw(st.lists(PRICES, min_size=len(ts), max_size=len(ts))) for _ in range(5)]
    return BarFrame(np.array(ts, np.int64), *(np.array(c, np.float64) for c in columns))


def answer(bars: BarFrame, kind: str, window: Window) -> BarFrame:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"bars.{kind}"
        if kind == "csv":
            bars.to_pandas().to_csv(path, index=False, na_rep="nan")
        else:
            # Not by pandas, which writes NaN as null; a null is no number.
            pq.write_table(pa.table({name: getattr(bars, name) for name in COLUMNS}), path)
        source = SourceSettings(name="s", kind=kind, path=path)  # type: ignore[arg-type]
        opened = open_source(source, {SERIES: NODE}, base=Path(folder))
        return asyncio.run(opened.bars(SERIES, window))


@settings(max_examples=40, deadline=None)
@given(frames(), st.sampled_from(["csv", "parquet"]), DECADES, st.integers(1, 2**31))
def test_a_file_gives_back_the_rows_of_a_window_bit_for_bit(
    bars: BarFrame, kind: str, start: int, length: int
) -> None:
    window = Window(start, start + length)
    assert answer(bars, kind, window).equals(bars.inside(window))


def written(moment: datetime, form: str) -> str:
    return {
        "epoch": str(int(moment.timestamp())),
        "milliseconds": str(int(moment.timestamp()) * 1_000),
        "offset": moment.isoformat(),
        "zulu": moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "local": moment.strftime("%Y-%m-%d %H:%M:%S"),
    }[form]


def folded(moment: datetime) -> bool:
    """Whether a local time exists twice."""
    return moment.utcoffset() != moment.replace(fold=1 - moment.fold).utcoffset()


@settings(deadline=None)  # the first of a time zone reads its rules
@given(
    st.lists(DECADES, min_size=1, max_size=20),
    st.sampled_from(["epoch", "milliseconds", "offset", "zulu", "local"]),
    st.sampled_from(["UTC", "America/New_York", "Australia/Lord_Howe", "Asia/Kolkata"]),
)
def test_times_read_as_python_reads_them(ts: list[int], form: str, zone: str) -> None:
    moments = [datetime.fromtimestamp(t, ZoneInfo(zone)) for t in ts]
    kept = [(t, m) for t, m in zip(ts, moments, strict=True) if not folded(m)]
    column = pa.array([written(m, form) for _, m in kept], pa.string())
    assert parse_times(column, "ts", zone).tolist() == [t for t, _ in kept]
