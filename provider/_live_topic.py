"""The live topic as a publisher sees it: what stands there last of a series, and one bar more."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from avro_schemas import BarChunk
from bars.series import Series
from runtime import Clock, Settings
from topics import (
    Catalogue,
    Codec,
    Producer,
    RawMessage,
    Registry,
    Tail,
    UnreadableRecordError,
    partition_of,
    read_to_end,
)

LAST_READ = 20_000
"""Records of a partition among which the last bar of a series is looked for."""

DELIVERY_S = 4.0
"""A bar that is not acknowledged by then is given up: a holder stops five seconds before the end of
its lease, so nothing of it arrives under the next one's."""


class LiveTopic:
    """Publishes bars to the live topic, for one event loop."""

    def __init__(self, settings: Settings, codec: Codec, producer: Producer, clock: Clock) -> None:
        self._kafka = settings.kafka
        self._topic = Catalogue.of(settings.kafka).live
        self._codec = codec
        self._producer = producer
        self._clock = clock

    @classmethod
    @asynccontextmanager
    async def open(cls, settings: Settings, clock: Clock) -> AsyncIterator["LiveTopic"]:
        """Open it for as long as it is used."""
        async with AsyncExitStack() as stack:
            registry = Registry(settings.registry)
            stack.push_async_callback(registry.close)
            producer = Producer(settings.kafka, "seamless-live", delivery_timeout_s=DELIVERY_S)
            stack.push_async_callback(asyncio.to_thread, producer.close)
            yield cls(settings, Codec(registry, clock), producer, clock)

    async def last_end(self, series: Series) -> int | None:
        """Return where the last published bars of a series end; None: there are none of late.

        Raises:
            TopicsError: The topic cannot be read just now.
        """
        key, partition = series.key.encode(), self._partition(series)
        found = await asyncio.to_thread(self._records, key, partition)
        ends = [await self._end_of(message) for message in found]
        return max((end for end in ends if end is not None), default=None)

    async def publish(self, chunk: BarChunk) -> None:
        """Return once a bar is acknowledged.

        Raises:
            TopicsError: It is not known to be in the topic.
        """
        value = await self._codec.encode(self._topic, chunk)
        series = Series(chunk.node_id, chunk.interval)
        headers = [("request_id", chunk.request_id.encode())]
        sent = await asyncio.to_thread(
            self._producer.send,
            self._topic.name,
            series.key,
            value,
            headers,
            self._partition(series),
        )
        await asyncio.wrap_future(sent)

    def _partition(self, series: Series) -> int:
        return partition_of(series.key, self._kafka.partitions)

    def _records(self, key: bytes, partition: int) -> list[RawMessage]:
        found: list[RawMessage] = []
        with Tail(self._kafka, (self._topic.name,), LAST_READ, (partition,)) as tail:
            for batch in read_to_end(tail, self._clock):
                found += [message for message in batch if message.key == key]
        return found

    async def _end_of(self, message: RawMessage) -> int | None:
        if message.value is None:
            return None
        try:
            record = await self._codec.decode(self._topic, message.value)
        except UnreadableRecordError:
            return None  # nothing of ours: no bar was published by it
        return record.end if isinstance(record, BarChunk) and record.is_final else None
