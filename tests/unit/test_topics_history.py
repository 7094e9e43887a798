"""Which records enter a snapshot: the decision, without a broker."""

from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from topics import Cut, RawMessage, latest_by_key
from topics.history import PASSES_MAX


def record(offset: int, key: bytes = b"k", value: bytes | None = b"v") -> RawMessage:
    """Return a record at an offset."""
    return RawMessage(
        topic="t", partition=0, offset=offset, key=key, value=value, timestamp_ms=offset
    )


def offsets(records: Sequence[RawMessage]) -> list[int]:
    """Return where records stand."""
    return [r.offset for r in records]


def test_a_record_at_the_end_or_beyond_never_enters() -> None:
    """The client jumps over a marker at H-1 and hands out what stands behind it."""
    cut = Cut(start=0, end=5)
    assert offsets(cut.take([record(2), record(3), record(5), record(7)])) == [2, 3]
    assert cut.reached(position=4)  # nothing below 5 can come any more


def test_it_is_not_whole_before_the_position_is_there() -> None:
    cut = Cut(start=0, end=5)
    cut.take([record(0), record(3)])
    assert not cut.reached(position=4)
    assert cut.reached(position=5)


def test_an_end_that_has_not_moved_ends_it() -> None:
    assert not Cut(start=0, end=5).extend(5)


def test_a_moved_end_is_read_up_to_from_the_old_one() -> None:
    """What was read beyond the old end was thrown away: it is read again."""
    cut = Cut(start=0, end=5)
    cut.take([record(4), record(6)])
    assert cut.extend(8)
    assert (cut.next, cut.end) == (5, 8)
    assert not cut.reached(position=5)
    assert offsets(cut.take([record(6), record(8)])) == [6]


def test_a_topic_that_never_rests_is_given_up_after_a_number_of_passes() -> None:
    cut = Cut(start=0, end=1)
    passes = 1
    while cut.extend(cut.end + 1):
        passes += 1
    assert passes == PASSES_MAX


def test_an_empty_partition_is_whole_at_once() -> None:
    assert Cut(start=0, end=0).reached(position=0)


@given(st.data())
def test_whatever_order_of_batches_and_ends_every_record_below_the_last_end_enters_once(
    data: st.DataObject,
) -> None:
    """A reader that may overshoot, stop short, and an end that moves while it reads."""
    visible = sorted(data.draw(st.sets(st.integers(0, 60))))
    cut = Cut(start=0, end=data.draw(st.integers(0, 60)))
    entered: list[int] = []
    going_on = True
    while going_on:
        position = cut.next
        while not cut.reached(position):
            size = data.draw(st.integers(0, 8))
            batch = [o for o in visible if o >= position][:size]
            position = batch[-1] + 1 if batch else position
            if not [o for o in visible if o >= position]:
                position = max(position, cut.end)  # nothing left: the client passes the markers
            entered += offsets(cut.take([record(o) for o in batch]))
        going_on = cut.extend(data.draw(st.integers(cut.end, 70)))
    assert entered == [o for o in visible if o < cut.end]


def test_the_last_record_of_a_key_holds_and_a_tombstone_removes_it() -> None:
    found = latest_by_key(
        [
            record(0, b"a", b"1"),
            record(1, b"b", b"1"),
            record(2, b"a", b"2"),
            record(3, b"b", None),
            record(4, b"c", None),
        ]
    )
    assert {key: message.value for key, message in found.items()} == {b"a": b"2"}
