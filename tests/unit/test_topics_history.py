"""Which records enter a snapshot, and when it is whole, without a broker."""

from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.testing import ManualClock
from topics import Cut, KafkaUnavailableError, RawMessage, latest_by_key, snapshot
from topics.history import PASSES_MAX
from topics.to_end import STALL_S


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


def test_an_end_that_has_not_moved_ends_it() -> None:
    assert not Cut(start=0, end=5).extend(5)


def test_a_moved_end_is_read_up_to_from_the_old_one() -> None:
    """What was read beyond the old end was thrown away: it is read again."""
    cut = Cut(start=0, end=5)
    cut.take([record(4), record(6)])
    assert cut.extend(8)
    assert (cut.next, cut.end) == (5, 8)
    assert offsets(cut.take([record(6), record(8)])) == [6]


def test_a_topic_that_never_rests_is_given_up_after_a_number_of_passes() -> None:
    cut = Cut(start=0, end=1)
    passes = 1
    while cut.extend(cut.end + 1):
        passes += 1
    assert passes == PASSES_MAX


class Scripted:
    """A reader of one partition that is told what its polls return, a second each."""

    topic = "t"
    partition = 0

    def __init__(self, end: int, *polls: tuple[list[int], int]) -> None:
        self.clock = ManualClock()
        self.position = -1
        self._end = end
        self.polls = list(polls)
        """Of each poll, the offsets that it returns and where the reader stands then."""

    def end(self) -> int:
        return self._end

    def seek(self, offset: int) -> None:
        self.position = offset

    def poll(self, timeout_s: float) -> list[RawMessage]:
        del timeout_s
        self.clock.advance(1)
        found, self.position = self.polls.pop(0) if self.polls else ([], self.position)
        return [record(offset) for offset in found]


def test_what_lies_beyond_the_end_ends_the_reading() -> None:
    """Nothing below it can come any more: nobody waits for the client to say so."""
    reader: Any = Scripted(5, ([2, 3, 5, 7], 8))
    assert offsets(snapshot(reader, 0, reader.clock).records) == [2, 3]
    assert reader.position == 5, "who goes on from here misses nothing"
    assert reader.clock.monotonic() == 1


def test_it_is_not_whole_before_the_position_is_there() -> None:
    """Markers and aborted records at the end are passed over in their own time."""
    reader: Any = Scripted(5, ([0, 3], 4), ([], 4), ([], 5), ([9], 10))
    assert offsets(snapshot(reader, 0, reader.clock).records) == [0, 3]
    assert reader.polls == [([9], 10)]


def test_an_empty_partition_is_whole_at_once() -> None:
    reader: Any = Scripted(0, ([0], 1))
    assert snapshot(reader, 0, reader.clock).end == 0
    assert len(reader.polls) == 1


def test_a_snapshot_that_stands_still_is_given_up() -> None:
    """A partition without a leader raises nothing by itself."""
    reader: Any = Scripted(5, ([1], 2))
    with pytest.raises(KafkaUnavailableError, match=r"t\[0\] stands at 2 of 5") as refused:
        snapshot(reader, 0, reader.clock)
    assert refused.value.retriable
    assert reader.clock.monotonic() == 1 + STALL_S


class Drawn(Scripted):
    """It may overshoot and stop short, and its end moves while it is read; no time passes."""

    def __init__(self, data: st.DataObject) -> None:
        super().__init__(end=0)
        self.visible = sorted(data.draw(st.sets(st.integers(0, 60))))
        self._data = data

    def end(self) -> int:
        self._end = self._data.draw(st.integers(self._end, 70))
        return self._end

    def poll(self, timeout_s: float) -> list[RawMessage]:
        del timeout_s
        left = [offset for offset in self.visible if offset >= self.position]
        batch = left[: self._data.draw(st.integers(0, 8))]
        self.position = batch[-1] + 1 if batch else self.position
        if len(batch) == len(left):
            self.position = max(self.position, self._end)  # the client passes the markers
        return [record(offset) for offset in batch]


@given(st.data())
def test_whatever_order_of_batches_and_ends_every_record_below_the_last_end_enters_once(
    data: st.DataObject,
) -> None:
    reader: Any = Drawn(data)
    found = snapshot(reader, 0, reader.clock)
    assert offsets(found.records) == [o for o in reader.visible if o < found.end]


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
