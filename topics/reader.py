"""Reads one partition: committed records only, assigned, without a group.

Where it ends is the last stable offset, asked for by a second consumer that never fetches: the
same question on a fetching one waits behind its fetch.
"""

import uuid
from typing import Self

from confluent_kafka import Consumer, Message, TopicPartition

from runtime import KafkaSettings
from topics._codes import OFFSET_GONE, PARTITION_EOF
from topics._late import LateError
from topics.clients import CALL_TIMEOUT_S, ErrorLog, consumer_config, headers_of, insist, wrapped
from topics.errors import OffsetGoneError
from topics.messages import RawMessage

POLL_RECORDS = 500


def raw_message(message: Message) -> RawMessage:
    """Return a message of the client as ours."""
    partition, offset = message.partition(), message.offset()
    return RawMessage(
        topic=message.topic() or "",
        partition=-1 if partition is None else partition,
        offset=-1 if offset is None else offset,
        key=message.key(),
        value=message.value(),
        headers=headers_of(message.headers()),
        timestamp_ms=message.timestamp()[1],
    )


class Reader:
    """One partition from any offset on. Synchronous, for one thread at a time.

    Nothing is read before `seek`.
    """

    def __init__(
        self,
        kafka: KafkaSettings,
        topic: str,
        partition: int,
        *,
        timeout_s: float = CALL_TIMEOUT_S,
    ) -> None:
        self.topic = topic
        self.partition = partition
        self._place = TopicPartition(topic, partition)
        self._timeout_s = timeout_s
        name = f"{kafka.prefix}reader-{uuid.uuid4().hex}"
        self._errors = ErrorLog(name)
        config = consumer_config(kafka, name, self._errors)
        self._reads = Consumer({**config, "enable.partition.eof": True})
        self._asks = Consumer(config)
        self._position = -1
        self._late = LateError()

    def low(self) -> int:
        """Return the first offset that there is.

        Raises:
            KafkaUnavailableError: No broker answered in time.
        """
        return self._watermarks()[0]

    def end(self) -> int:
        """Return the last stable offset: the first that a reader of committed records lacks.

        Raises:
            KafkaUnavailableError: No broker answered in time.
        """
        return self._watermarks()[1]

    def seek(self, offset: int) -> None:
        """Read from `offset` on."""
        self._reads.assign([TopicPartition(self.topic, self.partition, offset)])
        self._position = offset
        self._late.forget()

    @property
    def position(self) -> int:
        """Every visible record below it has been returned; -1 before the first `seek`.

        It passes over what nobody may see (markers, aborted and compacted records).
        """
        return self._position

    def poll(self, timeout_s: float, limit: int = POLL_RECORDS) -> list[RawMessage]:
        """Return the next records, at most `limit`, waiting for the first of them only.

        Records that came with an error are returned before it is raised: the client does not
        hand them out a second time.

        Raises:
            OffsetGoneError: Retention has taken the next one.
            KafkaUnavailableError: A broker cannot serve just now.
            KafkaRefusedError: It will not.
        """
        self._late.tell()
        first = self._reads.poll(timeout_s)
        found = [] if first is None else [first, *self._reads.consume(limit - 1, 0)]
        records = [raw_message(m) for m in self._late.records(found, self._is_record)]
        self._follow(records)
        return records

    def close(self) -> None:
        """End both consumers."""
        self._reads.close()
        self._asks.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_raised: object) -> None:
        self.close()

    def _is_record(self, message: Message) -> bool:
        error = message.error()
        if error is None:
            return True
        if error.code() == PARTITION_EOF:
            self._position = max(self._position, message.offset() or 0)
            return False
        if error.code() == OFFSET_GONE:
            raise OffsetGoneError(self.topic, self.partition, self._position)
        raise wrapped(f"read {self.topic}[{self.partition}]", error, self._errors.last)

    def _follow(self, records: list[RawMessage]) -> None:
        if records:
            self._position = max(self._position, records[-1].offset + 1)
        # The client's own position also moves over what it hides, once it has nothing to return.
        self._position = max(self._position, self._reads.position([self._place])[0].offset)

    def _watermarks(self) -> tuple[int, int]:
        found: tuple[int, int] = insist(
            f"end of {self.topic}[{self.partition}]",
            lambda left_s: self._asks.get_watermark_offsets(
                self._place, timeout=left_s, cached=False
            ),
            self._timeout_s,
            self._errors,
        )
        return found
