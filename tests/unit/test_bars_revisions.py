"""What a chunk changes for a reader, and what a lane takes back: single cases."""

import numpy as np
import pytest

from avro_schemas import Revision, RevisionKind
from bars import BarFrame, Grid, Versions, Window, newest_of_lane
from bars.conformance import revisions, same_as_newest, withdraw, withdrawals
from tests.unit.bars_help import priced, versions

BEST, SECOND = "bf:best", "bf:second"
RANKS = {BEST: 2, SECOND: 1, "roll": 0}
GONE = float("nan")


def said(before: Versions, lane: str, *rows: tuple[int, float]) -> list[Revision]:
    """Return the revisions of a chunk of (ts, price)."""
    bars = BarFrame.concat(priced([ts], price) for ts, price in rows)
    return list(revisions(before, bars, lane, RANKS))


def told(found: list[Revision]) -> list[tuple[int, str, float | None, float | None]]:
    """Return revisions as (ts, kind, open before, open after)."""
    return [
        (
            r.ts,
            r.kind.value,
            None if r.before is None else r.before.open,
            None if r.after is None else r.after.open,
        )
        for r in found
    ]


def test_a_bar_that_nobody_had_is_no_revision() -> None:
    assert said(Versions.empty(), BEST, (0, 1.0)) == []
    assert said(versions((60, BEST, 1, 1.0)), BEST, (0, 1.0)) == []


def test_saying_it_again_is_no_revision() -> None:
    assert said(versions((0, BEST, 1, 1.0)), BEST, (0, 1.0)) == []
    assert said(versions((0, BEST, 1, GONE)), BEST, (0, GONE)) == []


def test_another_value_is_a_change_from_what_a_reader_got() -> None:
    before = versions((0, BEST, 1, 1.0), (0, "roll", 9, 5.0))
    assert told(said(before, BEST, (0, 2.0))) == [(0, "CHANGED", 1.0, 2.0)]


def test_every_value_of_the_bar_is_told() -> None:
    (revision,) = said(versions((0, BEST, 1, 1.0)), BEST, (0, 2.0))
    assert revision.before is not None
    assert revision.after is not None
    assert (revision.before.high, revision.before.low) == (2.0, 0.0)
    assert (revision.after.close, revision.after.volume) == (2.5, 10.0)


def test_a_higher_lane_that_says_otherwise_changes_the_bar() -> None:
    assert told(said(versions((0, SECOND, 9, 1.0)), BEST, (0, 2.0))) == [(0, "CHANGED", 1.0, 2.0)]


def test_a_higher_lane_that_says_the_same_changes_nothing() -> None:
    assert said(versions((0, SECOND, 9, 1.0)), BEST, (0, 1.0)) == []


def test_a_lower_lane_that_says_otherwise_is_outranked() -> None:
    before = versions((0, BEST, 1, 1.0))
    assert told(said(before, SECOND, (0, 2.0))) == [(0, "OUTRANKED", 1.0, 2.0)]
    assert said(before, SECOND, (0, 1.0)) == []


def test_an_outranked_bar_is_told_once() -> None:
    """Its lane says nothing new when the rest of the chunk changed."""
    before = versions((0, BEST, 1, 1.0), (0, SECOND, 2, 2.0), (60, SECOND, 2, 2.0))
    assert told(said(before, SECOND, (0, 2.0), (60, 3.0))) == [(60, "CHANGED", 2.0, 3.0)]


def test_a_withdrawn_bar_that_was_the_winner_is_withdrawn() -> None:
    before = versions((0, BEST, 1, 1.0))
    assert told(said(before, BEST, (0, GONE))) == [(0, "WITHDRAWN", 1.0, None)]


def test_a_withdrawal_is_told_as_what_the_chunk_says_although_a_lower_lane_steps_in() -> None:
    before = versions((0, BEST, 1, 1.0), (0, SECOND, 1, 2.0))
    assert told(said(before, BEST, (0, GONE))) == [(0, "WITHDRAWN", 1.0, None)]


def test_a_withdrawal_below_the_winner_is_outranked() -> None:
    before = versions((0, BEST, 1, 1.0), (0, SECOND, 1, 2.0))
    assert told(said(before, SECOND, (0, GONE))) == [(0, "OUTRANKED", 1.0, None)]


def test_a_lane_that_never_had_the_bar_takes_nothing_back() -> None:
    assert said(versions((0, BEST, 1, 1.0)), SECOND, (0, GONE)) == []


def test_a_bar_that_every_lane_had_withdrawn_is_restored() -> None:
    before = versions((0, BEST, 1, 1.0), (0, BEST, 2, GONE))
    assert told(said(before, BEST, (0, 1.0))) == [(0, "RESTORED", None, 1.0)]
    assert told(said(before, SECOND, (0, 3.0))) == [(0, "RESTORED", None, 3.0)]


def test_a_lane_that_comes_back_over_a_lower_one_changes_the_bar() -> None:
    """A reader had the lower lane's bar in the meantime."""
    before = versions((0, BEST, 1, 1.0), (0, BEST, 2, GONE), (0, SECOND, 1, 2.0))
    assert told(said(before, BEST, (0, 1.0))) == [(0, "CHANGED", 2.0, 1.0)]
    assert said(before, BEST, (0, 2.0)) == []


def test_lanes_without_a_rank_take_turns_by_known() -> None:
    before = versions((0, "bf:x", 1, 1.0), (0, "bf:y", 2, 2.0))
    assert told(said(before, "bf:x", (0, 1.0))) == [(0, "CHANGED", 2.0, 1.0)]


def test_the_sign_of_zero_is_a_change() -> None:
    before = Versions.of_lane(priced([0], 0.0), BEST, 1)
    assert len(revisions(before, priced([0], -0.0), BEST, RANKS)) == 1


def test_revisions_ascend_whatever_their_kind() -> None:
    before = versions((0, BEST, 1, 1.0), (60, BEST, 1, 1.0), (120, BEST, 1, GONE))
    found = said(before, BEST, (0, GONE), (60, 2.0), (120, 1.0), (180, 1.0))
    assert [r.kind for r in found] == [
        RevisionKind.WITHDRAWN,
        RevisionKind.CHANGED,
        RevisionKind.RESTORED,
    ]
    assert [r.ts for r in found] == [0, 60, 120]


def test_known_may_be_given_and_a_replayed_chunk_changes_nothing() -> None:
    before = versions((0, BEST, 1, 1.0), (0, BEST, 7, 2.0))
    assert revisions(before, priced([0], 2.0), BEST, RANKS, known=7) == ()


def taken_back(stored: list[tuple[int, float]], covered: list[Window], ts: list[int]) -> list[int]:
    newest = newest_of_lane(versions(*((t, BEST, 1, price) for t, price in stored)), BEST)
    return list(withdrawals(newest, covered, Grid(60), priced(ts)).tolist())


def test_a_covered_slot_without_a_bar_is_withdrawn_where_the_lane_had_prices() -> None:
    stored = [(0, 1.0), (60, 1.0), (120, GONE), (180, 1.0)]
    assert taken_back(stored, [Window(0, 180)], [0]) == [60]


def test_a_slot_that_the_chunk_does_not_cover_is_left_alone() -> None:
    """A live slice covers the bars that it holds, never the space between."""
    stored = [(0, 1.0), (60, 1.0), (120, 1.0)]
    assert taken_back(stored, [Window(0, 60), Window(120, 180)], [0]) == [120]
    assert taken_back(stored, [], []) == []


def test_what_is_stored_off_the_grid_is_no_slot() -> None:
    assert taken_back([(30, 1.0)], [Window(0, 60)], []) == []


def test_withdrawn_rows_are_put_in_their_places() -> None:
    bars = withdraw(priced([0, 120]), np.array([60, 180]))
    assert bars.ts.tolist() == [0, 60, 120, 180]
    assert bars.has_prices.tolist() == [True, False, True, False]
    assert withdraw(bars, np.empty(0, np.int64)) is bars


@pytest.mark.parametrize(
    ("ts", "price", "same"),
    [
        ([0, 60], 1.0, True),
        ([60], 1.0, True),
        ([], 1.0, True),
        ([0], 2.0, False),
        ([120], 1.0, False),
        ([0, 120], 1.0, False),
    ],
)
def test_no_news_is_when_every_row_is_the_newest_already(
    ts: list[int], price: float, *, same: bool
) -> None:
    newest = newest_of_lane(versions((0, BEST, 1, 1.0), (60, BEST, 1, 1.0)), BEST)
    assert same_as_newest(newest, priced(ts, price)) is same


def test_a_withdrawal_said_again_is_no_news_and_nothing_stored_is() -> None:
    gone = newest_of_lane(versions((0, BEST, 1, 1.0), (0, BEST, 2, GONE)), BEST)
    assert same_as_newest(gone, priced([0], GONE))
    assert not same_as_newest(Versions.empty(), priced([0]))
    assert same_as_newest(Versions.empty(), BarFrame.empty())
