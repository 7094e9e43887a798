"""Frames and pieces of several sources become bars, and nothing is made up."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bars.frame import BarFrame
from bars.window import Window
from provider import SourceError
from provider._join import Piece, join, reconcile
from tests.provider_help import sessions


def test_frames_are_reconciled_without_making_anything_up() -> None:
    frame = sessions().to_pandas()
    at = pd.to_datetime(frame["ts"], unit="s")
    for given_ in (
        frame.assign(ts=at),
        frame.assign(ts=at.dt.tz_localize("UTC").dt.tz_convert("America/New_York")),
        frame.drop(columns="ts").set_index(pd.DatetimeIndex(at)),
        frame.astype({"volume": "int64"}),
        frame.astype({"close": "Float64"}),
        pd.concat([frame.assign(close=0.0), frame], ignore_index=True),
    ):
        bars, dropped = reconcile(given_, "s")
        assert bars.equals(sessions())
        assert dropped == ()
    assert reconcile(frame.assign(extra=1), "s")[1] == ("extra",)
    assert not len(reconcile(frame.head(0), "s")[0])
    gone = frame.assign(**dict.fromkeys(frame.columns[1:], np.nan))
    assert not len(reconcile(gone, "s")[0])
    for wrong, match in (
        (frame.drop(columns="close"), "no column close"),
        (frame.assign(close="much"), "close must be numbers"),
        (frame.assign(ts=at + pd.Timedelta("1ms")), "whole seconds"),
        (frame.assign(ts=at.where(at.index > 0)), "without a time"),
    ):
        with pytest.raises(SourceError, match=match):
            reconcile(wrong, "s")


pieces = st.lists(st.tuples(st.integers(0, 20), st.integers(1, 9), st.booleans()), max_size=8)


@given(pieces)
def test_joined_bars_are_ascending_unique_and_those_with_versions_win(
    drawn: list[tuple[int, int, bool]],
) -> None:
    made, naive = [], dict[int, tuple[bool, int]]()
    for rank, (first, length, versioned) in enumerate(drawn):
        ts = np.arange(first, first + length, dtype=np.int64)
        bars = BarFrame(ts, *(np.full(length, float(rank)) for _ in range(5)))
        made.append(Piece(Window(first, first + length), bars, f"s{rank}", versioned))
        for t in ts.tolist():
            best = naive.get(t)
            if best is None or (versioned and not best[0]):
                naive[t] = (versioned, rank)
    found = join(made)
    assert found.ts.tolist() == sorted(naive)
    assert found.close.tolist() == [float(naive[t][1]) for t in sorted(naive)]
