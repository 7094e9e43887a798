"""Reads what stands in topics to its end, for as long as the end comes nearer.

Whatever reads to an end does it here: tails of whole topics, snapshots and marks of a partition.
"""

from collections.abc import Iterator, Mapping
from typing import Protocol

from runtime import Clock, Deadline
from topics.errors import KafkaUnavailableError
from topics.messages import RawMessage
from topics.reader import Reader
from topics.tail import Bounds, Place

STALL_S = 60.0
"""Reading that comes no nearer to its end for so long is given up."""

_POLL_S = 0.5


class Following(Protocol):
    """A tail, or a reader on its way, as far as it matters here."""

    @property
    def behind(self) -> Mapping[Place, Bounds]:
        """What is still to be returned of what stood there at first; empty at the end."""
        ...

    def poll(self, timeout_s: float) -> list[RawMessage]:
        """Return the next records."""
        ...


class Upto:
    """A reader on its way from where it stands to an offset of its partition."""

    def __init__(self, reader: Reader, end: int) -> None:
        self._reader = reader
        self._end = end

    @property
    def behind(self) -> Mapping[Place, Bounds]:
        """What is still to be returned; empty once nothing below the end can come any more."""
        stands = self._reader.position
        if stands >= self._end:
            return {}
        return {(self._reader.topic, self._reader.partition): Bounds(stands, self._end)}

    def poll(self, timeout_s: float) -> list[RawMessage]:
        """Return the next records, perhaps of beyond the end."""
        return self._reader.poll(timeout_s)


def read_to_end(
    tail: Following, clock: Clock, stall_s: float = STALL_S
) -> Iterator[list[RawMessage]]:
    """Yield in batches what stood there when `tail` was made, and perhaps more; some are empty.

    How long all of it takes depends on how much there is; that it ends is bounded by what may pass
    without a step towards the end. A client whose brokers are away, or whose partition has no
    leader, goes on waiting and raises nothing by itself.

    Args:
        tail: A `Tail` or an `Upto`, not read from by anybody else meanwhile.
        clock: Measures the waiting; what the caller does with the records does not count.
        stall_s: How long the end may not come nearer.

    Raises:
        OffsetGoneError: Retention was faster than this.
        KafkaUnavailableError: Nothing came for too long, or a broker cannot serve just now.
        KafkaRefusedError: It will not.
    """
    behind = tail.behind
    deadline = Deadline.after(clock, stall_s)
    while behind:
        batch = tail.poll(_POLL_S)
        left = tail.behind
        if left == behind and deadline.expired:
            raise _stalled(behind, stall_s)
        yield batch
        if left != behind:
            behind, deadline = left, Deadline.after(clock, stall_s)


def _stalled(behind: Mapping[Place, Bounds], stall_s: float) -> KafkaUnavailableError:
    names = ", ".join(sorted({topic for topic, _ in behind}))
    missing = ", ".join(
        f"{topic}[{partition}] stands at {bound.low} of {bound.end}"
        for (topic, partition), bound in sorted(behind.items())
    )
    return KafkaUnavailableError(
        f"read {names} to the end", f"{missing}, and nothing came for {stall_s:.0f} s"
    )
