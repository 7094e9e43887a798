"""Reading winners: prices first, versions only where an open time repeats."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from bars.frame import BarFrame
from bars.versions import Versions, winners
from bars.window import Window
from store._stretches import STRETCHES_MAX, replace, stretches

LANES = ("bf:a", "bf:b", "roll")
RANKS = {"bf:a": 2, "bf:b": 1, "roll": 0}


def frame(ts: list[int], price: list[float]) -> BarFrame:
    values = np.array(price, np.float64)
    return BarFrame(np.array(ts, np.int64), *(values.copy() for _ in range(5)))


def windows(*ts: int, interval: int = 1) -> list[Window]:
    return list(stretches(np.array(sorted(ts), np.int64), interval))


def test_bars_with_one_version_are_read_once() -> None:
    assert windows(0, 1, 2, 3) == []
    assert windows() == []


def test_repeats_that_are_near_are_one_stretch() -> None:
    assert windows(0, 5, 5, 6, 2_000, 2_005, 2_005, 9_000) == [Window(5, 2_006)]


def test_repeats_that_are_far_apart_are_read_apart() -> None:
    assert windows(5, 5, 5, 3_000, 3_000) == [Window(5, 6), Window(3_000, 3_001)]
    far = [t * 60 for t in (5, 5, 3_000, 3_000)]
    assert windows(*far, interval=60) == [Window(300, 301), Window(180_000, 180_001)]


def test_there_are_never_many_stretches() -> None:
    times = [t for k in range(100) for t in (k * k * 3_000, k * k * 3_000)]
    found = windows(*times)
    assert len(found) == STRETCHES_MAX
    assert found[0].start == 0
    assert found[-1].end == 99 * 99 * 3_000 + 1


def test_a_part_is_replaced_whole_even_by_nothing() -> None:
    found = frame([1, 2, 2, 3, 4], [1, 2, 2, np.nan, 4])
    assert replace(found, [Window(2, 3)], [BarFrame.empty()]).ts.tolist() == [1, 4]
    part = frame([2], [9])
    assert replace(found, [Window(2, 3)], [part]).close.tolist() == [1, 9, 4]


version = st.tuples(
    st.integers(0, 12).map(lambda k: k * 1_500), st.sampled_from(LANES), st.integers(1, 4)
)


@given(st.dictionaries(version, st.one_of(st.just(np.nan), st.integers(0, 3)), max_size=40))
def test_the_short_way_finds_the_winners_of_all_versions(
    stored: dict[tuple[int, str, int], float],
) -> None:
    """Times are drawn so far apart that some repeats join and some do not."""
    rows = sorted(stored.items())
    every = Versions(
        frame([key[0] for key, _ in rows], [price for _, price in rows]),
        np.array([key[1] for key, _ in rows], object),
        np.array([key[2] for key, _ in rows], np.int64),
    )

    def read_again(window: Window) -> BarFrame:
        inside = (every.bars.ts >= window.start) & (every.bars.ts < window.end)
        return winners(every.take(inside), RANKS).bars

    parts = stretches(every.bars.ts, 1)
    found = replace(every.bars, parts, [read_again(part) for part in parts])
    assert found.equals(winners(every, RANKS).bars)
