"""A stand-in for everybody behind the requests topic: reads, stores bars, tells status."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace

from avro_schemas import BackfillRequest, BackfillStatus, RequestState
from bars.fingerprint import content_hash
from bars.frame import BarFrame
from bars.series import Series, backfill_lane
from bars.window import Window
from runtime import Settings, SystemClock
from store import LedgerEntry, RecordRows, Store
from topics import Catalogue, Codec, Producer, Registry, Tail

Answer = Callable[[BackfillRequest], Iterable[BackfillStatus]]


def status_of(request: BackfillRequest, state: RequestState, **more: object) -> BackfillStatus:
    """Return a status that fits a request."""
    status = BackfillStatus(
        request_id=request.request_id,
        state=state,
        node_id=request.node_id,
        interval=request.interval,
        start=request.start,
        end=request.end,
        windows_total=2,
        windows_done=2 if state is RequestState.DONE else 1,
        session_bars=1,
    )
    return replace(status, **more)  # type: ignore[arg-type]


def store_bars(settings: Settings, series: Series, bars: BarFrame, window: Window) -> None:
    """Put bars where materialize would put them."""
    lane = backfill_lane("daily")
    with Store(settings.store) as store:
        store.ensure_tables((series.interval,))
        store.meta.claim("kafka", settings.kafka.prefix)
        writer = store.writer()
        writer.wait_visible(writer.write([RecordRows(series, lane, 1, bars)]))
        entry = LedgerEntry(
            series=series,
            lane=lane,
            window=window,
            known=1,
            bars=len(bars),
            content_hash=content_hash(bars),
            partition=0,
            offset=0,
        )
        store.ledger.add([entry])


class Clerk:
    """What has been asked for so far."""

    def __init__(self) -> None:
        self.requests: list[BackfillRequest] = []
        self.asked = asyncio.Event()


@asynccontextmanager
async def clerk(settings: Settings, answer: Answer) -> AsyncIterator[Clerk]:
    """Serve requests until the block ends; each status is told before the next is made."""
    seen = Clerk()
    tail = await asyncio.to_thread(
        Tail, settings.kafka, [Catalogue.of(settings.kafka).requests.name]
    )
    task = asyncio.create_task(_serve(settings, answer, tail, seen))
    try:
        yield seen
    finally:
        task.cancel()
        await asyncio.wait((task,))
        if not task.cancelled() and task.exception():
            raise AssertionError("the clerk failed") from task.exception()


async def _serve(settings: Settings, answer: Answer, tail: Tail, seen: Clerk) -> None:
    topics = Catalogue.of(settings.kafka)
    registry = Registry(settings.registry)
    codec = Codec(registry, SystemClock())
    producer = Producer(settings.kafka)
    try:
        while True:
            for message in await asyncio.shield(asyncio.to_thread(tail.poll, 0.1)):
                request = await codec.decode(topics.requests, message.value)
                assert isinstance(request, BackfillRequest)
                seen.requests.append(request)
                seen.asked.set()
                for status in await asyncio.to_thread(_list, answer, request):
                    value = await codec.encode(topics.status, status)
                    sent = producer.send(topics.status.name, status.request_id, value)
                    await asyncio.wrap_future(sent)
    finally:
        await asyncio.sleep(0.2)  # a poll in its thread ends first
        tail.close()
        producer.close()
        await registry.close()


def _list(answer: Answer, request: BackfillRequest) -> Sequence[BackfillStatus]:
    return list(answer(request))
