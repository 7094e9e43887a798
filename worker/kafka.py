"""The worker's ports on the real topics and the real store. Blocking calls run in threads."""

import asyncio
from collections.abc import Callable, Collection, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TypeVar

from avro_schemas import (
    BackfillRequest,
    BackfillStatus,
    BarChunk,
    ConformanceReport,
    Receipt,
)
from bars.series import Series
from bars.window import Window, intersect
from runtime.clock import Clock
from runtime.log import logger
from runtime.settings import KafkaSettings
from store import Ledger
from topics import (
    Catalogue,
    Codec,
    GroupConsumer,
    MarkReader,
    Producer,
    RawMessage,
    SchemaMismatchError,
    Tail,
    Topic,
    UnreadableRecordError,
    deadletter_headers,
    partition_of,
    read_to_end,
)
from worker.groups import SHARED, GroupMoves
from worker.ports import Moved, Place, Proof

T = TypeVar("T")

LEDGER_TIMEOUT_S = 10.0

STATUSES_READ = 5_000
"""Statuses of each partition that are read at the start: a request that ended among them is
answered from there when it is asked again."""

_log = logger(__name__)


def group_of(kafka: KafkaSettings) -> str:
    """Return the consumer group of the fetch worker."""
    return f"{kafka.prefix}worker"


class _Thread:
    """One thread for a client that may not be called from two."""

    def __init__(self, name: str) -> None:
        self._executor = ThreadPoolExecutor(1, thread_name_prefix=name)

    async def run(self, call: Callable[..., T], *args: object) -> T:
        """Return what the call returns, made in the thread."""
        return await asyncio.get_running_loop().run_in_executor(self._executor, call, *args)

    def end(self) -> None:
        """Take no more calls."""
        self._executor.shutdown(wait=False)


class KafkaInbox:
    """The request topic."""

    def __init__(
        self, kafka: KafkaSettings, codec: Codec, clock: Clock, *, shared: bool = False
    ) -> None:
        """Join the group; `shared`: as one of several, whose leases are the service's."""
        self._kafka = kafka
        self._topic = Catalogue.of(kafka).requests
        self._codec = codec
        self._clock = clock
        self._thread = _Thread("requests")
        self.assigned = asyncio.Event()
        """Set whenever the group has given us our partitions, be it none."""

        # Called inside a poll, in its thread.
        told = partial(asyncio.get_running_loop().call_soon_threadsafe, self.assigned.set)
        self._group = GroupMoves(told)
        kind = SHARED if shared else ""
        self._consumer = GroupConsumer(
            kafka, group_of(kafka), [self._topic.name], self._group, kind
        )

    @property
    def member_id(self) -> str:
        """What the group calls us."""
        return self._consumer.member_id

    async def poll(self, timeout_s: float) -> list[RawMessage]:
        """Return the next records; empty when none came in time."""
        return await self._thread.run(self._consumer.poll, timeout_s)

    def moved(self) -> Moved:
        """Return what the group has given and taken since the last call."""
        return self._group.moved()

    async def answered(self, partitions: Collection[int]) -> list[BackfillStatus]:
        """Return the final statuses of late of the requests in some partitions."""
        # A status is in the partition of its request: both have the same key.
        return await final_statuses(self._kafka, self._codec, partitions, self._clock)

    async def decode(self, message: RawMessage) -> BackfillRequest:
        """Return the request that a record holds."""
        record = await self._codec.decode(self._topic, message.value)
        if not isinstance(record, BackfillRequest):
            raise SchemaMismatchError(f"a {type(record).__name__} in {self._topic.name}")
        return record

    async def commit(self, offsets: Mapping[int, int]) -> None:
        """Commit the first offset of each partition that is not finished."""
        named = {(self._topic.name, partition): offset for partition, offset in offsets.items()}
        await self._thread.run(self._consumer.commit, named)

    async def pause(self) -> None:
        """Let polls return nothing more until `resume`."""
        await self._thread.run(self._consumer.pause, self._consumer.owned)

    async def resume(self) -> None:
        """Go on."""
        await self._thread.run(self._consumer.resume, self._consumer.owned)

    async def close(self) -> None:
        """Leave the group."""
        await self._thread.run(self._consumer.close)
        self._thread.end()


class KafkaOutbox:
    """Statuses, chunks and dead letters."""

    def __init__(self, kafka: KafkaSettings, codec: Codec, producer: Producer) -> None:
        self._kafka = kafka
        self._topics = Catalogue.of(kafka)
        self._codec = codec
        self._producer = producer

    async def tell(self, status: BackfillStatus) -> None:
        """Publish how far a request is."""
        value = await self._codec.encode(self._topics.status, status)
        key, headers = status.request_id, _request_header(status.request_id)
        sent = await asyncio.to_thread(
            self._producer.send, self._topics.status.name, key, value, headers
        )
        await asyncio.wrap_future(sent)

    async def publish(self, chunk: BarChunk) -> Place:
        """Publish a chunk into the partition of its series."""
        value = await self._codec.encode(self._topics.chunks, chunk)
        key = Series(chunk.node_id, chunk.interval).key
        sent = await asyncio.to_thread(
            self._producer.send,
            self._topics.chunks.name,
            key,
            value,
            _request_header(chunk.request_id),
            partition_of(key, self._kafka.partitions),
        )
        stands = await asyncio.wrap_future(sent)
        return Place(stands.partition, stands.offset)

    async def bury(
        self, message: RawMessage, error_class: str, reason: str, first_seen_us: int
    ) -> None:
        """Publish the original bytes of a record to the dead letter topic."""
        headers = deadletter_headers(message, error_class, reason, 1, first_seen_us)
        sent = await asyncio.to_thread(
            self._producer.send, self._topics.deadletter.name, message.key, message.value, headers
        )
        await asyncio.wrap_future(sent)


def _request_header(request_id: str) -> list[tuple[str, bytes]]:
    return [("request_id", request_id.encode())] if request_id else []


class KafkaEvidence:
    """Verdicts and receipts from the moment it is made on."""

    def __init__(self, kafka: KafkaSettings, codec: Codec) -> None:
        """Stand at the ends of the topics; blocks while it asks where those are."""
        topics = Catalogue.of(kafka)
        self._topics = {topic.name: topic for topic in (topics.reports, topics.coverage)}
        self._codec = codec
        self._thread = _Thread("evidence")
        self._unread: list[RawMessage] = []
        self._tail = Tail(kafka, tuple(self._topics))

    async def poll(self, timeout_s: float) -> list[Proof]:
        """Return the next ones; empty when none came in time."""
        # Kept until decoded: the registry may be away, and the tail does not go back.
        if not self._unread:
            self._unread = await self._thread.run(self._tail.poll, timeout_s)
        found: list[Proof] = []
        for message in self._unread:
            proof = await self._read(message)
            if proof is not None:
                found.append(proof)
        self._unread = []
        return found

    async def close(self) -> None:
        """End."""
        await self._thread.run(self._tail.close)
        self._thread.end()

    async def _read(self, message: RawMessage) -> Proof | None:
        if message.value is None:
            return None
        try:
            record = await self._codec.decode(self._topics[message.topic], message.value)
        except UnreadableRecordError as error:
            # Written by somebody else into a topic of ours. What it may have proved, the ledger
            # shows as well.
            _log.error(
                "proof_unreadable",
                topic=message.topic,
                partition=message.partition,
                offset=message.offset,
                reason=str(error),
            )
            return None
        return record if isinstance(record, ConformanceReport | Receipt) else None


class StoreLedger:
    """The ledger of the real store, and the mark that says how far it can be believed."""

    def __init__(self, ledger: Ledger, kafka: KafkaSettings, codec: Codec, clock: Clock) -> None:
        self._ledger = ledger
        self._kafka = kafka
        self._codec = codec
        self._clock = clock

    async def windows(
        self, series: Series, lanes: tuple[str, ...] | None, window: Window
    ) -> tuple[Window, ...]:
        """Return what of a window these lanes cover; None: whichever lane."""
        return await asyncio.to_thread(
            self._ledger.windows, series, lanes, window, timeout_s=LEDGER_TIMEOUT_S
        )

    async def windows_since(
        self, series: Series, lane: str, window: Window, token: int
    ) -> tuple[Window, ...]:
        """Return what of a window a lane covers by leases with a higher token."""
        entries = await asyncio.to_thread(
            self._ledger.entries, series, window, lane, timeout_s=LEDGER_TIMEOUT_S
        )
        return intersect((window,), [e.window for e in entries if e.token > token])

    async def judged(self, series: Series) -> int:
        """Return the first chunk offset of which the newest mark of a series says nothing."""
        partition = partition_of(series.key, self._kafka.partitions)
        visible = Catalogue.of(self._kafka).visible
        marks = MarkReader(self._kafka, visible, partition, self._codec, self._clock)
        try:
            return (await marks.read()).conform_next
        finally:
            await marks.close()

    async def highest_token(self) -> int:
        """Return the highest token that there is."""
        return await asyncio.to_thread(self._ledger.highest_token, timeout_s=LEDGER_TIMEOUT_S)


async def final_statuses(
    kafka: KafkaSettings, codec: Codec, partitions: Collection[int], clock: Clock
) -> list[BackfillStatus]:
    """Return how requests in some partitions have ended of late, the newest last.

    Raises:
        TopicsError: Kafka or the registry did not serve.
    """
    topic = Catalogue.of(kafka).status
    found: list[BackfillStatus] = []
    with await asyncio.to_thread(Tail, kafka, (topic.name,), STATUSES_READ, partitions) as tail:
        batches = read_to_end(tail, clock)
        while (batch := await asyncio.to_thread(next, batches, None)) is not None:
            for message in batch:
                status = await _status_of(message, codec, topic)
                if status is not None and status.state.final:
                    found.append(status)
    return found


async def _status_of(message: RawMessage, codec: Codec, topic: Topic) -> BackfillStatus | None:
    if message.value is None:
        return None
    try:
        record = await codec.decode(topic, message.value)
    except UnreadableRecordError:
        return None  # nothing of ours: then nobody was answered by it
    return record if isinstance(record, BackfillStatus) else None
