"""Frames of bars: exact types, read-only, compared bit for bit; and their hash."""

import struct
from hashlib import blake2b
from typing import Any, cast

import numpy as np
import pandas as pd
import pytest

from bars import COLUMNS, BarFrame, InvalidValueError, Window, content_hash
from bars.frame import among, inside_any
from tests.unit.bars_help import priced, walk


def test_ts_of_another_type_is_refused() -> None:
    good = priced([0, 60])
    wrong: list[Any] = [good.ts.astype(np.int32), good.ts.astype("M8[s]"), good.ts.reshape(1, 2)]
    for ts in wrong:
        with pytest.raises(InvalidValueError, match="ts must be a one-dimensional int64 array"):
            BarFrame(ts, *good.prices)


def test_a_column_of_another_type_or_length_is_refused_by_name() -> None:
    good = priced([0, 60])
    rest = (good.low, good.close, good.volume)
    with pytest.raises(InvalidValueError, match="high must be float64 of shape"):
        BarFrame(good.ts, good.open, cast("Any", good.high.astype(np.float32)), *rest)
    with pytest.raises(InvalidValueError, match="volume must be float64"):
        BarFrame(good.ts, good.open, good.high, good.low, good.close, np.zeros(3))


def test_columns_are_read_only() -> None:
    with pytest.raises(ValueError, match="read-only"):
        priced([0]).close[0] = 5.0


def test_an_empty_frame_has_the_same_columns_and_types() -> None:
    empty, full = BarFrame.empty().to_pandas(), walk(3).to_pandas()
    pd.testing.assert_series_equal(empty.dtypes, full.dtypes)
    assert list(empty.columns) == list(COLUMNS)


def test_concat_of_nothing_is_empty_and_of_frames_is_one_after_another() -> None:
    assert len(BarFrame.concat([])) == 0
    both = BarFrame.concat(priced([t]) for t in (60, 0))
    assert both.ts.tolist() == [60, 0]


def test_rows_are_taken_by_mask_positions_or_slice() -> None:
    bars = walk(5)
    assert bars.take(np.array([4, 0])).ts.tolist() == [bars.ts[4], bars.ts[0]]
    assert bars.take(slice(1, 3)).equals(bars.take(np.array([0, 1, 1, 0, 0], np.bool_)))
    window = Window(int(bars.ts[1]), int(bars.ts[3]))
    assert bars.inside(window).equals(bars.take([1, 2]))


def test_a_withdrawn_bar_is_nan_in_all_five() -> None:
    nan = np.array([np.nan, np.nan])
    bars = BarFrame(np.array([0, 60]), nan, nan, nan, nan, np.array([0.0, np.nan]))
    assert bars.has_prices.tolist() == [True, False]


def test_values_are_compared_bit_for_bit_and_nan_equals_nan() -> None:
    assert not priced([0], 0.0).same_rows(priced([0], -0.0))[0]
    assert priced([0], np.nan).equals(priced([0], np.nan))
    assert not priced([0]).equals(priced([60]))
    assert not priced([0]).equals(priced([0, 60]))


def test_frames_of_other_lengths_are_not_compared_row_by_row() -> None:
    """One row against many would be spread over them in silence."""
    with pytest.raises(InvalidValueError, match="rows must be 1, was 2"):
        priced([0]).same_rows(priced([0, 60]))


def test_a_dataframe_of_bars_shares_nothing_with_them() -> None:
    bars = walk(3)
    frame = bars.to_pandas()
    frame.loc[0, "close"] = 0.0
    assert bars.close[0] != 0.0


def test_masks_of_times_in_windows_and_among_times() -> None:
    ts = np.array([120, 0, 60, 59], np.int64)
    assert inside_any(ts, []).tolist() == [False] * 4
    windows = [Window(60, 61), Window(0, 10), Window(5, 60)]
    assert inside_any(ts, windows).tolist() == [False, True, True, True]
    assert among(ts, np.array([0, 60], np.int64)).tolist() == [False, True, True, False]
    assert among(ts, np.empty(0, np.int64)).tolist() == [False] * 4


def test_the_hash_is_the_published_encoding_and_nothing_else() -> None:
    """Anyone must be able to compute it without this package."""
    bars = priced([60, 120], 100.0)
    encoded = struct.pack("<Q", 2) + struct.pack("<2q", 60, 120)
    for value in (100.0, 101.0, 99.0, 100.5, 10.0):
        encoded += struct.pack("<2d", value, value)
    assert content_hash(bars) == blake2b(encoded, digest_size=16).hexdigest()


def test_the_hash_tells_every_value_order_and_sign_but_not_kinds_of_nan() -> None:
    bars = walk(4)
    told = {content_hash(bars), content_hash(bars.take([1, 0, 2, 3])), content_hash(bars.take([0]))}
    for name in COLUMNS:
        columns = {n: getattr(bars, n).copy() for n in COLUMNS}
        columns[name][2] += 1
        told.add(content_hash(BarFrame(**columns)))
    assert len(told) == 3 + len(COLUMNS)
    payload = np.array([0x7FF8000000000001], np.uint64).view(np.float64)
    other = BarFrame(np.zeros(1, np.int64), *(payload.copy() for _ in range(5)))
    assert content_hash(other) == content_hash(priced([0], np.nan))
    assert content_hash(priced([0], 0.0)) != content_hash(priced([0], -0.0))


def test_the_hash_does_not_depend_on_how_the_columns_lie_in_memory() -> None:
    bars = walk(6)
    strided = BarFrame(bars.ts[::2], *(c[::2] for c in bars.prices))
    assert content_hash(strided) == content_hash(bars.take([0, 2, 4]))


def test_a_pandas_frame_is_its_own_and_may_be_written() -> None:
    """The arrays of bars are read-only and shared: a strategy that writes must not meet that."""
    bars, same = walk(5), walk(5)
    found = bars.to_pandas()
    found.loc[:, "close"] = 5.0
    found.loc[0, "ts"] = 7
    assert bars.equals(same)
    assert not bars.ts.flags.writeable
