"""What a Kafka client complains about behind one's back, and how often the log hears of it."""

import logging

import pytest
from confluent_kafka import KafkaError

from topics.clients import ERROR_REPEAT_S, ErrorLog


def test_an_error_is_logged_once_in_a_while_and_always_kept(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A broker that is away for a minute is a handful of lines, not six hundred."""
    now = 0.0
    errors = ErrorLog("reader", monotonic=lambda: now)
    with caplog.at_level(logging.WARNING):
        for _ in range(600):
            errors(KafkaError(KafkaError._TRANSPORT, "connection refused"))
            now += 0.1
        errors(KafkaError(KafkaError._ALL_BROKERS_DOWN, "1/1 brokers are down"))
    assert len(caplog.records) == 60 // ERROR_REPEAT_S + 1
    assert errors.last.startswith("_ALL_BROKERS_DOWN")
