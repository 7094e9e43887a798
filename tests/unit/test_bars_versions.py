"""Which version a reader gets: single cases; the laws are in tests/property."""

from typing import Any

import numpy as np
import pytest

from bars import InvalidValueError, Versions, newest_of_lane, winners
from bars.versions import UNLISTED_RANK, as_of, merge, ranks_of
from tests.unit.bars_help import priced, versions

RANKS = {"bf:best": 2, "bf:second": 1, "roll": 0}
GONE = float("nan")


def won(*rows: tuple[int, str, int, float]) -> list[tuple[int, str, int, float]]:
    """Return the winners among (ts, lane, known, price)."""
    found = winners(versions(*rows), RANKS)
    return list(
        zip(
            found.bars.ts.tolist(),
            found.lane.tolist(),
            found.known.tolist(),
            found.bars.open.tolist(),
            strict=True,
        )
    )


def test_the_newest_version_of_a_lane_wins_whatever_came_first() -> None:
    assert won((0, "roll", 9, 2.0), (0, "roll", 5, 1.0)) == [(0, "roll", 9, 2.0)]


def test_a_higher_lane_wins_over_newer_versions() -> None:
    rows = (0, "bf:second", 99, 1.0), (0, "bf:best", 1, 2.0), (0, "roll", 100, 3.0)
    assert won(*rows) == [(0, "bf:best", 1, 2.0)]


def test_a_withdrawal_in_the_higher_lane_lets_the_next_lane_win() -> None:
    rows = (0, "bf:best", 1, 2.0), (0, "bf:best", 2, GONE), (0, "roll", 1, 3.0)
    assert won(*rows) == [(0, "roll", 1, 3.0)]


def test_a_bar_that_every_lane_withdrew_has_no_winner() -> None:
    assert won((0, "bf:best", 1, 2.0), (0, "bf:best", 2, GONE), (60, "roll", 1, 1.0)) == [
        (60, "roll", 1, 1.0)
    ]


def test_a_bar_that_came_back_wins_again() -> None:
    rows = (0, "bf:best", 1, 2.0), (0, "bf:best", 2, GONE), (0, "bf:best", 3, 2.0)
    assert won(*rows) == [(0, "bf:best", 3, 2.0)]


def test_a_lane_without_a_rank_loses_against_every_ranked_one() -> None:
    assert won((0, "bf:new", 99, 1.0), (0, "roll", 1, 2.0)) == [(0, "roll", 1, 2.0)]
    lanes = np.array(["bf:new", "roll"], object)
    assert ranks_of(lanes, RANKS).tolist() == [UNLISTED_RANK, 0]


def test_lanes_of_one_rank_are_ordered_by_known_then_by_name() -> None:
    assert won((0, "bf:x", 2, 1.0), (0, "bf:y", 1, 2.0)) == [(0, "bf:x", 2, 1.0)]
    assert won((0, "bf:y", 1, 2.0), (0, "bf:x", 1, 1.0)) == [(0, "bf:y", 1, 2.0)]


def test_winners_ascend_and_nothing_has_none() -> None:
    assert [row[0] for row in won((120, "roll", 1, 1.0), (0, "roll", 1, 1.0))] == [0, 120]
    assert len(winners(Versions.empty(), RANKS)) == 0


def test_the_newest_of_a_lane_keeps_its_withdrawals() -> None:
    """Without them a bar taken back would be taken back again at every fetch."""
    rows = (60, "bf:best", 2, GONE), (60, "bf:best", 1, 1.0), (0, "bf:best", 1, 1.0)
    newest = newest_of_lane(versions(*rows, (120, "roll", 5, 1.0)), "bf:best")
    assert newest.bars.ts.tolist() == [0, 60]
    assert newest.known.tolist() == [1, 2]
    assert newest.bars.has_prices.tolist() == [True, False]


def test_merge_keeps_every_version_once_in_one_order() -> None:
    a = versions((60, "roll", 1, 1.0), (0, "roll", 2, 1.0))
    b = versions((0, "roll", 1, 1.0), (0, "bf:best", 9, 1.0), (60, "roll", 1, 1.0))
    merged = merge([a, b, Versions.empty()])
    named = list(zip(merged.bars.ts.tolist(), merged.lane, merged.known.tolist(), strict=True))
    assert named == [(0, "bf:best", 9), (0, "roll", 1), (0, "roll", 2), (60, "roll", 1)]
    assert len(merge([])) == 0


def test_as_of_includes_the_moment_itself() -> None:
    both = versions((0, "roll", 5, 1.0), (0, "roll", 6, 2.0))
    assert as_of(both, 5).known.tolist() == [5]
    assert len(as_of(both, 4)) == 0


def test_a_known_of_numpy_is_shared_like_any_other() -> None:
    shared: list[Any] = [7, np.int64(7), np.array([7, 7])]
    for known in shared:
        assert Versions.of_lane(priced([0, 60]), "roll", known).known.tolist() == [7, 7]


def test_arrays_of_other_lengths_or_types_are_refused() -> None:
    bars = priced([0, 60])
    lane, known = np.array(["roll", "roll"], object), np.array([1, 2])
    with pytest.raises(InvalidValueError, match="of length 2"):
        Versions(bars, lane, known[:1])
    with pytest.raises(InvalidValueError, match="arrays of object and int64"):
        Versions(bars, lane, known.astype(np.float64))
    with pytest.raises(InvalidValueError, match="arrays of object and int64"):
        Versions(bars, lane.astype(str), known)
