"""The behaviour suite on Kafka and QuestDB: requests, statuses and bars on real servers.

A stand-in for the worker and the agents serves requests in this process, so that the suite has the
source in its hand; the real ones are in test_road.py.
"""

import asyncio
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from avro_schemas import BackfillRequest, BackfillStatus, RequestKind, RequestState, WindowFailure
from bars.frame import BarFrame
from bars.window import Window, intersect, subtract
from provider import EnhancedQuestDBProvider, SeamlessDataProvider
from runtime import Settings, SourceSettings, SystemClock
from sources import bars_of
from store import Store
from tests.provider_behaviour import ASK, BehaviourSuite, World
from tests.provider_help import SERIES, STOCK, Upstream, sessions
from tests.servers.clerk import status_of, store_bars
from topics import Catalogue, Codec, Producer, Registry, Tail

pytestmark = pytest.mark.servers


class Worker:
    """Serves requests on a loop and thread of its own until it is stopped."""

    def __init__(self, settings: Settings, upstream: Upstream) -> None:
        self._settings = settings
        self._upstream = upstream
        self._topics = Catalogue.of(settings.kafka)
        self._tail = Tail(settings.kafka, [self._topics.requests.name])
        self._over = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()))
        self._thread.start()

    def stop(self) -> None:
        """End it; what is being served is left."""
        self._over.set()
        self._thread.join()

    async def _serve(self) -> None:
        registry = Registry(self._settings.registry)
        codec, producer = Codec(registry, SystemClock()), Producer(self._settings.kafka)
        tasks: dict[str, asyncio.Task[None]] = {}
        try:
            while not self._over.is_set():
                for message in await asyncio.to_thread(self._tail.poll, 0.05):
                    request = await codec.decode(self._topics.requests, message.value)
                    assert isinstance(request, BackfillRequest)
                    if request.kind is RequestKind.CANCEL:
                        if (task := tasks.get(request.request_id)) is not None:
                            task.cancel()
                        continue
                    answer = self._answer(request, codec, producer)
                    tasks[request.request_id] = asyncio.create_task(answer)
            for task in tasks.values():
                task.cancel()
            if tasks:
                await asyncio.wait(tasks.values())
            for task in tasks.values():
                if not task.cancelled():
                    task.result()
        finally:
            self._tail.close()
            producer.close()
            await registry.close()

    async def _answer(self, request: BackfillRequest, codec: Codec, producer: Producer) -> None:
        async def tell(status: BackfillStatus) -> None:
            value = await codec.encode(self._topics.status, status)
            sent = producer.send(self._topics.status.name, status.request_id, value)
            await asyncio.wrap_future(sent)

        await tell(status_of(request, RequestState.ACCEPTED, windows_done=0))
        failures = []
        for gap in await asyncio.to_thread(self._gaps, request):
            try:
                bars = await self._asked(gap)
            except Exception as e:  # noqa: BLE001  whatever a test lets the source raise
                message = f"{type(e).__name__}: {e}"
                failures.append(
                    WindowFailure(
                        start=gap.start, end=gap.end, error_class="source", message=message
                    )
                )
                continue
            await asyncio.to_thread(store_bars, self._settings, SERIES, bars, gap)
        if failures:
            await tell(
                status_of(
                    request,
                    RequestState.FAILED,
                    failures=tuple(failures),
                    message="windows failed",
                )
            )
        else:
            await tell(status_of(request, RequestState.DONE, session_bars=len(sessions())))

    async def _asked(self, gap: Window) -> BarFrame:
        frame = await self._upstream.fetch(
            gap.start, gap.end, node_id=SERIES.node, interval=SERIES.interval
        )
        return bars_of(frame, "daily")

    def _gaps(self, request: BackfillRequest) -> tuple[Window, ...]:
        wanted = Window(request.start, request.end)
        with Store(self._settings.store) as store:
            store.ensure_tables((SERIES.interval,))
            held = store.ledger.windows(SERIES, window=wanted)
        return intersect(subtract((wanted,), held), (wanted,))


class RoadWorld:
    """Kafka, QuestDB, and somebody who serves requests."""

    ask = ASK

    def __init__(self, settings: Settings, upstream: Upstream) -> None:
        self.upstream = upstream
        self._settings = settings

    def provider(self, **options: Any) -> SeamlessDataProvider:
        return EnhancedQuestDBProvider.from_settings(self._settings, **options)

    async def store(self, window: Window) -> None:
        bars = sessions().inside(window)
        await asyncio.to_thread(store_bars, self._settings, SERIES, bars, window)


class TestRoad(BehaviourSuite):
    """Strategies, single flight, jobs, ranges: the suite of every set-up."""

    @pytest.fixture
    def world(self, applied: Settings) -> Iterator[World]:
        daily = SourceSettings(name="daily", kind="csv", path=Path("nowhere"))
        settings = replace(applied, sources={"daily": daily}, nodes={SERIES: STOCK})
        upstream = Upstream(sessions())
        worker = Worker(settings, upstream)
        yield RoadWorld(settings, upstream)
        worker.stop()
