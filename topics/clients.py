"""What every Kafka client here has in common: its configuration, and what its errors mean.

Clients are synchronous; asynchronous callers run them by `asyncio.to_thread`. All are bounded:
each call that waits has a budget, each retry loop ends with it.
"""

import logging
import math
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from confluent_kafka import Consumer, KafkaError, KafkaException

from runtime import Backoff, KafkaSettings
from runtime.log import logger
from topics._codes import ABSENT, TRANSIENT
from topics.errors import KafkaRefusedError, KafkaUnavailableError, TopicsError

T = TypeVar("T")

CALL_TIMEOUT_S = 30.0
"""How long a call waits for brokers before it says that they are not there."""

CLOSE_TIMEOUT_S = 15.0
"""How long a consumer may take to leave its group: a commit and a request, seconds at most."""

ABSENT_S = 3.0
"""How long a topic that was just made may take to be known everywhere."""

_LARGEST_VALUE = 64 * 1_048_576
"""Counted before compression: a dead letter must take whatever its own topic took compressed."""

_READ_AHEAD_KB = 16 * 1_024

_PAUSES = Backoff(0.05, 1.0)

log = logger(__name__)
_librdkafka = logging.getLogger("topics.librdkafka")


ERROR_REPEAT_S = 10.0
"""A broker that is away is told of ten times a second; the log hears of it that often."""


class ErrorLog:
    """librdkafka's word on what goes wrong behind a client's back, logged and kept."""

    def __init__(
        self,
        client: str,
        *,
        quiet: bool = False,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._client = client
        self._level = logging.DEBUG if quiet else logging.WARNING
        self._monotonic = monotonic
        self._told_at: dict[str, float] = {}
        self.last = ""
        """The last one, for an error that would otherwise only say that time ran out."""

    def __call__(self, error: KafkaError) -> None:
        """Take an error; it may well pass by itself."""
        self.last = f"{error.name()}: {error.str()}"
        now = self._monotonic()
        if now - self._told_at.get(error.name(), -ERROR_REPEAT_S) < ERROR_REPEAT_S:
            return
        self._told_at[error.name()] = now  # as many entries as librdkafka has kinds of errors
        log.log(self._level, "kafka_client_error", client=self._client, error=self.last)


def _base(kafka: KafkaSettings, client: str, errors: ErrorLog) -> dict[str, Any]:
    return {
        **kafka.client,
        "bootstrap.servers": kafka.bootstrap,
        "client.id": client,
        "error_cb": errors,
        # Errors come through error_cb. What librdkafka prints beside it goes into the same log;
        # only what is fatal, the rest says it twice.
        "logger": _librdkafka,
        "log_level": 2,
        # A broker that is back is found again within a second or two.
        "reconnect.backoff.ms": 100,
        "reconnect.backoff.max.ms": 2_000,
    }


def producer_config(
    kafka: KafkaSettings, client: str = "seamless", errors: ErrorLog | None = None
) -> dict[str, Any]:
    """Return the configuration of a producer: idempotent, acks=all, zstd, murmur2."""
    return {
        **_base(kafka, client, errors or ErrorLog(client)),
        "enable.idempotence": True,
        "acks": "all",
        "compression.type": "zstd",
        "partitioner": "murmur2_random",
        "linger.ms": 10,
        # A record for a topic that is not there fails as soon, not after half a minute.
        "topic.metadata.propagation.max.ms": int(ABSENT_S * 1_000),
        "message.max.bytes": _LARGEST_VALUE,
    }


def consumer_config(
    kafka: KafkaSettings, group: str, errors: ErrorLog | None = None
) -> dict[str, Any]:
    """Return the configuration of a consumer that sees committed records and commits by hand."""
    return {
        **_base(kafka, group, errors or ErrorLog(group)),
        "group.id": group,
        "isolation.level": "read_committed",
        "enable.auto.commit": False,
        "enable.auto.offset.store": False,
        "auto.offset.reset": "error",
        "queued.max.messages.kbytes": _READ_AHEAD_KB,
        # An answer without records, and the news of the end that it brings, takes no longer.
        "fetch.wait.max.ms": 100,
    }


def admin_config(kafka: KafkaSettings, errors: ErrorLog | None = None) -> dict[str, Any]:
    """Return the configuration of an admin client."""
    return _base(kafka, "seamless-admin", errors or ErrorLog("seamless-admin"))


def is_transient(error: KafkaError) -> bool:
    """Return whether the same call may succeed in a moment."""
    return bool(error.retriable()) or error.code() in TRANSIENT


def is_absent(error: KafkaError) -> bool:
    """Return whether a topic is missing: for a moment, or because nobody has made it."""
    return error.code() in ABSENT


def wrapped(action: str, error: KafkaError, last: str = "") -> TopicsError:
    """Return our error for the client's."""
    reason = f"{error.str()} ({last})" if last else error.str()
    if is_transient(error):
        return KafkaUnavailableError(action, reason)
    if is_absent(error):
        reason = f"{reason}; `seamless topics apply` makes the topics"
    return KafkaRefusedError(action, error.name(), reason)


def insist(
    action: str, call: Callable[[float], T], budget_s: float, errors: ErrorLog | None = None
) -> T:
    """Return what `call` returns, trying again while its error may pass.

    Args:
        action: What it does, for the error.
        call: Takes the seconds that it may wait.
        budget_s: For all tries together.
        errors: Explains a call that only timed out.

    Raises:
        KafkaUnavailableError: The budget is used up.
        KafkaRefusedError: The error will not pass.
    """
    began = time.monotonic()
    for pause_s in _PAUSES:
        left_s = began + budget_s - time.monotonic()
        try:
            return call(max(0.1, left_s))
        except KafkaException as raised:
            error = raised.args[0]
            if time.monotonic() - began + pause_s >= min(budget_s, _patience_s(error)):
                raise wrapped(action, error, errors.last if errors else "") from raised
        except TimeoutError as raised:  # of an admin client's future
            last = errors.last if errors else ""
            raise KafkaUnavailableError(action, f"no answer in time {last}") from raised
        time.sleep(pause_s)
    raise AssertionError("the pauses never end")


def _patience_s(error: KafkaError) -> float:
    """Return for how long a call that failed so is worth trying again."""
    if is_transient(error):
        return math.inf
    return ABSENT_S if is_absent(error) else 0.0


def headers_of(found: Any) -> tuple[tuple[str, bytes | None], ...]:
    """Return a message's headers as pairs; the client gives None, pairs or a mapping."""
    pairs = found.items() if isinstance(found, Mapping) else found or ()
    return tuple(
        (name, value.encode() if isinstance(value, str) else value) for name, value in pairs
    )


def leave(client: Consumer, who: str, timeout_s: float = CLOSE_TIMEOUT_S) -> None:
    """Close a consumer, but wait no longer than that: librdkafka may wait for ever.

    Seen after its group had given a member up. Of one that does not end a thread stays behind,
    which does not keep the process alive; the group waits for it until its session ends.
    """
    closing = threading.Thread(target=client.close, name=f"close {who}", daemon=True)
    closing.start()
    closing.join(timeout_s)
    if closing.is_alive():
        log.warning("not_closed", client=who, waited_s=timeout_s)
