"""What a partition's history holds that the store may not show yet."""

import numpy as np
import pytest

from bars.versions import Versions
from bars.window import Window
from streams.conform.overlay import Entry, Overlay, entry_of
from streams.errors import MarkWentBackError
from tests.unit.judging import SERIES, bars_at, chunk, prices_of, slots

WHOLE = slots(0, 4)


def entry(price: float, offset: int, *, token: int = 0, known: int = 1) -> Entry:
    return entry_of(chunk(WHOLE, {1: price}, lease_token=token, known=known), offset)


def overlay(*entries: Entry) -> Overlay:
    made = Overlay(0)
    for each in entries:
        made.add(each)
    return made


def test_a_series_is_settled_once_the_mark_has_passed_its_last_record() -> None:
    found = overlay(entry(1.0, 10), entry(2.0, 12, known=2))
    found.advance(11)
    assert not found.settled(SERIES, WHOLE)
    found.advance(12)
    assert not found.settled(SERIES, WHOLE)
    found.advance(13)
    assert found.settled(SERIES, WHOLE)
    assert len(found) == 0


def test_what_is_on_its_way_elsewhere_does_not_unsettle_a_window() -> None:
    """Else the first changed bar of a long refetch would have every later one written again."""
    found = overlay(entry(1.0, 10))
    after = Window(WHOLE.end, 2 * WHOLE.end - WHOLE.start)
    assert found.settled(SERIES, after)
    assert not found.settled(SERIES, Window(WHOLE.end - 1, after.end))


def test_what_is_not_committed_is_never_passed() -> None:
    found = overlay(entry_of(chunk(WHOLE, {1: 1.0}, known=1)))
    found.advance(1_000)
    assert not found.settled(SERIES, WHOLE)
    found.commit([1_001])
    found.advance(1_001)
    assert not found.settled(SERIES, WHOLE)
    found.advance(1_002)
    assert found.settled(SERIES, WHOLE)


def test_a_mark_that_goes_back_is_refused() -> None:
    """What the overlay has dropped may be missing from an older store."""
    found = overlay()
    found.advance(20)
    with pytest.raises(MarkWentBackError):
        found.advance(19)


def test_its_versions_lie_on_top_of_the_stores() -> None:
    found = overlay(entry(5.0, 10, known=7))
    below = Versions.of_lane(bars_at({0: 1.0, 1: 2.0}), "bf:one", 3)
    both = found.versions(SERIES, WHOLE, below)
    assert sorted(zip(both.bars.close.tolist(), both.known.tolist(), strict=True)) == [
        (1.0, 3),
        (2.0, 3),
        (5.0, 7),
    ]
    assert prices_of(found.versions(SERIES, slots(2, 4), Versions.empty())) == {}


def test_the_token_of_an_overlapping_record_of_the_lane_counts() -> None:
    found = overlay(entry(1.0, 10, token=4), entry(1.0, 11, token=9, known=2))
    assert found.token(SERIES, "bf:one", slots(3, 8)) == 9
    assert found.token(SERIES, "bf:one", slots(4, 8)) == 0
    assert found.token(SERIES, "bf:two", slots(3, 8)) == 0


def test_it_is_full_at_its_limit_and_has_room_again_below() -> None:
    found = Overlay(0, bars_max=4)
    full = []
    for offset in (10, 11):
        found.add(entry(1.0, offset))
        full.append(found.full)
    found.advance(11)
    assert [*full, found.full] == [False, True, False]


def test_a_live_slice_covers_only_what_it_says() -> None:
    slice_ = chunk(WHOLE, {1: 1.0}, lane="roll", source="", known_each=np.array([8]))
    assert entry_of(slice_).windows == ()
    assert entry_of(slice_).versions.known.tolist() == [8]
    assert entry_of(chunk(WHOLE, {1: 1.0})).windows == (WHOLE,)
