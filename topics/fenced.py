"""A transactional producer of which only the newest can write.

One for each partition that a role owns, `transactional.id = <role>-<topic>-<partition>`. What it
writes, and how far its input is then read, becomes visible together or not at all. Who is woken
after another has taken over is refused (KIP-98, "Zombie fencing"), and must stop.

Synchronous and for one thread at a time.
"""

import contextlib
import time
from collections.abc import Callable, Mapping
from typing import Any

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition
from confluent_kafka import Producer as Client

from runtime import Backoff, KafkaSettings
from topics._codes import FENCED
from topics.clients import (
    CALL_TIMEOUT_S,
    ErrorLog,
    consumer_config,
    insist,
    producer_config,
    wrapped,
)
from topics.errors import (
    AbortedTransactionError,
    FencedError,
    ProducerFullError,
    UncertainTransactionError,
)
from topics.producer import Delivered, Headers, delivered

Offsets = Mapping[tuple[str, int], int]
"""First offset not read yet, by (topic, partition)."""

_PAUSES = Backoff(0.02, 1.0)

_CLOSE_TIMEOUT_S = 2.0


class _MustAbortError(Exception):
    """The client asks for an abort."""


class FencedProducer:
    """Transactions of one transactional id, one after another."""

    def __init__(
        self, kafka: KafkaSettings, transactional_id: str, *, timeout_s: float = CALL_TIMEOUT_S
    ) -> None:
        """Make the producer; `start` does the work.

        Args:
            kafka: Where.
            transactional_id: Whose successor it is.
            timeout_s: Budget of each call.
        """
        self.transactional_id = transactional_id
        self._kafka = kafka
        self._timeout_s = timeout_s
        self._errors = ErrorLog(transactional_id)
        self._client = Client(
            producer_config(kafka, transactional_id, self._errors)
            | {
                "transactional.id": transactional_id,
                "transaction.timeout.ms": kafka.transaction_timeout_ms,
            }
        )
        self._groups: dict[str, Consumer] = {}
        self._fates: list[Delivered | KafkaError | None] = []
        self._open = False

    def start(self) -> None:
        """Take over: end what a predecessor left open, and fence it off.

        Raises:
            UncertainTransactionError: No coordinator answered in time.
        """
        self._insist("start", self._client.init_transactions)

    def begin(self) -> None:
        """Begin a transaction.

        Raises:
            FencedError: Another has taken over.
        """
        self._fates = []
        self._open = True
        self._insist("begin", lambda _timeout_s: self._client.begin_transaction())

    def produce(
        self,
        topic: str,
        key: str | bytes | None,
        value: bytes | None,
        headers: Headers = (),
        *,
        partition: int,
    ) -> None:
        """Put a record into the transaction.

        Raises:
            FencedError: Another has taken over.
            ProducerFullError: No room came free in the queue.
        """
        place = len(self._fates)
        fates = self._fates
        fates.append(None)

        def told(error: KafkaError | None, message: Message) -> None:
            fates[place] = error or delivered(message)

        def hand_over(timeout_s: float) -> None:
            until = time.monotonic() + timeout_s
            while True:
                try:
                    return self._client.produce(
                        topic,
                        value,
                        key,
                        partition=partition,
                        headers=list(headers),
                        on_delivery=told,
                    )
                except BufferError:
                    if time.monotonic() >= until:
                        raise ProducerFullError(topic, timeout_s) from None
                    self._client.poll(0.05)

        self._insist_or_abort("produce", hand_over)

    def commit(
        self, offsets: Offsets | None = None, group: str | None = None
    ) -> tuple[Delivered, ...]:
        """Make the transaction visible, and with it how far the input is read.

        Args:
            offsets: What `committed` says from then on; none: nothing is said.
            group: The group that keeps them; nobody may ever subscribe with it.

        Returns:
            Where each record stands, in the order they were produced.

        Raises:
            FencedError: Another has taken over; nothing of this is visible.
            AbortedTransactionError: Nothing of this is visible; begin again.
            UncertainTransactionError: Nobody said how it ended.
        """
        # Before the offsets: with records under way their request waits for a retry's pause.
        self._insist_or_abort("flush", self._client.flush)
        lost = [fate for fate in self._fates if not isinstance(fate, Delivered)]
        if lost:
            self.abort()
            reason = lost[0].str() if lost[0] is not None else "records were not acknowledged"
            raise AbortedTransactionError(self.transactional_id, reason)
        if offsets and group is not None:
            listed = [TopicPartition(t, p, offset) for (t, p), offset in offsets.items()]
            metadata = self._group(group).consumer_group_metadata()
            self._insist_or_abort(
                "send offsets",
                lambda timeout_s: self._client.send_offsets_to_transaction(
                    listed, metadata, timeout_s
                ),
            )
        self._insist_or_abort("commit", self._client.commit_transaction)
        self._open = False
        return tuple(f for f in self._fates if isinstance(f, Delivered))

    def abort(self) -> None:
        """Take the transaction back.

        Raises:
            FencedError: Another has taken over, which has the same effect.
            UncertainTransactionError: No coordinator answered in time.
        """
        self._insist("abort", self._client.abort_transaction)
        self._open = False

    def committed(self, group: str, topic: str, partition: int) -> int | None:
        """Return the offset that the last visible transaction gave; None if none did.

        Raises:
            KafkaUnavailableError: No broker answered in time.
        """
        return stable_offset(self._group(group), topic, partition, self._timeout_s)

    def close(self) -> None:
        """Let go; an open transaction is aborted if that is quick, else its successor ends it."""
        with contextlib.suppress(KafkaException):  # fenced or cut off: there is nothing to save
            if self._open:
                self._client.abort_transaction(_CLOSE_TIMEOUT_S)
            self._client.purge()
            self._client.flush(_CLOSE_TIMEOUT_S)
        for consumer in self._groups.values():
            consumer.close()
        self._groups = {}

    def _group(self, group: str) -> Consumer:
        """Return a consumer that never subscribes: it lends its group's name and reads offsets."""
        if group not in self._groups:
            self._groups[group] = Consumer(consumer_config(self._kafka, group, self._errors))
        return self._groups[group]

    def _insist_or_abort(self, action: str, call: Callable[[float], Any]) -> None:
        try:
            self._insist(action, call)
        except _MustAbortError as error:
            self.abort()
            raise AbortedTransactionError(self.transactional_id, str(error)) from error

    def _insist(self, action: str, call: Callable[[float], Any]) -> None:
        """Make the same call again while its error says that this helps."""
        until = time.monotonic() + self._timeout_s
        for pause_s in _PAUSES:
            try:
                call(max(0.1, until - time.monotonic()))
            except KafkaException as raised:
                error: KafkaError = raised.args[0]
                self._judge(action, error, time.monotonic() + pause_s >= until)
            else:
                return
            time.sleep(pause_s)

    def _judge(self, action: str, error: KafkaError, last_try: bool) -> None:
        """Return if the call may be made again."""
        if error.fatal() or error.code() in FENCED:
            raise FencedError(self.transactional_id, f"{action}: {error.str()}")
        if error.txn_requires_abort():
            raise _MustAbortError(f"{action}: {error.str()}")
        if not error.retriable():
            raise wrapped(f"{self.transactional_id}: {action}", error, self._errors.last)
        if last_try:
            reason = f"{error.str()} ({self._errors.last})"
            raise UncertainTransactionError(self.transactional_id, action, reason)


def stable_offset(consumer: Consumer, topic: str, partition: int, timeout_s: float) -> int | None:
    """Return a group's committed offset, waiting for a transaction that is about to change it."""
    found = insist(
        f"committed offset of {topic}[{partition}]",
        lambda left_s: consumer.committed([TopicPartition(topic, partition)], left_s),
        timeout_s,
    )[0]
    if found.error is not None:
        raise wrapped(f"committed offset of {topic}[{partition}]", found.error)
    return found.offset if found.offset >= 0 else None
