"""A scripted judge behind the chunks: stands for conform and materialize."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from avro_schemas import (
    BackfillRequest,
    BackfillStatus,
    BarChunk,
    ConformanceReport,
    Receipt,
    Verdict,
)
from bars.series import Series
from bars.window import Window
from runtime import Settings, SystemClock
from store import LedgerEntry, Store
from topics import Catalogue, Codec, Producer, RawMessage, Registry, Tail, partition_of

MINUTE = 60
SERIES = Series("ohlcv:test:W", MINUTE)
WAIT_S = 60.0


class Judge:
    """Stands for conform and materialize: every chunk passes and is in the ledger."""

    def __init__(self, settings: Settings, codec: Codec, producer: Producer) -> None:
        self.topics = Catalogue.of(settings.kafka)
        self.settings = settings
        self.codec = codec
        self.chunks: list[BarChunk] = []
        self.statuses: list[BackfillStatus] = []
        self.buried: list[RawMessage] = []
        self._producer = producer
        self._news = asyncio.Event()
        watched = (self.topics.chunks.name, self.topics.status.name, self.topics.deadletter.name)
        self._tail = Tail(settings.kafka, watched)
        self._store = Store(settings.store)

    async def run(self) -> None:
        """Judge until cancelled."""
        try:
            while True:
                for message in await asyncio.to_thread(self._tail.poll, 0.1):
                    await self._take(message)
                self._news.set()
        finally:
            await asyncio.to_thread(self._tail.close)
            self._store.close()

    async def send(self, request: BackfillRequest) -> None:
        value = await self.codec.encode(self.topics.requests, request)
        await self.send_bytes(request.request_id, value)

    async def send_bytes(self, key: str, value: bytes) -> None:
        sent = self._producer.send(self.topics.requests.name, key, value)
        await asyncio.wrap_future(sent)

    async def final(self, request_id: str, count: int = 1) -> BackfillStatus:
        """Return the last of so many final statuses of a request."""
        async with asyncio.timeout(WAIT_S):
            while True:
                ours = [s for s in self.statuses if s.request_id == request_id and s.state.final]
                if len(ours) >= count:
                    return ours[-1]
                await self.news()

    async def news(self) -> None:
        """Return when the topics have been looked at once more."""
        self._news.clear()
        await self._news.wait()

    async def _take(self, message: RawMessage) -> None:
        if message.topic == self.topics.deadletter.name:
            self.buried.append(message)
        elif message.topic == self.topics.status.name:
            status = await self.codec.decode(self.topics.status, message.value)
            assert isinstance(status, BackfillStatus)
            self.statuses.append(status)
        else:
            chunk = await self.codec.decode(self.topics.chunks, message.value)
            assert isinstance(chunk, BarChunk)
            assert message.partition == partition_of(SERIES.key, self.settings.kafka.partitions)
            assert dict(message.headers)["request_id"] == chunk.request_id.encode()
            self.chunks.append(chunk)
            await self._judge(chunk, message)

    async def _judge(self, chunk: BarChunk, message: RawMessage) -> None:
        report = ConformanceReport(
            verdict=Verdict.PASSED,
            chunk_partition=message.partition,
            chunk_offset=message.offset,
            chunk_offset_end=message.offset + 1,
            node_id=chunk.node_id,
            interval=chunk.interval,
            lane=chunk.lane,
            start=chunk.start,
            end=chunk.end,
            request_id=chunk.request_id,
            lease_token=chunk.lease_token,
        )
        entry = LedgerEntry(
            series=SERIES,
            lane=chunk.lane,
            window=Window(chunk.start, chunk.end),
            known=len(self.chunks),
            token=chunk.lease_token,
            bars=len(chunk.ts),
            content_hash=chunk.content_hash,
            partition=message.partition,
            offset=message.offset,
        )
        receipt = Receipt(
            node_id=chunk.node_id,
            interval=chunk.interval,
            lane=chunk.lane,
            start=chunk.start,
            end=chunk.end,
            covers=((chunk.start, chunk.end),),
            known=entry.known,
            bars=entry.bars,
            content_hash=chunk.content_hash,
            history_partition=message.partition,
            history_offset=message.offset,
            chunk_partition=message.partition,
            chunk_offset=message.offset,
            lease_token=chunk.lease_token,
            request_id=chunk.request_id,
        )
        key = f"{SERIES.key}|{chunk.start}"
        verdict = await self.codec.encode(self.topics.reports, report)
        await asyncio.wrap_future(self._producer.send(self.topics.reports.name, key, verdict))
        await asyncio.to_thread(self._store.ledger.add, [entry])
        proof = await self.codec.encode(self.topics.coverage, receipt)
        await asyncio.wrap_future(self._producer.send(self.topics.coverage.name, key, proof))


@asynccontextmanager
async def judge_of(settings: Settings) -> AsyncIterator[Judge]:
    registry = Registry(settings.registry)
    producer = Producer(settings.kafka)
    judge = Judge(settings, Codec(registry, SystemClock()), producer)
    task = asyncio.create_task(judge.run())
    try:
        yield judge
    finally:
        task.cancel()
        await asyncio.wait((task,))
        await asyncio.to_thread(producer.close)
        await registry.close()
