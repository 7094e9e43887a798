"""The ordinary producer: idempotent, every record's fate known."""

import threading
import time
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any

from confluent_kafka import KafkaError, KafkaException, Message
from confluent_kafka import Producer as Client

from runtime import KafkaSettings
from topics.clients import CALL_TIMEOUT_S, ErrorLog, producer_config, wrapped
from topics.errors import DeliveryError, KafkaRefusedError, ProducerFullError

Headers = Sequence[tuple[str, bytes]]

_POLL_S = 0.1


@dataclass(frozen=True, slots=True)
class Delivered:
    """Where an acknowledged record stands."""

    topic: str
    partition: int
    offset: int
    timestamp_ms: int
    """The broker's where the topic says LogAppendTime, else the producer's."""


def delivered(message: Message) -> Delivered:
    """Return where a message that was acknowledged stands."""
    partition, offset = message.partition(), message.offset()
    return Delivered(
        message.topic() or "",
        -1 if partition is None else partition,
        -1 if offset is None else offset,
        message.timestamp()[1],
    )


class Producer:
    """Sends records; a thread of its own collects the acknowledgements."""

    def __init__(
        self,
        kafka: KafkaSettings,
        client: str = "seamless-producer",
        *,
        delivery_timeout_s: float = 120.0,
        full_timeout_s: float = CALL_TIMEOUT_S,
    ) -> None:
        self._errors = ErrorLog(client)
        self._full_timeout_s = full_timeout_s
        self._client = Client(
            producer_config(kafka, client, self._errors)
            | {"delivery.timeout.ms": int(delivery_timeout_s * 1_000)}
        )
        self._ends = threading.Event()
        self._poller = threading.Thread(target=self._poll, name=f"{client}-poll", daemon=True)
        self._poller.start()

    def send(
        self,
        topic: str,
        key: str | bytes | None,
        value: bytes | None,
        headers: Headers = (),
        partition: int | None = None,
    ) -> Future[Delivered]:
        """Hand a record over; returns at once unless the queue is full.

        Args:
            topic: Where to.
            key: Its key; text is encoded as UTF-8.
            value: Its value; None is a tombstone.
            headers: Its headers.
            partition: Which partition; None: murmur2 of the key.

        Returns:
            Done when the record is acknowledged; else a DeliveryError.

        Raises:
            ProducerFullError: No room came free in the queue.
            KafkaRefusedError: The client will not take it, or is closed.
        """
        if self._ends.is_set():
            raise KafkaRefusedError(f"send to {topic}", "CLOSED", "the producer was closed")
        fate: Future[Delivered] = Future()

        def told(error: KafkaError | None, message: Message) -> None:
            if error is None:
                fate.set_result(delivered(message))
            else:
                fate.set_exception(DeliveryError(topic, f"{error.name()}: {error.str()}"))

        fate.set_running_or_notify_cancel()  # a record on its way cannot be taken back
        target: dict[str, Any] = {} if partition is None else {"partition": partition}
        until = time.monotonic() + self._full_timeout_s
        while True:
            try:
                self._client.produce(
                    topic, value, key, headers=list(headers), on_delivery=told, **target
                )
            except BufferError:
                if time.monotonic() >= until:
                    raise ProducerFullError(topic, self._full_timeout_s) from None
                self._client.poll(_POLL_S)
            except KafkaException as raised:
                raise wrapped(f"send to {topic}", raised.args[0], self._errors.last) from raised
            else:
                return fate

    def flush(self, timeout_s: float = CALL_TIMEOUT_S) -> None:
        """Return when every record handed over has met its fate.

        Raises:
            DeliveryError: Some had not in time.
        """
        left = self._client.flush(timeout_s)
        if left:
            raise DeliveryError("flush", f"{left} records are still waiting; {self._errors.last}")

    def close(self, timeout_s: float = CALL_TIMEOUT_S) -> None:
        """Flush and end.

        Raises:
            DeliveryError: Some records had not met their fate in time; they are given up.
        """
        try:
            self.flush(timeout_s)
        finally:
            self._client.purge()
            self._ends.set()
            self._poller.join(timeout_s)
            self._client.flush(1)

    def _poll(self) -> None:
        while not self._ends.is_set():
            self._client.poll(_POLL_S)
