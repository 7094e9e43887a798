"""A feed of live bars that publishes the series that it is asked for."""

import asyncio
import threading
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import pandas as pd

from bars.protocols import DataFetcher
from bars.series import Series
from coordinator.client import ClientOptions, DistributedBackfillCoordinator, check_ttl_ms
from provider._ask import check_series
from provider._live_topic import LiveTopic
from provider._publishing import Press, Publisher
from provider.live import PollingConfig, PollingFeed
from runtime import Clock, Settings
from runtime.log import logger

LEASE_MS_MAX = 3_600_000
"""As long as a claim may last."""

log = logger(__name__)


class PublishingFeed:
    """A `LiveDataFeed` that polls a fetcher, and publishes what has closed.

    From the first time that a series is asked for until the feed is closed, or the event loop that
    asked ends, this process publishes it or waits for its turn to. What is yielded here comes from
    the fetcher, as without Kafka.
    """

    def __init__(self, fetcher: DataFetcher, settings: Settings, clock: Clock) -> None:
        """Make a feed; nothing is opened before the first series is asked for.

        Raises:
            InvalidValueError: The life of a lease leaves no time to publish.
        """
        check_ttl_ms(settings.backfill.lease_ttl_ms, "backfill.lease_ttl_ms")
        self._fetcher = fetcher
        self._settings = settings
        self._clock = clock
        self._lock = threading.Lock()
        self._offices: list[_Office] = []
        self._closed = False

    async def is_live_available(self, *, node_id: str, interval: int) -> bool:
        """Return whether the configuration has the series."""
        return check_series(node_id, interval) in self._settings.nodes

    async def subscribe(
        self, *, node_id: str, interval: int
    ) -> AsyncIterator[tuple[int, pd.DataFrame]]:
        """Yield (ts, frame of that bar) for each bar once it has closed."""
        series = check_series(node_id, interval)
        feed = self._feed(series)
        self._begin(series)
        async for ts, frame in feed.subscribe(node_id=node_id, interval=interval):
            yield ts, frame

    async def close(self) -> None:
        """Publish no more, and give back what is held; harmless when repeated."""
        with self._lock:
            self._closed = True
            offices, self._offices = [each for each in self._offices if each.works], []
        for office in offices:
            ended = asyncio.run_coroutine_threadsafe(office.close(), office.loop)
            await asyncio.wrap_future(ended)

    def _feed(self, series: Series) -> PollingFeed:
        config = PollingConfig(
            settle_s=self._settings.backfill.settle_s, origin=self._settings.node(series).origin
        )
        return PollingFeed(self._fetcher, config, clock=self._clock)

    def _begin(self, series: Series) -> None:
        """Publish a series, unless that is done already."""
        loop = asyncio.get_running_loop()
        with self._lock:
            self._offices = [office for office in self._offices if office.works]
            if self._closed or any(series in office.series for office in self._offices):
                return
            own = next((office for office in self._offices if office.loop is loop), None)
            if own is None:
                own = _Office(self._settings, self._clock)
                self._offices.append(own)
            own.publish(series, self._feed(series))


class _Office:
    """Everything that is published in one event loop: one way to Kafka, one to the leases."""

    def __init__(self, settings: Settings, clock: Clock) -> None:
        self.loop = asyncio.get_running_loop()
        self.series: set[Series] = set()
        self._settings = settings
        self._clock = clock
        self._new: asyncio.Queue[tuple[Series, PollingFeed]] = asyncio.Queue()
        self._task = self.loop.create_task(self._work(), name="live bars are published")

    @property
    def works(self) -> bool:
        """Whether something can be published in it."""
        return self.loop.is_running() and not self._task.done()

    def publish(self, series: Series, feed: PollingFeed) -> None:
        """Begin to publish a series."""
        self.series.add(series)
        self._new.put_nowait((series, feed))

    async def close(self) -> None:
        """End."""
        self._task.cancel()
        await asyncio.wait((self._task,))

    async def _work(self) -> None:
        settings = self._settings
        async with AsyncExitStack() as stack:
            options = ClientOptions.of(settings.coordinator)
            claims = DistributedBackfillCoordinator(settings.coordinator.urls, options)
            stack.push_async_callback(claims.close)
            topic = await stack.enter_async_context(LiveTopic.open(settings, self._clock))
            ttl_ms = min(settings.backfill.lease_ttl_ms, LEASE_MS_MAX)
            press = Press(claims=claims, topic=topic, clock=self._clock, ttl_ms=ttl_ms)
            async with asyncio.TaskGroup() as group:
                while True:
                    series, feed = await self._new.get()
                    name = f"live bars of {series}"
                    group.create_task(self._supervised(Publisher(series, feed, press)), name=name)

    async def _supervised(self, publisher: Publisher) -> None:
        """Run a publisher; one that breaks leaves the others alone, and is begun by who asks."""
        try:
            await publisher.run()
        except Exception:
            log.exception("live_publishing_failed", series=publisher.series.key)
        finally:
            self.series.discard(publisher.series)
