"""Reads what stands in topics to its end, for as long as the end comes nearer."""

from collections.abc import Iterator, Mapping
from typing import Protocol

from runtime import Clock, Deadline
from topics.errors import KafkaUnavailableError
from topics.history import STALL_S
from topics.messages import RawMessage
from topics.tail import Bounds, Place

_POLL_S = 0.5


class Following(Protocol):
    """A tail, as far as it matters here."""

    @property
    def behind(self) -> Mapping[Place, Bounds]:
        """What is still to be returned of what stood there at first; empty at the end."""
        ...

    def poll(self, timeout_s: float) -> list[RawMessage]:
        """Return the next records."""
        ...


def read_to_end(
    tail: Following, clock: Clock, stall_s: float = STALL_S
) -> Iterator[list[RawMessage]]:
    """Yield what stood in the topics when the tail was made, and perhaps more; some are empty.

    How long all of it takes depends on how much there is; that it ends is bounded by what may pass
    without a step towards the end. A client whose brokers are away, or whose partition has no
    leader, goes on waiting and raises nothing by itself.

    Args:
        tail: Not read from by anybody else meanwhile.
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
