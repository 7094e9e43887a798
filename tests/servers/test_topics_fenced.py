"""Transactions of the producer that only its newest owner may use."""

import dataclasses
from collections.abc import Iterator

import pytest

from runtime import KafkaSettings, Settings, SystemClock
from topics import (
    AbortedTransactionError,
    Catalogue,
    FencedError,
    FencedProducer,
    RawMessage,
    Reader,
    UncertainTransactionError,
    committed,
    snapshot,
)
from topics.admin import apply_topics

pytestmark = pytest.mark.servers


@pytest.fixture
def made(settings: Settings) -> Settings:
    """Settings whose topics are there; nobody asks the registry."""
    apply_topics(settings.kafka)
    return settings


def read(kafka: KafkaSettings, topic: str, partition: int, end: int) -> tuple[RawMessage, ...]:
    """Return every committed record of a partition once its stable end is that far.

    A commit is decided before the markers that make it readable are in every partition.
    """
    with Reader(kafka, topic, partition) as reader:
        for _ in range(2_000):
            if reader.end() >= end:
                return snapshot(reader, reader.low(), SystemClock()).records
    raise AssertionError(f"{topic}[{partition}] does not reach {end}")


class Owner:
    """A role's producer of partition 1, its topics and its group."""

    def __init__(self, kafka: KafkaSettings) -> None:
        catalogue = Catalogue.of(kafka)
        self.kafka = kafka
        self.input = catalogue.chunks.name
        self.history = catalogue.history.name
        self.reports = catalogue.reports.name
        self.group = f"{kafka.prefix}conform-watermark"
        self.producer = FencedProducer(kafka, f"{kafka.prefix}conform-1", timeout_s=20)
        self.producer.start()
        self.end = 0

    def write(self, *values: bytes) -> None:
        """Begin a transaction and put these into history, and one report beside them."""
        self.producer.begin()
        for value in values:
            self.producer.produce(self.history, "k", value, partition=1)
        self.producer.produce(self.reports, "k", b"verdict", [("a", b"b")], partition=1)

    def commit(self, next_offset: int) -> list[tuple[str, int]]:
        """Commit it with that watermark and return where the records stand."""
        places = self.producer.commit({(self.input, 1): next_offset}, self.group)
        self.end = 1 + max(p.offset for p in places if p.topic == self.history)
        return [(place.topic, place.offset) for place in places]

    def watermark(self) -> int | None:
        """Return the committed watermark."""
        return self.producer.committed(self.group, self.input, 1)


@pytest.fixture
def owner(made: Settings) -> Iterator[Owner]:
    """The owner of partition 1."""
    first = Owner(made.kafka)
    yield first
    first.producer.close()


def values(owner: Owner) -> list[bytes | None]:
    """Return what history shows after the last commit."""
    return [m.value for m in read(owner.kafka, owner.history, 1, owner.end)]


def test_outputs_and_watermark_become_visible_together(owner: Owner) -> None:
    assert owner.watermark() is None
    owner.write(b"1", b"2")
    assert values(owner) == []
    assert owner.commit(5) == [(owner.history, 0), (owner.history, 1), (owner.reports, 0)]
    assert values(owner) == [b"1", b"2"]
    assert owner.watermark() == 5
    assert committed(owner.kafka, owner.group, owner.input, 1) == 5
    (report,) = read(owner.kafka, owner.reports, 1, 1)
    assert report.headers == (("a", b"b"),)


def test_a_transaction_need_not_move_the_watermark(owner: Owner) -> None:
    owner.write(b"1")
    (place, _) = owner.producer.commit()
    owner.end = place.offset + 1
    assert values(owner) == [b"1"]
    assert owner.watermark() is None


def test_an_aborted_transaction_is_never_seen(owner: Owner) -> None:
    owner.write(b"aborted")
    owner.producer.abort()
    owner.write(b"1")
    owner.commit(7)
    assert values(owner) == [b"1"]
    assert owner.watermark() == 7


def test_many_transactions_keep_their_order(owner: Owner) -> None:
    for i in range(30):
        owner.write(b"%d" % i)
        owner.commit(i + 1)
    assert values(owner) == [b"%d" % i for i in range(30)]
    assert owner.watermark() == 30


def test_a_zombie_is_refused_and_nothing_it_wrote_is_seen(owner: Owner) -> None:
    """Frozen in mid-transaction, another takes over, it wakes and goes on."""
    owner.write(b"1")
    owner.commit(1)
    owner.write(b"zombie")
    successor = Owner(owner.kafka)
    successor.write(b"2")
    successor.commit(2)
    with pytest.raises(FencedError) as raised:
        owner.commit(99)
    assert not raised.value.retriable
    for again in (lambda: owner.write(b"zombie again"), lambda: owner.commit(99)):
        with pytest.raises(FencedError):
            again()
    assert values(successor) == [b"1", b"2"]
    assert successor.watermark() == 2
    successor.producer.close()


def test_a_zombie_between_transactions_is_refused_too(owner: Owner) -> None:
    owner.write(b"1")
    owner.commit(1)
    successor = Owner(owner.kafka)

    def goes_on() -> None:
        owner.write(b"zombie")
        owner.commit(99)

    with pytest.raises(FencedError):  # at the latest when it would become visible
        goes_on()
    successor.write(b"2")
    successor.commit(2)
    assert values(successor) == [b"1", b"2"]
    assert successor.watermark() == 2
    successor.producer.close()


def test_what_a_dead_owner_left_open_holds_back_nobody(owner: Owner) -> None:
    """The successor's start ends it: readers do not wait for the transaction's timeout."""
    owner.write(b"left open")
    owner.producer.produce(owner.history, "k", b"more", partition=1)
    successor = Owner(owner.kafka)
    successor.write(b"1")
    successor.commit(1)
    assert values(successor) == [b"1"]
    successor.producer.close()


def test_closing_takes_back_what_is_open(owner: Owner) -> None:
    owner.write(b"open")
    owner.producer.close()
    successor = Owner(owner.kafka)
    assert values(successor) == []
    successor.producer.close()


def test_a_record_that_the_broker_refuses_aborts_the_transaction(owner: Owner) -> None:
    """Too large for its topic: all of the transaction is taken back, and the next ones work."""
    owner.write(b"1")
    owner.producer.produce(owner.history, "k", _incompressible(3_000_000), partition=1)
    with pytest.raises(AbortedTransactionError) as raised:
        owner.commit(1)
    assert raised.value.retriable
    _retried(owner, b"2", next_offset=2)
    assert values(owner) == [b"2"]
    assert owner.watermark() == 2


def _retried(owner: Owner, value: bytes, next_offset: int) -> None:
    """Do as an agent does: an aborted transaction is done again, a few times.

    librdkafka needs a second go after a refusal: its sequence numbers have a hole then.
    """
    for _ in range(3):
        owner.write(value)
        try:
            owner.commit(next_offset)
        except AbortedTransactionError:
            continue
        return
    raise AssertionError("aborted three times")


def _incompressible(size: int) -> bytes:
    """Return bytes that zstd makes no smaller."""
    state, out = 1, bytearray()
    while len(out) < size:
        state = (state * 6364136223846793005 + 1442695040888963407) % 2**64
        out += state.to_bytes(8, "big")[:4]
    return bytes(out)


def test_without_a_coordinator_the_end_is_uncertain(made: Settings) -> None:
    nobody = dataclasses.replace(made.kafka, bootstrap="127.0.0.1:1")
    producer = FencedProducer(nobody, "nobody", timeout_s=0.5)
    with pytest.raises(UncertainTransactionError, match="start"):
        producer.start()
    producer.close()
