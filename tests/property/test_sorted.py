"""The machine's own containers against what they stand for: a dict, and windows slot by slot."""

from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st

from bars.window import Window, intersect, merge, subtract
from coordinator.machine._ranges import (
    added,
    first_outside,
    inside,
    last_outside,
    overlaps,
    without,
)
from coordinator.machine._sorted import RUN_MAX, RUN_MIN, SortedMap

keys = st.integers(0, 2_000)
changes = st.lists(st.tuples(keys, st.one_of(st.none(), st.integers())), max_size=50)
edges = st.tuples(st.integers(0, 60), st.integers(0, 60)).filter(lambda e: e[0] < e[1])
windows = edges.map(lambda edge: Window(*edge))
ranges = st.lists(windows, max_size=8).map(merge)


@given(st.lists(keys, max_size=3 * RUN_MAX), changes)
def test_a_sorted_map_is_a_dict_in_the_order_of_its_keys(
    first: list[int], then: list[tuple[int, int | None]]
) -> None:
    plain: dict[int, int] = dict.fromkeys(first, 0)
    made = SortedMap(plain.items())
    for key, value in then:
        before, kept = made, dict(made)
        if value is None:
            plain.pop(key, None)
            made = made.drop(key)
        else:
            plain[key] = value
            made = made.put(key, value)
        assert dict(before) == kept, "the one before stays as it was"
    assert list(made.items()) == sorted(plain.items())
    assert len(made) == len(plain)
    assert made == SortedMap(plain.items()), "equal, however it came about"
    assert made.first() == (min(plain.items()) if plain else None)


@given(st.dictionaries(keys, st.integers(), max_size=2 * RUN_MAX), keys, keys)
def test_parts_of_a_sorted_map_are_found_by_key(plain: dict[int, int], low: int, high: int) -> None:
    made = SortedMap(plain.items())
    expected = sorted(item for item in plain.items() if low <= item[0] < high)
    assert list(made.between(low, high)) == expected
    assert list(made.between(low)) == sorted(i for i in plain.items() if i[0] >= low)
    below = sorted(item for item in plain.items() if item[0] < low)
    assert made.before(low) == (below[-1] if below else None)
    assert made.get(low) == plain.get(low)
    assert (low in made) == (low in plain)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**32))
def test_a_sorted_map_stays_right_while_it_grows_and_empties(seed: int) -> None:
    order = list(range(3_000))
    Random(seed).shuffle(order)
    made: SortedMap[int, int] = SortedMap()
    for key in order:
        made = made.put(key, key)
    assert list(made) == list(range(3_000))
    for number, key in enumerate(order):
        made = made.drop(key)
        assert len(made) == 2_999 - number
        assert len(made._firsts) <= len(made) / RUN_MIN + 2, "runs do not dwindle one by one"
        assert key not in made
    assert made == SortedMap()


@given(ranges, windows)
def test_a_change_at_one_place_is_the_change_to_the_whole(
    held: tuple[Window, ...], window: Window
) -> None:
    assert inside(held, window) == intersect(held, (window,))
    assert without(held, window) == subtract(held, (window,))
    assert added(held, window) == merge((*held, window))
    assert overlaps(held, window) == bool(intersect(held, (window,)))


@given(ranges, ranges)
def test_what_nobody_has_is_found_from_either_end(
    wanted: tuple[Window, ...], taken: tuple[Window, ...]
) -> None:
    free = [ts for window in subtract(wanted, taken) for ts in range(window.start, window.end)]
    assert first_outside(wanted, taken) == min(free, default=None)
    assert last_outside(wanted, taken) == max(free, default=None)
