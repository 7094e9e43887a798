"""The order of versions: what a reader gets never depends on how, when or how often they came."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from bars import BarFrame, Versions, newest_of_lane, winners
from bars.versions import as_of, merge, newest
from tests.unit.bars_help import priced

LANES = ["bf:a", "bf:b", "bf:new", "bf:other", "roll"]
RANKS = {"bf:a": 2, "bf:b": 1, "roll": 0}

Name = tuple[int, str, int]

NAMES = st.tuples(st.integers(0, 3), st.sampled_from(LANES), st.integers(1, 4))


def price_of(name: Name) -> float:
    """Return the price of a version: a fact that its name decides; a fifth are withdrawals."""
    ts, lane, known = name
    number = ts * 100 + LANES.index(lane) * 10 + known
    return float("nan") if number % 5 == 0 else float(number % 7)


def versions_of(names: list[Name]) -> Versions:
    return Versions(
        BarFrame.concat([priced([name[0]], price_of(name)) for name in names]),
        np.array([name[1] for name in names], object),
        np.array([name[2] for name in names], np.int64),
    )


def same(a: Versions, b: Versions) -> bool:
    return (
        a.bars.equals(b.bars)
        and a.lane.tolist() == b.lane.tolist()
        and a.known.tolist() == b.known.tolist()
    )


SETS = st.lists(NAMES, max_size=30).map(versions_of)


def naive_winners(names: set[Name]) -> list[Name]:
    """Return what the design says, one bar after another."""
    found = []
    for ts in sorted({name[0] for name in names}):
        newest_in_lane: dict[str, Name] = {}
        for name in sorted(names):
            if name[0] == ts:
                newest_in_lane[name[1]] = name
        priced_ones = [n for n in newest_in_lane.values() if not np.isnan(price_of(n))]
        if priced_ones:
            found.append(max(priced_ones, key=lambda n: (RANKS.get(n[1], -1), n[2], n[1])))
    return found


@given(SETS, SETS)
def test_merge_is_commutative(a: Versions, b: Versions) -> None:
    assert same(merge([a, b]), merge([b, a]))


@given(SETS, SETS, SETS)
def test_merge_is_associative(a: Versions, b: Versions, c: Versions) -> None:
    assert same(merge([merge([a, b]), c]), merge([a, merge([b, c])]))
    assert same(merge([a, b, c]), merge([merge([a, b]), c]))


@given(SETS)
def test_merge_is_idempotent(a: Versions) -> None:
    once = merge([a])
    assert same(merge([a, a]), once)
    assert same(merge([once]), once)


@given(st.lists(NAMES, max_size=30))
def test_the_winner_is_the_newest_of_the_highest_lane_that_has_prices(names: list[Name]) -> None:
    found = winners(versions_of(names), RANKS)
    won = list(zip(found.bars.ts.tolist(), found.lane, found.known.tolist(), strict=True))
    assert won == naive_winners(set(names))


@given(st.lists(NAMES, max_size=20), st.data())
def test_winners_do_not_depend_on_arrival_or_repetition(
    names: list[Name], data: st.DataObject
) -> None:
    """A zombie, a replay or a late record can only say again what was said."""
    shuffled = data.draw(st.permutations(names))
    again = data.draw(st.lists(st.sampled_from(names))) if names else []
    assert same(
        winners(versions_of(names), RANKS), winners(versions_of([*shuffled, *again]), RANKS)
    )


@given(SETS, SETS)
def test_winners_of_what_two_stores_know_need_only_the_newest_of_each(
    a: Versions, b: Versions
) -> None:
    """A store may answer with the newest of each lane alone."""
    assert same(winners(merge([a, b]), RANKS), winners(merge([newest(a), newest(b)]), RANKS))


@given(SETS)
def test_the_newest_of_each_lane_are_those_of_the_lanes(a: Versions) -> None:
    parts = [newest_of_lane(a, lane) for lane in LANES]
    assert same(merge(parts), merge([newest(a)]))
    assert len(merge(parts)) == len(newest(a))


@given(SETS, st.integers(0, 5), st.integers(0, 5))
def test_what_was_known_at_a_time_does_not_change_later(a: Versions, t: int, later: int) -> None:
    early = merge([as_of(a, t)])
    assert same(merge([as_of(as_of(a, t + later), t)]), early)
    assert (early.known <= t).all()
