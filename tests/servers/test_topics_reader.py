"""Reading a partition to its end while transactions come, fail and go on."""

import random
import threading
from dataclasses import dataclass, field

import pytest
from confluent_kafka import TopicPartition
from confluent_kafka.admin import AdminClient

from runtime import KafkaSettings, Settings, SystemClock
from topics import (
    Catalogue,
    FencedProducer,
    KafkaRefusedError,
    OffsetGoneError,
    Producer,
    RawMessage,
    Reader,
    Tail,
    bounds,
    low_watermark,
    read_latest_by_key,
    scan,
    snapshot,
)
from topics.admin import apply_topics

pytestmark = pytest.mark.servers


@pytest.fixture
def made(settings: Settings) -> Settings:
    """Settings whose topics are there; nobody asks the registry."""
    apply_topics(settings.kafka)
    return settings


@dataclass
class Writer:
    """Transactions into partition 0 of history, and what of them should be seen."""

    kafka: KafkaSettings
    expected: list[tuple[int, bytes]] = field(default_factory=list)
    """(offset, value) of every committed record, ascending."""
    number: int = 0
    end: int = 0
    """The stable end once every marker is written: a commit is decided before they are."""

    def __post_init__(self) -> None:
        self.topic = Catalogue.of(self.kafka).history.name
        self.producer = FencedProducer(self.kafka, f"{self.kafka.prefix}writer")
        self.producer.start()

    def transaction(self, records: int, *, commit: bool = True) -> None:
        """Write one; all its values carry its number and how many they are."""
        self.begin(records)
        if commit:
            self.commit()
        else:
            self.producer._client.flush()  # else nothing of it would reach the broker
            self.producer.abort()
            self.end += 1

    def begin(self, records: int) -> None:
        """Write one and leave it open."""
        self.number += 1
        self.producer.begin()
        self.values = [b"%d/%d/%d" % (self.number, i, records) for i in range(records)]
        for i, value in enumerate(self.values):
            self.producer.produce(self.topic, f"k{i}", value, partition=0)
        self.end += records

    def commit(self) -> None:
        """Commit what is open."""
        places = self.producer.commit()
        self.expected += [(p.offset, v) for p, v in zip(places, self.values, strict=True)]
        self.end += 1

    def reader(self) -> Reader:
        """Return a reader that sees everything written so far."""
        reader = Reader(self.kafka, self.topic, 0)
        for _ in range(2_000):
            if reader.end() >= self.end:
                return reader
        raise AssertionError(f"{self.topic} does not reach {self.end}")


@pytest.fixture
def writer(made: Settings) -> Writer:
    """Return a writer of history."""
    return Writer(made.kafka)


def seen(records: tuple[RawMessage, ...] | list[RawMessage]) -> list[tuple[int, bytes]]:
    """Return offset and value of records."""
    return [(m.offset, m.value or b"") for m in records]


def tail_of(reader: Reader, end: int) -> list[RawMessage]:
    """Return what the reader has from where it stands to `end`, as soon as that is stable."""
    found: list[RawMessage] = []
    for _ in range(200):
        if reader.position >= end:
            return found
        found += reader.poll(0.1)
    raise AssertionError(f"{reader.topic} does not reach {end}, only {reader.position}")


def test_aborted_records_and_a_transactional_tail_are_passed_over(writer: Writer) -> None:
    """The last offsets are markers and aborted records: they end the snapshot all the same."""
    writer.transaction(3)
    writer.transaction(2, commit=False)
    writer.transaction(2)
    writer.transaction(3, commit=False)
    writer.transaction(2, commit=False)
    with writer.reader() as reader:
        found = snapshot(reader, 0, SystemClock())
        assert seen(found.records) == writer.expected
        assert found.end == reader.end() == reader.position == writer.end == 17
        writer.transaction(1)
        assert seen(tail_of(reader, writer.end)) == writer.expected[-1:]


def test_an_open_transaction_ends_the_snapshot_before_it(writer: Writer) -> None:
    """H is the last stable offset: what an open transaction has written lies beyond."""
    writer.transaction(2)
    stable = writer.end
    with writer.reader() as reader:
        writer.begin(2)
        writer.producer._client.flush()
        found = snapshot(reader, 0, SystemClock())
        assert (seen(found.records), found.end) == (writer.expected, stable)
        writer.commit()
        assert seen(tail_of(reader, writer.end)) == writer.expected[-2:]


def test_an_empty_partition_has_an_empty_snapshot(writer: Writer) -> None:
    with Reader(writer.kafka, writer.topic, 2) as reader:
        assert snapshot(reader, 0, SystemClock()).end == 0
        assert reader.poll(0) == []


def test_a_snapshot_may_begin_anywhere_and_keep_some(writer: Writer) -> None:
    writer.transaction(5)
    writer.transaction(5)
    with writer.reader() as reader:
        assert seen(snapshot(reader, 7, SystemClock()).records) == writer.expected[6:]
        assert snapshot(reader, 12, SystemClock()).records == ()
        kept = snapshot(reader, 0, SystemClock(), lambda m: m.key == b"k0")
        assert [value for _, value in seen(kept.records)] == [b"1/0/5", b"2/0/5"]
        with pytest.raises(OffsetGoneError):
            snapshot(reader, 13, SystemClock())


def test_snapshots_under_a_writer_are_whole_and_their_tails_go_on_exactly(
    writer: Writer,
) -> None:
    """Many snapshots while transactions of several records come and abort without a pause.

    None may hold a part of a transaction, and snapshot and tail together are every committed
    record once, in order.
    """
    done = threading.Event()
    draw = random.Random(5)

    def write() -> None:
        for _ in range(150):
            writer.transaction(draw.randrange(1, 6), commit=draw.random() < 0.8)
        done.set()

    thread = threading.Thread(target=write)
    thread.start()
    readers: list[tuple[Reader, list[RawMessage]]] = []
    while not done.is_set() and len(readers) < 12:
        reader = Reader(writer.kafka, writer.topic, 0)
        batches = scan(reader, 0, SystemClock())
        readers.append((reader, [message for batch in batches for message in batch]))
    thread.join()
    assert len(readers) > 1
    for reader, records in readers:
        values = [value for _, value in seen(records)]
        whole = [v.split(b"/") for v in values]
        for number in {n for n, _, _ in whole}:
            parts = [(i, size) for n, i, size in whole if n == number]
            assert len(parts) == int(parts[0][1])
        assert seen([*records, *tail_of(reader, writer.end)]) == writer.expected
        reader.close()


def test_what_retention_took_is_an_error_and_not_a_jump(made: Settings) -> None:
    """`auto.offset.reset=error`: a hole in live must be told, never skipped."""
    live = Catalogue.of(made.kafka).live.name
    producer = Producer(made.kafka)
    for i in range(10):
        producer.send(live, "k", b"%d" % i, partition=3)
    producer.close()
    admin = AdminClient({"bootstrap.servers": made.kafka.bootstrap})
    for answer in admin.delete_records([TopicPartition(live, 3, 6)]).values():
        answer.result(10)
    with Reader(made.kafka, live, 3) as reader:
        assert (reader.low(), reader.end()) == (6, 10)
        reader.seek(2)
        with pytest.raises(OffsetGoneError) as raised:
            tail_of(reader, 10)
        assert (raised.value.topic, raised.value.partition, raised.value.offset) == (live, 3, 2)
        reader.seek(6)
        assert [m.value for m in tail_of(reader, 10)] == [b"6", b"7", b"8", b"9"]
    assert low_watermark(made.kafka, live, 3) == 6


def test_the_last_mark_of_a_partition_is_found(made: Settings) -> None:
    visible = Catalogue.of(made.kafka).visible.name
    producer = Producer(made.kafka)
    for i in range(20):
        producer.send(visible, "1", b"%d" % i, partition=1)
    producer.send(visible, "gone", b"x", partition=1)
    producer.send(visible, "gone", None, partition=1)
    producer.close()
    found = read_latest_by_key(made.kafka, visible, 1, SystemClock())
    assert {key: message.value for key, message in found.items()} == {b"1": b"19"}


def test_a_tail_sees_everything_from_its_making_on(made: Settings) -> None:
    catalogue = Catalogue.of(made.kafka)
    names = [catalogue.status.name, catalogue.reports.name]
    producer = Producer(made.kafka)
    for i in range(40):
        producer.send(names[0], f"old-{i}", b"", partition=i % 4)
    producer.flush()
    with Tail(made.kafka, names) as tail, Tail(made.kafka, names, last=3) as newest:
        assert (tail.caught_up, newest.caught_up) == (True, False)
        for i in range(8):
            producer.send(names[i % 2], f"new-{i}", b"", partition=i % 4)
        producer.close()
        found: list[RawMessage] = []
        while len(found) < 8:
            found += tail.poll(0.5)
        assert {m.key for m in found} == {b"new-%d" % i for i in range(8)}
        old: list[RawMessage] = []
        while not newest.caught_up or len(old) < 20:
            old += newest.poll(0.5)
        assert {m.key for m in old} == {b"old-%d" % i for i in range(28, 40)} | {
            m.key for m in found
        }
    assert sum(b.end - b.low for b in bounds(made.kafka, names).values()) == 48


def test_a_topic_that_nobody_made_is_refused_and_says_what_to_do(settings: Settings) -> None:
    with pytest.raises(KafkaRefusedError, match="seamless topics apply"):
        Tail(settings.kafka, [f"{settings.kafka.prefix}nowhere"])
