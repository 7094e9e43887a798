"""Follows whole topics from a moment on: one consumer, every partition, no group."""

import uuid
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Self

from confluent_kafka import (
    Consumer,
    IsolationLevel,
    KafkaError,
    KafkaException,
    Message,
    TopicPartition,
)
from confluent_kafka.admin import (  # type: ignore[attr-defined]  # their own re-exports
    AdminClient,
    OffsetSpec,
)

from runtime import KafkaSettings
from topics._codes import OFFSET_GONE, PARTITION_EOF
from topics._late import LateError
from topics.clients import (
    CALL_TIMEOUT_S,
    ErrorLog,
    admin_config,
    consumer_config,
    insist,
    wrapped,
)
from topics.errors import OffsetGoneError
from topics.messages import RawMessage
from topics.reader import POLL_RECORDS, raw_message

_EARLIEST = OffsetSpec.earliest()  # type: ignore[no-untyped-call]
_LATEST = OffsetSpec.latest()  # type: ignore[no-untyped-call]

Place = tuple[str, int]
"""A partition: (topic, partition)."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """What can be read of a partition."""

    low: int
    """First offset that there is."""

    end: int
    """Last stable offset: the first that a reader of committed records lacks."""


def bounds(
    kafka: KafkaSettings, topics: Sequence[str], timeout_s: float = CALL_TIMEOUT_S
) -> dict[Place, Bounds]:
    """Return the bounds of every partition of some topics.

    Raises:
        KafkaUnavailableError: No broker answered in time.
        KafkaRefusedError: A topic is missing.
    """
    errors = ErrorLog("seamless-admin")
    admin = AdminClient(admin_config(kafka, errors))

    def ask(left_s: float) -> dict[Place, Bounds]:
        known = admin.list_topics(timeout=left_s).topics
        absent = [name for name in topics if name not in known]
        if absent:
            unknown = KafkaError(KafkaError.UNKNOWN_TOPIC_OR_PART, ", ".join(absent))
            raise KafkaException(unknown)
        places = [(name, p) for name in topics for p in known[name].partitions]
        low = _offsets(admin, places, _EARLIEST, left_s)
        end = _offsets(admin, places, _LATEST, left_s)
        return {place: Bounds(low[place], end[place]) for place in places}

    return insist("bounds of topics", ask, timeout_s, errors)


def _offsets(
    admin: AdminClient, places: Sequence[Place], spec: OffsetSpec, timeout_s: float
) -> dict[Place, int]:
    answers = admin.list_offsets(
        {TopicPartition(topic, partition): spec for topic, partition in places},
        isolation_level=IsolationLevel.READ_COMMITTED,
        request_timeout=timeout_s,
    )
    return {
        (place.topic, place.partition): answer.result(timeout_s).offset
        for place, answer in answers.items()
    }


class Tail:
    """Every committed record of some topics from the moment it is made on.

    Synchronous, for one thread at a time.
    """

    def __init__(
        self,
        kafka: KafkaSettings,
        topics: Sequence[str],
        last: int = 0,
        partitions: Collection[int] | None = None,
    ) -> None:
        """Stand at the ends; whatever is committed after this returns is seen.

        Args:
            kafka: Where.
            topics: Which topics.
            last: Begin that many offsets before the end of each partition.
            partitions: Only these of each topic; None: all.

        Raises:
            KafkaUnavailableError: No broker answered in time.
            KafkaRefusedError: A topic is missing.
        """
        found = {
            place: bound
            for place, bound in bounds(kafka, topics).items()
            if partitions is None or place[1] in partitions
        }
        self._ends = {place: bound.end for place, bound in found.items()}
        self._positions = {
            place: max(bound.low, bound.end - last) for place, bound in found.items()
        }
        self._late = LateError()
        name = f"{kafka.prefix}tail-{uuid.uuid4().hex}"
        self._errors = ErrorLog(name)
        self._client = Consumer(
            {**consumer_config(kafka, name, self._errors), "enable.partition.eof": True}
        )
        self._client.assign(
            [TopicPartition(topic, p, offset) for (topic, p), offset in self._positions.items()]
        )

    @property
    def caught_up(self) -> bool:
        """Whether everything that stood there when it was made has been returned."""
        return not self.behind

    @property
    def behind(self) -> Mapping[Place, Bounds]:
        """What has not been returned yet of what stood there when it was made."""
        return {
            place: Bounds(self._positions[place], end)
            for place, end in self._ends.items()
            if self._positions[place] < end
        }

    @property
    def positions(self) -> Mapping[Place, int]:
        """Every visible record below has been returned."""
        return dict(self._positions)

    def poll(self, timeout_s: float, limit: int = POLL_RECORDS) -> list[RawMessage]:
        """Return the next records, at most `limit`, waiting for the first of them only.

        Records that came with an error are returned before it is raised.

        Raises:
            OffsetGoneError: Retention was faster than this.
            KafkaUnavailableError: A broker cannot serve just now.
            KafkaRefusedError: It will not.
        """
        self._late.tell()
        first = self._client.poll(timeout_s)
        found = [] if first is None else [first, *self._client.consume(limit - 1, 0)]
        return [raw_message(m) for m in self._late.records(found, self._is_record)]

    def close(self) -> None:
        """End."""
        self._client.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_raised: object) -> None:
        self.close()

    def _is_record(self, message: Message) -> bool:
        place = (message.topic() or "", message.partition() or 0)
        offset = message.offset() or 0
        error = message.error()
        if error is None:
            self._positions[place] = offset + 1
            return True
        if error.code() == PARTITION_EOF:
            self._positions[place] = max(self._positions[place], offset)
            return False
        if error.code() == OFFSET_GONE:
            raise OffsetGoneError(*place, offset)
        raise wrapped(f"read {place[0]}[{place[1]}]", error, self._errors.last)
