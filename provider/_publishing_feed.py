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
        self._fetcher = fetcher
        self._settings = settings
        self._clock = clock
        self._lock = threading.Lock()
        self._publishing: dict[Series, asyncio.Task[None]] = {}
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
            tasks = [t for t in self._publishing.values() if t.get_loop().is_running()]
            self._publishing.clear()
        for task in tasks:
            task.get_loop().call_soon_threadsafe(task.cancel)
        for task in tasks:
            ended = asyncio.run_coroutine_threadsafe(_until_ended(task), task.get_loop())
            await asyncio.wrap_future(ended)

    def _feed(self, series: Series) -> PollingFeed:
        config = PollingConfig(
            settle_s=self._settings.backfill.settle_s, origin=self._settings.node(series).origin
        )
        return PollingFeed(self._fetcher, config, clock=self._clock)

    def _begin(self, series: Series) -> None:
        """Publish a series, unless that is done already."""
        with self._lock:
            task = self._publishing.get(series)
            working = task is not None and not task.done() and task.get_loop().is_running()
            if not working and not self._closed:
                loop = asyncio.get_running_loop()
                name = f"live bars of {series} are published"
                self._publishing[series] = loop.create_task(self._publish(series), name=name)

    async def _publish(self, series: Series) -> None:
        settings = self._settings
        ttl_ms = check_ttl_ms(settings.backfill.lease_ttl_ms, "backfill.lease_ttl_ms")
        async with AsyncExitStack() as stack:
            options = ClientOptions.of(settings.coordinator)
            claims = DistributedBackfillCoordinator(settings.coordinator.urls, options)
            stack.push_async_callback(claims.close)
            topic = await stack.enter_async_context(LiveTopic.open(settings, self._clock))
            press = Press(
                claims=claims, topic=topic, clock=self._clock, ttl_ms=min(ttl_ms, LEASE_MS_MAX)
            )
            await Publisher(series, self._feed(series), press).run()


async def _until_ended(task: "asyncio.Task[None]") -> None:
    await asyncio.wait((task,))
