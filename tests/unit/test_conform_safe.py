"""The consumer that commits only what is durable, and begins where it is told. No Kafka needed."""

import asyncio
from collections.abc import Mapping
from typing import Any

import pytest
from faust.types import TP, Message
from faust.types.tuples import ConsumerMessage

from runtime import KafkaSettings
from streams import _safe
from streams._safe import SafeApp, SafeConsumer, SafeTransport
from streams.app import create_app
from streams.errors import DriverChangedError, UnplacedPartitionError

TOPIC = "chunks"
ZERO, ONE = TP(TOPIC, 0), TP(TOPIC, 1)


class Bench:
    """A consumer without a thread behind it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        async def nothing(_app: SafeApp, _stream: Any) -> None:
            return

        self.told: list[frozenset[int]] = []
        self.app = create_app(KafkaSettings(), "conform", TOPIC, nothing)
        self.app.place, self.app.release, self.app.ready = (
            self.place,
            self.release,
            self.told.append,
        )
        self.placed: list[dict[int, int | None]] = []
        self.released: list[frozenset[int]] = []
        self.gate = asyncio.Event()
        self.gate.set()
        self.placing = asyncio.Event()
        self.assigned: set[TP] = set()
        self.delivered: list[int] = []
        self.sought: list[dict[TP, int]] = []
        consumer = self.app.transport.create_consumer(
            callback=self.deliver,
            on_partitions_revoked=self.nothing,
            on_partitions_assigned=self.nothing,
        )
        assert isinstance(consumer, SafeConsumer)
        self.consumer = consumer
        monkeypatch.setattr(consumer, "assignment", lambda: self.assigned)
        monkeypatch.setattr(consumer, "seek_to_committed", self.committed)
        monkeypatch.setattr(consumer, "seek_wait", self.seek)
        monkeypatch.setattr(self.app, "on_rebalance_return", lambda: None)

    async def nothing(self, *_arguments: object) -> None:
        return

    async def deliver(self, message: Message) -> None:
        self.delivered.append(message.offset)

    async def committed(self) -> dict[TP, int]:
        return dict.fromkeys(self.assigned, 5)

    async def seek(self, places: dict[TP, int]) -> None:
        self.sought.append(places)

    async def place(self, committed: Mapping[int, int | None]) -> dict[int, int]:
        self.placed.append(dict(committed))
        self.placing.set()
        await self.gate.wait()
        return dict.fromkeys(committed, 3)

    async def release(self, partitions: frozenset[int]) -> None:
        self.released.append(partitions)

    async def assign(self, *partitions: TP) -> None:
        self.assigned = set(partitions)
        await self.consumer.on_partitions_assigned(set(partitions))
        await self.consumer.perform_seek()

    async def take(self, tp: TP, *offsets: int) -> list[Message]:
        made: list[Message] = [
            ConsumerMessage(tp.topic, tp.partition, o, 0.0, 1, [], b"", b"", None, tp=tp)
            for o in offsets
        ]
        for message in made:
            await self.consumer.callback(message)
        return made


@pytest.fixture
async def bench(monkeypatch: pytest.MonkeyPatch) -> Bench:
    return Bench(monkeypatch)


async def test_partitions_begin_where_the_app_says(bench: Bench) -> None:
    await bench.assign(ZERO, ONE)
    assert bench.placed == [{0: 5, 1: 5}]
    assert bench.sought == [{ZERO: 3, ONE: 3}]
    assert bench.told == [{0, 1}]


async def test_two_seeks_at_once_open_a_partition_once(bench: Bench) -> None:
    """Opened twice, a partition's second owner would fence the first."""
    bench.assigned = {ZERO}
    await bench.consumer.on_partitions_assigned({ZERO})
    await asyncio.gather(bench.consumer.perform_seek(), bench.consumer.perform_seek())
    assert bench.placed == [{0: 5}]


async def test_between_revocation_and_assignment_nothing_is_opened(bench: Bench) -> None:
    """The client still names the old partitions then; opening them would fence the new owner."""
    await bench.assign(ZERO)
    await bench.consumer.on_partitions_revoked({ZERO})
    await bench.consumer.perform_seek()
    assert bench.placed == [{0: 5}]
    assert bench.released == [{0}]
    await bench.assign(ONE)
    assert bench.placed == [{0: 5}, {1: 5}]


async def test_what_was_being_opened_when_it_was_revoked_is_let_go(bench: Bench) -> None:
    bench.gate.clear()
    opening = asyncio.ensure_future(bench.assign(ZERO))
    await bench.placing.wait()
    await bench.consumer.on_partitions_revoked({ZERO})
    bench.gate.set()
    await opening
    assert bench.released == [{0}, {0}]
    assert bench.sought == []
    with pytest.raises(UnplacedPartitionError):
        await bench.take(ZERO, 3)


async def test_only_the_durable_prefix_is_committed(bench: Bench) -> None:
    """Whatever Faust acknowledges, and whatever gaps the offsets have."""
    await bench.assign(ZERO)
    new_offset = bench.consumer._new_offset
    first = await bench.take(ZERO, 3, 4, 9, 12)
    assert new_offset(ZERO) is None
    bench.consumer.mark_durable(first[1:3])
    assert new_offset(ZERO) == 3
    bench.consumer.mark_durable(first[:1])
    assert new_offset(ZERO) == 10
    bench.consumer.mark_durable(first[3:])
    assert new_offset(ZERO) == 13


async def test_a_seek_in_the_middle_goes_on_behind_what_is_durable(bench: Bench) -> None:
    await bench.assign(ZERO)
    first, *_ = await bench.take(ZERO, 3, 4, 5)
    bench.consumer.mark_durable([first])
    await bench.consumer.perform_seek()
    assert bench.sought[-1] == {ZERO: 4}


async def test_records_of_a_partition_that_is_gone_are_not_committed(bench: Bench) -> None:
    await bench.assign(ZERO)
    messages = await bench.take(ZERO, 3)
    await bench.consumer.on_partitions_revoked({ZERO})
    bench.consumer.mark_durable(messages)
    assert bench.consumer._new_offset(ZERO) is None


async def test_the_client_hides_what_is_not_committed_and_waits_for_no_partition_long(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It has one fetch in flight a broker: a wait at one partition's end is a wait of all."""
    bench = Bench(monkeypatch)
    transport = bench.app.transport
    assert isinstance(transport, SafeTransport)
    client = bench.consumer._new_consumer_thread()._create_worker_consumer(transport)
    assert (client._isolation_level, client._fetch_max_wait_ms) == ("read_committed", 100)
    await client.stop()


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # it is left open
async def test_a_client_that_has_changed_inside_is_refused_by_name(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    bench = Bench(monkeypatch)
    transport = bench.app.transport
    assert isinstance(transport, SafeTransport)
    monkeypatch.setattr(_safe, "CLIENT_OPTIONS", {"_moved": 1})
    with pytest.raises(DriverChangedError, match="_moved"):
        bench.consumer._new_consumer_thread()._create_worker_consumer(transport)
