"""What a chunk says: its bars, their versions, and above all what it covers."""

from dataclasses import replace

import numpy as np
import pytest

from avro_schemas import BarChunk
from bars import BarFrame, InvalidValueError, Series, Window, content_hash
from bars.records import bars_of, covered_by, known_of, series_of, versions_of, window_of
from tests.unit.bars_help import priced


def chunk(bars: BarFrame, **other: object) -> BarChunk:
    made = BarChunk(
        node_id="n",
        interval=60,
        start=0,
        end=600,
        lane="bf:daily",
        known=7,
        content_hash=content_hash(bars),
        ts=bars.ts,
        open=bars.open,
        high=bars.high,
        low=bars.low,
        close=bars.close,
        volume=bars.volume,
    )
    return replace(made, **other)  # type: ignore[arg-type]


SOME = priced([60, 120])
NONE = BarFrame.empty()


def test_a_chunk_names_its_series_window_and_bars() -> None:
    made = chunk(SOME)
    assert series_of(made) == Series("n", 60)
    assert window_of(made) == Window(0, 600)
    assert bars_of(made).equals(SOME)


def test_columns_of_two_lengths_are_no_bars() -> None:
    with pytest.raises(InvalidValueError, match="close"):
        bars_of(chunk(SOME, close=np.zeros(1)))


def test_known_is_one_for_all_or_one_for_each() -> None:
    assert known_of(chunk(SOME)).tolist() == [7, 7]
    each = chunk(SOME, known_each=np.array([3, 9]))
    assert versions_of(each).known.tolist() == [3, 9]
    assert versions_of(each).lane.tolist() == ["bf:daily", "bf:daily"]
    with pytest.raises(InvalidValueError, match="known_each must be of 2 bars, was 1"):
        known_of(chunk(SOME, known_each=np.array([3])))


@pytest.mark.parametrize(
    ("made", "covers"),
    [
        pytest.param(chunk(SOME), [(0, 600)], id="bars cover the window"),
        pytest.param(chunk(NONE), [], id="no bars cover nothing"),
        pytest.param(chunk(NONE, empty_confirmed=True), [(0, 600)], id="proof of emptiness"),
        pytest.param(
            chunk(SOME, covers=((0, 180), (180, 240))), [(0, 240)], id="the parts it names"
        ),
        pytest.param(chunk(SOME, covers=((-60, 900),)), [(0, 600)], id="never outside the window"),
        pytest.param(chunk(SOME, lane="roll"), [], id="roll covers only what it names"),
        pytest.param(
            chunk(SOME, lane="roll", covers=((60, 120), (180, 240))),
            [(60, 120), (180, 240)],
            id="roll never covers the space between",
        ),
        pytest.param(chunk(SOME, is_final=False, covers=((60, 120),)), [], id="a building bar"),
    ],
)
def test_what_a_chunk_covers(made: BarChunk, covers: list[tuple[int, int]]) -> None:
    assert covered_by(made) == tuple(Window(*c) for c in covers)
