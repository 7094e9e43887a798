"""What can go wrong inside an agent, beside the errors of the rooms that it uses."""

from bars.errors import SeamlessError


class StreamError(SeamlessError):
    """Base of the errors of this room."""


class DriverChangedError(StreamError):
    """The stream library no longer has what our safety depends on; refuse to run on it.

    Attributes:
        what: What is not there any more.
    """

    def __init__(self, what: str) -> None:
        super().__init__(f"the Kafka driver of Faust has changed: {what}")
        self.what = what


class UnplacedPartitionError(StreamError):
    """A record came from a partition whose start had not been chosen yet.

    Attributes:
        topic: The topic.
        partition: Its partition.
    """

    def __init__(self, topic: str, partition: int) -> None:
        super().__init__(f"{topic}[{partition}]: a record came before its start was chosen")
        self.topic = topic
        self.partition = partition


class MarkWentBackError(StreamError):
    """The VisibleMark of a partition is lower than it was: what we remember is too short.

    Attributes:
        partition: The partition.
        seen: The mark we had.
        found: The mark there is.
    """

    def __init__(self, partition: int, seen: int, found: int) -> None:
        super().__init__(
            f"partition {partition}: everything was visible below {seen}, now only below {found}"
        )
        self.partition = partition
        self.seen = seen
        self.found = found


class StoppedError(StreamError):
    """The process was asked to stop while it was waiting for somebody else."""

    def __init__(self, waiting_for: str) -> None:
        super().__init__(f"stopped while waiting: {waiting_for}")
        self.waiting_for = waiting_for


class InputGoneError(StreamError):
    """A topic is shorter than what was read of it before: it is not the same topic any more.

    Attributes:
        topic: The topic.
        partition: Its partition.
        reached: How far it had been read.
        end: Where it ends now.
    """

    def __init__(self, topic: str, partition: int, reached: int, end: int) -> None:
        super().__init__(
            f"{topic}[{partition}] was read up to {reached} and now ends at {end}: it was deleted "
            "and made anew, or Kafka was put back; use another kafka.prefix"
        )
        self.topic = topic
        self.partition = partition
        self.reached = reached
        self.end = end


class StoreBehindError(StreamError):
    """The store holds less than the mark says: an older copy was put back and is being filled.

    Attributes:
        partition: The partition.
        proved: The history offset that the ledger had reached.
        found: The one that it has now.
    """

    retriable = True

    def __init__(self, partition: int, proved: int, found: int) -> None:
        super().__init__(
            f"partition {partition}: the ledger had reached history offset {proved} and is at "
            f"{found} now; materialize has to fill it again"
        )
        self.partition = partition
        self.proved = proved
        self.found = found


class OverlayFullError(StreamError):
    """History is too far ahead of the store to be remembered.

    Attributes:
        partition: The partition.
        mark: Below this offset of history everything is visible.
    """

    retriable = True

    def __init__(self, partition: int, mark: int) -> None:
        super().__init__(
            f"partition {partition}: history is too far ahead of what is visible (below {mark})"
        )
        self.partition = partition
        self.mark = mark


class HangingCallError(StreamError):
    """A call into a Kafka client does not come back, long after its own time limit.

    Attributes:
        what: Which call.
        seconds: How long it had.
    """

    def __init__(self, what: str, seconds: float) -> None:
        super().__init__(f"{what} did not come back within {seconds:g} s")
        self.what = what
        self.seconds = seconds


class OwnerLostError(StreamError):
    """What was known of a partition cannot be trusted any more; it has to be read again.

    Attributes:
        partition: The partition.
        reason: Why.
    """

    retriable = True

    def __init__(self, partition: int, reason: str) -> None:
        super().__init__(f"partition {partition} is taken over again: {reason}")
        self.partition = partition
        self.reason = reason


class TableSuspendedError(StreamError):
    """A table acknowledges rows and does not apply them; a person has to resume it.

    Attributes:
        table: Which one.
    """

    retriable = True

    def __init__(self, table: str) -> None:
        super().__init__(f"table {table} is suspended; nothing is acknowledged until it is resumed")
        self.table = table
