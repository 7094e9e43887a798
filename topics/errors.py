"""What can go wrong between a record and a topic.

Who reads branches on two facts: `retriable` (try again, nothing changed), and whether it is an
`UnreadableRecordError` (the bytes can never be right: to the dead letter topic).
"""

from typing import ClassVar

from bars.errors import SeamlessError


class TopicsError(SeamlessError):
    """Base of the errors of this room."""


class KafkaUnavailableError(TopicsError):
    """No broker answered, or one answered that it cannot serve just now.

    Attributes:
        action: What was tried.
        reason: What the client said.
    """

    retriable = True

    def __init__(self, action: str, reason: str) -> None:
        super().__init__(f"{action}: Kafka could not serve it: {reason}")
        self.action = action
        self.reason = reason


class KafkaRefusedError(TopicsError):
    """A broker or the client refused; the same call again will be refused again.

    Attributes:
        action: What was tried.
        code: The client's name of the refusal, e.g. `TOPIC_AUTHORIZATION_FAILED`.
        reason: What it said.
    """

    def __init__(self, action: str, code: str, reason: str) -> None:
        super().__init__(f"{action}: refused with {code}: {reason}")
        self.action = action
        self.code = code
        self.reason = reason


class DeliveryError(TopicsError):
    """A record was not acknowledged; it may nevertheless be in the topic.

    Attributes:
        topic: Where it should have gone.
        reason: What the client said.
    """

    retriable = True

    def __init__(self, topic: str, reason: str) -> None:
        super().__init__(f"{topic}: a record was not acknowledged: {reason}")
        self.topic = topic
        self.reason = reason


class ProducerFullError(TopicsError):
    """The producer's queue stayed full for as long as `send` may wait.

    Attributes:
        topic: Where the record should have gone.
        waited_s: How long there was no room.
    """

    retriable = True

    def __init__(self, topic: str, waited_s: float) -> None:
        super().__init__(f"{topic}: no room in the producer's queue for {waited_s:.1f} s")
        self.topic = topic
        self.waited_s = waited_s


class FencedError(TopicsError):
    """Another process has taken over this transactional id: stop, and change nothing more.

    A process that was frozen until the broker itself ended its transaction gets the same.

    Attributes:
        transactional_id: The id that is somebody else's now.
    """

    def __init__(self, transactional_id: str, reason: str) -> None:
        super().__init__(
            f"{transactional_id}: fenced off, another producer may have taken over: {reason}"
        )
        self.transactional_id = transactional_id
        self.reason = reason


class AbortedTransactionError(TopicsError):
    """The transaction was aborted and nothing of it is visible: do it again from its start.

    Attributes:
        transactional_id: Whose transaction it was.
    """

    retriable = True

    def __init__(self, transactional_id: str, reason: str) -> None:
        super().__init__(f"{transactional_id}: the transaction was aborted: {reason}")
        self.transactional_id = transactional_id
        self.reason = reason


class UncertainTransactionError(TopicsError):
    """Nobody answered in time whether the transaction was committed: start a new producer.

    Its `start` ends the old transaction one way or the other; then `committed` tells which.

    Attributes:
        transactional_id: Whose transaction it is.
    """

    def __init__(self, transactional_id: str, action: str, reason: str) -> None:
        super().__init__(f"{transactional_id}: {action} has no certain end: {reason}")
        self.transactional_id = transactional_id
        self.action = action
        self.reason = reason


class NotOwnerError(TopicsError):
    """The group has given the partitions to somebody else: what was read will be read there.

    Attributes:
        group: The consumer group.
    """

    def __init__(self, group: str, reason: str) -> None:
        super().__init__(f"{group}: the partitions belong to another member now: {reason}")
        self.group = group
        self.reason = reason


class OffsetGoneError(TopicsError):
    """Retention took the offset that was to be read next, or it was never written.

    Attributes:
        topic: The topic.
        partition: Its partition.
        offset: What was asked for.
    """

    def __init__(self, topic: str, partition: int, offset: int) -> None:
        super().__init__(f"{topic}[{partition}]: there is nothing to read at offset {offset}")
        self.topic = topic
        self.partition = partition
        self.offset = offset


class PartitionCountError(TopicsError):
    """Topics exist with another number of partitions, which can never be changed.

    Attributes:
        found: Number of partitions by topic.
        wanted: How many the configuration says.
    """

    def __init__(self, found: dict[str, int], wanted: int) -> None:
        listed = ", ".join(f"{topic} has {count}" for topic, count in sorted(found.items()))
        super().__init__(
            f"kafka.partitions must be what the topics were created with and is {wanted}: "
            f"{listed}; set it to that number, or use another kafka.prefix"
        )
        self.found = found
        self.wanted = wanted


class RegistryUnavailableError(TopicsError):
    """The registry did not answer, or not as one, for as long as the caller would wait.

    Attributes:
        action: What was asked.
        reason: What happened last.
    """

    retriable = True

    def __init__(self, action: str, reason: str) -> None:
        super().__init__(f"{action}: the schema registry did not answer: {reason}")
        self.action = action
        self.reason = reason


class RegistryRefusedError(TopicsError):
    """The registry answered that it will not.

    Attributes:
        action: What was asked.
        status: HTTP status.
        code: The registry's own number, 0 without one.
        reason: What it said.
    """

    def __init__(self, action: str, status: int, code: int, reason: str) -> None:
        super().__init__(f"{action}: the registry refused with {status}: {reason}")
        self.action = action
        self.status = status
        self.code = code
        self.reason = reason


class IncompatibleSchemaError(RegistryRefusedError):
    """The subject's compatibility level forbids the schema."""


class NotRegisteredError(TopicsError):
    """The schema in the code is not registered under its subject: `seamless topics apply`.

    Attributes:
        subject: The subject.
    """

    def __init__(self, subject: str) -> None:
        super().__init__(
            f"{subject}: its schema is not registered; run `seamless topics apply` first"
        )
        self.subject = subject


class UnwritableRecordError(TopicsError):
    """A record cannot be written in its topic's schema: a fault of the program that made it.

    Attributes:
        path: Where in the record, e.g. `BarChunk.ts`.
        found: What stands there.
        allowed: What may.
    """

    def __init__(self, path: str, found: object, allowed: str) -> None:
        super().__init__(f"{path} must be {allowed}, was {found!r}"[:500])
        self.path = path
        self.found = found
        self.allowed = allowed


class UnreadableRecordError(TopicsError):
    """The bytes of a record can never be read: they belong into the dead letter topic.

    Attributes:
        schema_id: The schema id that the bytes name; None when they name none.
    """

    error_class: ClassVar[str] = "unreadable"
    """What the dead letter's header says."""

    def __init__(self, message: str, schema_id: int | None = None) -> None:
        super().__init__(message)
        self.schema_id = schema_id


class NotAvroError(UnreadableRecordError):
    """The value does not begin as the Confluent wire format does."""

    error_class = "not_avro"


class UnknownSchemaError(UnreadableRecordError):
    """A registry that answered knows no schema of that id."""

    error_class = "unknown_schema"


class SchemaMismatchError(UnreadableRecordError):
    """The bytes do not fit the schema that they name, or that schema does not fit the topic's."""

    error_class = "schema_mismatch"
