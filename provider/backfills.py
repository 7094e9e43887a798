"""Asks for bars over Kafka: publishes requests and follows what becomes of them.

One place for everybody who asks: `EnhancedQuestDBProvider.from_config` and the command line.
"""

import asyncio
import threading
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import TypeVar

from avro_schemas import BackfillRequest, BackfillStatus, RequestKind
from runtime import Backoff, Clock, Settings
from runtime.log import logger
from topics import (
    Catalogue,
    Codec,
    OffsetGoneError,
    Producer,
    Reader,
    Registry,
    TopicsError,
    partition_of,
)

T = TypeVar("T")

_POLL_S = 0.5
_RETRY = Backoff(0.2, 2.0)

log = logger(__name__)


def _unheard() -> None:
    """Tell nobody."""


class BackfillRequests:
    """Publishes requests and follows their status. May be used from several event loops."""

    go_on = True
    """A request that nobody follows any longer is served all the same."""

    def __init__(self, settings: Settings, clock: Clock) -> None:
        self._settings = settings
        self._clock = clock
        self._topics = Catalogue.of(settings.kafka)
        self._lock = threading.Lock()
        self._producer: Producer | None = None

    async def publish(
        self, request: BackfillRequest, on_sent: Callable[[], None] = _unheard
    ) -> None:
        """Return once the request is acknowledged.

        Args:
            request: What is published.
            on_sent: Called when it is given to Kafka, from where on it may be in the topic.

        Raises:
            TopicsError: It is not known to be in the topic.
        """
        async with self._codec() as codec:
            value = await codec.encode(self._topics.requests, request)
        producer = await asyncio.to_thread(self._opened)
        headers = [("request_id", request.request_id.encode())]
        on_sent()
        sent = producer.send(self._topics.requests.name, request.request_id, value, headers)
        await asyncio.wrap_future(sent)
        log.info("backfill_requested", request_id=request.request_id, kind=request.kind.value)

    async def submit(
        self, request: BackfillRequest, on_sent: Callable[[], None] = _unheard
    ) -> AsyncGenerator[BackfillStatus]:
        """Publish the request and yield each status of it, the last one being final.

        Ends by itself only with a final status: whoever waits brings the deadline. Brokers and
        a registry that are away for a moment are waited for.

        Args:
            request: What is published.
            on_sent: Called when it is given to Kafka; until then nobody else can know of it.

        Raises:
            TopicsError: It could not be published, or its status cannot be read at all.
        """
        topic = self._topics.status
        partition = partition_of(request.request_id, self._settings.kafka.partitions)
        tail = _Tail(lambda: Reader(self._settings.kafka, topic.name, partition), self._clock)
        key = request.request_id.encode()
        try:
            await tail.start()
            await self.publish(request, on_sent)
            async with self._codec() as codec:
                while True:
                    for value in await tail.values_of(key):
                        status = await self._patiently(codec, value)
                        yield status
                        if status.state.final:
                            return
        finally:
            tail.close()

    async def take_back(self, request_id: str) -> None:
        """Say that nobody wants a request any more; its final status is not waited for.

        Raises:
            TopicsError: That is not known to be in the topic.
        """
        cancel = BackfillRequest(request_id=request_id, kind=RequestKind.CANCEL)
        await self.publish(cancel)

    async def close(self) -> None:
        """Flush and let go of the producer; harmless when repeated."""
        with self._lock:
            producer, self._producer = self._producer, None
        if producer is not None:
            await asyncio.to_thread(producer.close)

    async def _patiently(self, codec: Codec, value: bytes) -> BackfillStatus:
        for delay in _RETRY:
            try:
                status = await codec.decode(self._topics.status, value)
            except TopicsError as e:
                if not e.retriable:
                    raise
                await self._clock.sleep(delay)
                continue
            if not isinstance(status, BackfillStatus):
                raise TypeError(f"status must be a BackfillStatus, was {type(status).__name__}")
            return status
        raise AssertionError("the delays never end")

    @asynccontextmanager
    async def _codec(self) -> AsyncIterator[Codec]:
        """Yield a codec of the running loop: the registry's connections belong to one."""
        registry = Registry(self._settings.registry)
        try:
            yield Codec(registry, self._clock)
        finally:
            await registry.close()

    def _opened(self) -> Producer:
        with self._lock:
            if self._producer is None:
                self._producer = Producer(self._settings.kafka, "seamless-requests")
            return self._producer


class _Tail:
    """What is appended to one partition from now on, read in a thread of its own.

    A consumer must not be closed under a running poll, so close waits in the same thread.
    """

    def __init__(self, connect: Callable[[], Reader], clock: Clock) -> None:
        self._connect = connect
        self._clock = clock
        self._thread = ThreadPoolExecutor(1, "seamless-status")
        self._reader: Reader | None = None
        self._lost = False

    async def start(self) -> None:
        """Stand at the end of the partition."""
        await self._do(self._start)

    async def values_of(self, key: bytes) -> list[bytes]:
        """Return the values that came under a key, after a short wait at most if there are none."""
        for delay in _RETRY:
            try:
                return await self._do(lambda: self._poll(key))
            except TopicsError as e:
                if not (e.retriable or isinstance(e, OffsetGoneError)):
                    raise
                log.warning("status_unreadable", error=str(e))
            await self._clock.sleep(delay)
        raise AssertionError("the delays never end")

    def close(self) -> None:
        """Let go of the consumer once a running poll has ended; does not wait for it."""
        self._thread.submit(self._close)
        self._thread.shutdown(wait=False)

    async def _do(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)

    def _start(self) -> None:
        self._reader = self._connect()
        self._reader.seek(self._reader.end())

    def _poll(self, key: bytes) -> list[bytes]:
        if self._reader is None:
            raise RuntimeError("start comes first")
        if self._lost:
            self._reader.seek(max(self._reader.position, self._reader.low()))
        self._lost = True  # a poll that raises may have taken records with it
        messages = self._reader.poll(_POLL_S)
        self._lost = False
        return [m.value for m in messages if m.key == key and m.value is not None]

    def _close(self) -> None:
        if self._reader is not None:
            self._reader.close()
