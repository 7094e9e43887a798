"""The producer on a real broker: where records land, and that none is lost without a word."""

import socket
from collections.abc import Iterator
from concurrent.futures import wait

import pytest

from runtime import KafkaSettings, Settings, SystemClock
from topics import (
    Catalogue,
    Delivered,
    DeliveryError,
    KafkaRefusedError,
    Producer,
    ProducerFullError,
    RawMessage,
    Reader,
    partition_of,
    snapshot,
)
from topics.admin import apply_topics

pytestmark = pytest.mark.servers


@pytest.fixture
def made(settings: Settings) -> Settings:
    """Settings whose topics are there; nobody asks the registry."""
    apply_topics(settings.kafka)
    return settings


def read(kafka: KafkaSettings, topic: str, partition: int) -> tuple[RawMessage, ...]:
    """Return every committed record of a partition."""
    with Reader(kafka, topic, partition) as reader:
        return snapshot(reader, reader.low(), SystemClock()).records


@pytest.fixture
def nobody() -> Iterator[KafkaSettings]:
    """Settings of a broker that is not there, and a producer's queue of ten."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound, but nobody listens
        yield KafkaSettings(
            bootstrap=f"127.0.0.1:{taken.getsockname()[1]}",
            client={"queue.buffering.max.messages": "10"},
        )


def test_every_record_tells_where_it_stands(made: Settings) -> None:
    topic = Catalogue.of(made.kafka).requests.name
    producer = Producer(made.kafka)
    sent = [
        producer.send(topic, f"r-{i}", b"%d" % i, [("request_id", b"r")], partition=i % 4)
        for i in range(200)
    ]
    producer.close()
    places = [fate.result(0) for fate in sent]
    for partition in range(4):
        found = read(made.kafka, topic, partition)
        assert [(m.offset, m.key, m.value) for m in found] == [
            (place.offset, b"r-%d" % i, b"%d" % i)
            for i, place in enumerate(places)
            if place.partition == partition
        ]
        assert {m.headers for m in found} == {(("request_id", b"r"),)}


def test_partition_of_is_the_partition_that_kafka_gives(made: Settings) -> None:
    """Any producer in the world with the default partitioner meets us in the same place."""
    topic = Catalogue.of(made.kafka).requests.name
    keys = [f"ohlcv:börse:{i}|60" for i in range(200)]
    producer = Producer(made.kafka)
    sent = [producer.send(topic, key, b"") for key in keys]
    producer.close()
    assert [f.result(0).partition for f in sent] == [partition_of(key, 4) for key in keys]
    found = [m.key for p in range(4) for m in read(made.kafka, topic, p)]
    assert {key.decode() for key in found if key is not None} == set(keys)  # plain UTF-8


def test_the_brokers_clock_is_what_a_chunk_carries(made: Settings) -> None:
    """LogAppendTime: the acknowledgement and every reader see the same time."""
    catalogue = Catalogue.of(made.kafka)
    producer = Producer(made.kafka)
    place = producer.send(catalogue.chunks.name, "n|60", b"", partition=0).result(30)
    producer.close()
    (found,) = read(made.kafka, catalogue.chunks.name, 0)
    assert found.timestamp_ms == place.timestamp_ms > 1_500_000_000_000


def test_a_producer_that_closes_has_sent_everything(made: Settings) -> None:
    topic = Catalogue.of(made.kafka).reports.name
    producer = Producer(made.kafka)
    sent = [producer.send(topic, "k", bytes(1_000), partition=0) for _ in range(2_000)]
    producer.close()
    assert all(isinstance(fate.result(0), Delivered) for fate in sent)
    assert len(read(made.kafka, topic, 0)) == 2_000
    with pytest.raises(KafkaRefusedError, match="closed"):
        producer.send(topic, "k", b"")


def test_a_topic_that_is_missing_fails_the_record(settings: Settings) -> None:
    producer = Producer(settings.kafka)
    with pytest.raises(DeliveryError, match="UNKNOWN_TOPIC"):
        producer.send(f"{settings.kafka.prefix}nowhere", "k", b"v").result(30)
    producer.close()


def test_a_record_that_nobody_took_fails_its_future_and_the_close(nobody: KafkaSettings) -> None:
    producer = Producer(nobody)
    fate = producer.send("t", "k", b"v", partition=0)
    with pytest.raises(DeliveryError, match="1 records are still waiting"):
        producer.close(0.2)
    with pytest.raises(DeliveryError):
        fate.result(10)


def test_a_full_queue_is_waited_for_and_then_an_error(nobody: KafkaSettings) -> None:
    producer = Producer(nobody, full_timeout_s=0.3)
    sent = [producer.send("t", "k", b"v", partition=0) for _ in range(10)]
    with pytest.raises(ProducerFullError) as raised:
        producer.send("t", "k", b"v", partition=0)
    assert raised.value.retriable
    with pytest.raises(DeliveryError):
        producer.close(0.1)
    assert not wait(sent, timeout=10).not_done
    assert all(isinstance(fate.exception(), DeliveryError) for fate in sent)


def test_a_full_queue_that_drains_takes_the_record(made: Settings) -> None:
    """More records than the queue holds: each `send` waits until there is room."""
    topic = Catalogue.of(made.kafka).reports.name
    small = KafkaSettings(
        bootstrap=made.kafka.bootstrap, client={"queue.buffering.max.messages": "10"}
    )
    producer = Producer(small)
    sent = [producer.send(topic, "k", b"v", partition=0) for _ in range(200)]
    producer.close()
    assert sorted(fate.result(0).offset for fate in sent) == list(range(200))
