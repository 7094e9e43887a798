"""Reading topics to their end, on a clock moved by hand: what is bounded is standing still."""

from dataclasses import dataclass, field

import pytest

from runtime.testing import ManualClock
from topics import Bounds, KafkaUnavailableError, Place, RawMessage, read_to_end

FIRST, SECOND = ("a.v1", 0), ("b.v1", 1)
STALL_S = 10.0


def record(place: Place, offset: int) -> RawMessage:
    topic, partition = place
    return RawMessage(
        topic=topic, partition=partition, offset=offset, key=None, value=b"", timestamp_ms=0
    )


@dataclass
class Told:
    """A tail whose polls take a while and return what was written down."""

    clock: ManualClock
    ends: dict[Place, int]
    polls: list[tuple[float, list[RawMessage]]]
    """Of each poll, how long it takes and what it returns; then nothing comes, a second each."""

    positions: dict[Place, int] = field(default_factory=dict)

    @property
    def behind(self) -> dict[Place, Bounds]:
        """What is still to be returned."""
        stands = {place: self.positions.get(place, 0) for place in self.ends}
        return {p: Bounds(stands[p], end) for p, end in self.ends.items() if stands[p] < end}

    def poll(self, timeout_s: float) -> list[RawMessage]:
        """Return the next batch."""
        assert timeout_s < STALL_S
        seconds, batch = self.polls.pop(0) if self.polls else (1.0, [])
        self.clock.advance(seconds)
        for message in batch:
            self.positions[message.topic, message.partition] = message.offset + 1
        return batch


def read(tail: Told) -> list[int]:
    return [m.offset for batch in read_to_end(tail, tail.clock, STALL_S) for m in batch]


def test_what_stood_there_is_read_and_then_it_ends() -> None:
    polls = [(0.0, [record(FIRST, 0)]), (1.0, []), (0.0, [record(FIRST, 1), record(FIRST, 2)])]
    tail = Told(ManualClock(), {FIRST: 2}, [*polls, (0.0, [record(FIRST, 3)])])
    assert read(tail) == [0, 1, 2]


def test_nothing_is_asked_for_where_nothing_stands() -> None:
    assert read(Told(ManualClock(), {FIRST: 0}, [(0.0, [record(FIRST, 0)])])) == []


def test_a_broker_that_says_nothing_ends_it() -> None:
    """The client raises no error of its own while a partition has no leader."""
    tail = Told(ManualClock(), {FIRST: 5, SECOND: 3}, [(1.0, [record(FIRST, 1)])])
    with pytest.raises(KafkaUnavailableError, match="nothing came for 10 s") as refused:
        read(tail)
    assert refused.value.retriable
    assert refused.value.action == "read a.v1, b.v1 to the end"
    assert "a.v1[0] stands at 2 of 5, b.v1[1] stands at 0 of 3" in refused.value.reason
    assert tail.clock.monotonic() == 11


def test_a_long_way_is_no_fault() -> None:
    """Slow and large, but each wait is shorter than the limit."""
    polls = [(9.0, [record(FIRST, offset)]) for offset in range(100)]
    tail = Told(ManualClock(), {FIRST: 100}, polls)
    assert read(tail) == list(range(100))
    assert tail.clock.monotonic() == 900


def test_a_partition_that_is_written_to_without_a_pause_hides_no_other() -> None:
    """What comes beyond the end is no step towards it."""
    polls = [(1.0, [record(FIRST, offset)]) for offset in range(60)]
    tail = Told(ManualClock(), {FIRST: 1, SECOND: 1}, polls)
    with pytest.raises(KafkaUnavailableError, match=r"b\.v1\[1\] stands at 0 of 1"):
        read(tail)
    assert tail.clock.monotonic() == 11


def test_the_reader_s_own_work_is_not_counted() -> None:
    """A record may be decoded by a registry that is away for a minute."""
    clock = ManualClock()
    polls = [(0.0, [record(FIRST, 0)]), (1.0, []), (0.0, [record(FIRST, 1)])]
    found: list[RawMessage] = []
    for batch in read_to_end(Told(clock, {FIRST: 2}, polls), clock, STALL_S):
        found += batch
        clock.advance(STALL_S * 2 if batch else 0)
    assert len(found) == 2
