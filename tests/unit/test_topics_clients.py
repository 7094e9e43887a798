"""What every client has in common: configuration, and which errors are worth another try."""

import logging
import threading
from typing import cast

import pytest
from confluent_kafka import Consumer, KafkaError, KafkaException

from runtime import KafkaSettings
from topics import KafkaRefusedError, KafkaUnavailableError, consumer_config, producer_config
from topics.clients import ErrorLog, headers_of, insist, leave


class Scripted:
    """A call that raises these codes one after another, and then returns."""

    def __init__(self, *codes: int) -> None:
        self._codes = list(codes)
        self.calls = 0

    def __call__(self, left_s: float) -> str:
        """Take the seconds that are left."""
        assert left_s > 0
        self.calls += 1
        if self._codes:
            raise KafkaException(KafkaError(self._codes.pop(0)))
        return "done"


def test_what_may_pass_is_tried_again() -> None:
    call = Scripted(KafkaError.NOT_LEADER_FOR_PARTITION, KafkaError.UNKNOWN_TOPIC_OR_PART)
    assert insist("ask", call, budget_s=10) == "done"
    assert call.calls == 3


def test_a_refusal_is_not_tried_again() -> None:
    call = Scripted(KafkaError.TOPIC_AUTHORIZATION_FAILED)
    with pytest.raises(KafkaRefusedError, match="ask: refused with TOPIC_AUTHORIZATION") as raised:
        insist("ask", call, budget_s=10)
    assert (call.calls, raised.value.retriable) == (1, False)


def test_trying_again_ends_with_the_budget_and_says_why() -> None:
    errors = ErrorLog("test", quiet=True)
    errors(KafkaError(KafkaError._AUTHENTICATION, "wrong password"))
    with pytest.raises(KafkaUnavailableError, match="wrong password") as raised:
        insist("ask", Scripted(*[KafkaError._TIMED_OUT] * 99), budget_s=0.2, errors=errors)
    assert raised.value.retriable


def test_a_future_that_ends_late_is_a_broker_that_is_away() -> None:
    def late(_left_s: float) -> None:
        raise TimeoutError

    with pytest.raises(KafkaUnavailableError):
        insist("ask", late, budget_s=1)


def test_errors_behind_a_clients_back_are_logged(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        ErrorLog("reader-1")(KafkaError(KafkaError._ALL_BROKERS_DOWN))
    assert "_ALL_BROKERS_DOWN" in caplog.text
    assert "reader-1" in caplog.text


def test_security_options_reach_every_client_and_change_nothing_else() -> None:
    kafka = KafkaSettings(
        client={"sasl.password": "s3cret", "acks": "0", "isolation.level": "read_uncommitted"}
    )
    producer, consumer = producer_config(kafka), consumer_config(kafka, "g")
    assert producer["sasl.password"] == consumer["sasl.password"] == "s3cret"
    assert (producer["acks"], producer["enable.idempotence"]) == ("all", True)
    assert (producer["compression.type"], producer["partitioner"]) == ("zstd", "murmur2_random")
    assert consumer["isolation.level"] == "read_committed"
    assert consumer["auto.offset.reset"] == "error"
    assert consumer["enable.auto.commit"] is False


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (None, ()),
        ([], ()),
        ([("a", b"1"), ("a", None)], (("a", b"1"), ("a", None))),
        ({"a": "text"}, (("a", b"text"),)),
    ],
)
def test_headers_are_pairs_of_bytes(found: object, expected: object) -> None:
    assert headers_of(found) == expected


def test_a_consumer_that_does_not_end_is_left_behind(caplog: pytest.LogCaptureFixture) -> None:
    """The library has waited for ever after a group had given its member up."""
    never, asked = threading.Event(), threading.Event()

    class Stuck:
        def close(self) -> None:
            asked.set()
            never.wait(60)

    leave(cast("Consumer", Stuck()), "group", timeout_s=0.05)
    never.set()
    assert asked.is_set()
    assert "not_closed" in caplog.text
