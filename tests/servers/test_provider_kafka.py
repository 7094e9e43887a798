"""The provider that asks over Kafka: real topics and store, a scripted worker behind them."""

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from avro_schemas import BackfillRequest, BackfillStatus, RequestKind, RequestState, WindowFailure
from bars.calendars import AlwaysOpen
from bars.window import Window
from provider import (
    BackfillFailedError,
    BackfillRequests,
    DataUnavailableError,
    EnhancedQuestDBProvider,
    InvalidValueError,
)
from provider._ask import Ask
from provider._flight import WITHDRAWN
from provider._request_fill import RequestFiller
from provider._slots import Slots
from runtime import BackfillSettings, Settings, SourceSettings, SystemClock
from tests.provider_help import DAY, END, NODE, SERIES, START, STOCK, same, sessions
from tests.servers.agents import write_config
from tests.servers.clerk import clerk, status_of, store_bars
from topics import Catalogue, Reader

pytestmark = pytest.mark.servers

ASK: dict[str, Any] = {"node_id": NODE, "interval": DAY}
RUNNING, DONE, FAILED = RequestState.RUNNING, RequestState.DONE, RequestState.FAILED


@pytest.fixture
def configured(applied: Settings) -> Settings:
    """The same with one node and a source that nobody here opens."""
    daily = SourceSettings(name="daily", kind="csv", path=Path("nowhere"))
    return replace(applied, sources={"daily": daily}, nodes={SERIES: STOCK})


async def test_what_is_missing_is_requested_and_read_when_it_is_there(configured: Settings) -> None:
    def bring(request: BackfillRequest) -> Iterable[BackfillStatus]:
        yield status_of(request, RequestState.ACCEPTED)
        yield status_of(request, RUNNING)
        window = Window(request.start, request.end)
        store_bars(configured, SERIES, sessions().inside(window), window)
        yield status_of(request, DONE, session_bars=len(sessions()))

    async with (
        clerk(configured, bring) as served,
        EnhancedQuestDBProvider.from_settings(configured) as provider,
    ):
        frame = await provider.fetch(START, END, **ASK)
        again = await provider.fetch(START, END, **ASK)
    assert same(frame, sessions())
    assert same(again, sessions())
    (request,) = served.requests
    assert request.kind is RequestKind.SUBMIT
    assert (request.start, request.end) == (START + DAY, END - DAY)
    assert request.request_id == frame.attrs["seamless"]["request_id"]
    assert request.request_id != again.attrs["seamless"]["request_id"]
    assert frame.attrs["seamless"]["sources"] == [
        {"lane": "bf:daily", "start": START + DAY, "end": END - 2 * DAY}
    ]


async def test_several_gaps_make_one_request(configured: Settings) -> None:
    held = Window(START + 10 * DAY, START + 20 * DAY)
    store_bars(configured, SERIES, sessions().inside(held), held)

    def bring(request: BackfillRequest) -> Iterable[BackfillStatus]:
        window = Window(request.start, request.end)
        store_bars(configured, SERIES, sessions().inside(window), window)
        yield status_of(request, DONE)

    async with (
        clerk(configured, bring) as served,
        EnhancedQuestDBProvider.from_settings(configured) as provider,
    ):
        assert same(await provider.fetch(START, END, **ASK), sessions())
    assert len(served.requests) == 1


async def test_a_failed_request_names_its_windows(configured: Settings) -> None:
    lost = WindowFailure(
        start=START, end=END, error_class="blocked", message="values.order: high below low"
    )

    def fail(request: BackfillRequest) -> Iterable[BackfillStatus]:
        yield status_of(request, RUNNING)
        yield status_of(request, FAILED, failures=(lost,), message="1 of 2 windows failed")

    async with (
        clerk(configured, fail) as served,
        EnhancedQuestDBProvider.from_settings(configured) as provider,
    ):
        with pytest.raises(BackfillFailedError, match="1 of 2 windows failed") as failed:
            await provider.fetch(START, END, **ASK)
    assert failed.value.request_id == served.requests[0].request_id
    assert failed.value.windows == (Window(START, END),)
    assert failed.value.failures == (lost,)


async def test_a_rejected_request_says_why(configured: Settings) -> None:
    def reject(request: BackfillRequest) -> Iterable[BackfillStatus]:
        yield status_of(request, RequestState.REJECTED, message="node_id must be a node")

    async with (
        clerk(configured, reject),
        EnhancedQuestDBProvider.from_settings(configured) as provider,
    ):
        with pytest.raises(BackfillFailedError, match="rejected: node_id must be a node"):
            await provider.fetch(START, END, **ASK)


async def test_what_the_source_never_had_is_unlisted_and_no_error(configured: Settings) -> None:
    """The configuration does not say when the series was listed; the worker's source knows."""
    listed = START + 30 * DAY

    def bring(request: BackfillRequest) -> Iterable[BackfillStatus]:
        window = Window(listed, request.end)
        store_bars(configured, SERIES, sessions().inside(window), window)
        yield status_of(request, DONE, start=listed, session_bars=20)

    async with (
        clerk(configured, bring),
        EnhancedQuestDBProvider.from_settings(configured) as provider,
    ):
        frame = await provider.fetch(START, END, **ASK)
    assert same(frame, sessions().take(sessions().ts >= listed))
    assert frame.attrs["seamless"]["missing"][0] == {
        "start": START,
        "end": listed - DAY,
        "slots": 30,
        "reason": "unlisted",
    }


async def test_a_window_before_the_listing_is_empty_and_no_error(configured: Settings) -> None:
    def bring(request: BackfillRequest) -> Iterable[BackfillStatus]:
        yield status_of(request, DONE, session_bars=0, windows_total=0, windows_done=0)

    async with (
        clerk(configured, bring),
        EnhancedQuestDBProvider.from_settings(configured) as provider,
    ):
        frame = await provider.fetch(START, END, **ASK)
    assert not len(frame)
    assert frame.attrs["seamless"]["missing_slots"] == {"closed": 1, "unlisted": 59}


async def test_without_a_worker_the_wait_ends_and_names_the_request(configured: Settings) -> None:
    short = replace(configured, backfill=BackfillSettings(wait_timeout_s=1.5))
    async with EnhancedQuestDBProvider.from_settings(short) as provider:
        with pytest.raises(DataUnavailableError, match=r"within 1\.5 s and may still") as late:
            await provider.fetch(START, END, **ASK)
    assert late.value.request_id
    assert late.value.retriable


async def test_the_sync_twin_asks_over_kafka_too(configured: Settings) -> None:
    def bring(request: BackfillRequest) -> Iterable[BackfillStatus]:
        window = Window(request.start, request.end)
        store_bars(configured, SERIES, sessions().inside(window), window)
        yield status_of(request, DONE)

    async with clerk(configured, bring):

        def ask() -> bool:
            with EnhancedQuestDBProvider.from_settings(configured) as provider:
                return same(provider.fetch_sync(START, END, **ASK), sessions())

        assert await asyncio.to_thread(ask)


async def test_a_node_that_is_not_configured_is_refused_before_any_request(
    configured: Settings,
) -> None:
    async with EnhancedQuestDBProvider.from_settings(configured) as provider:
        with pytest.raises(InvalidValueError, match="configured"):
            await provider.fetch(START, END, node_id="nobody", interval=DAY)
        with pytest.raises(InvalidValueError, match="configured"):
            await provider.coverage(node_id="nobody", interval=DAY)


async def test_a_provider_is_made_from_a_file(configured: Settings, tmp_path: Path) -> None:
    config = write_config(
        tmp_path / "seamless.yaml",
        configured,
        sources={"daily": {"kind": "csv", "path": "nowhere"}},
        nodes={NODE: {"interval": "1d", "sources": ["daily"], "calendar": "XNYS"}},
    )
    window = Window(START, END)
    store_bars(configured, SERIES, sessions(), window)
    async with EnhancedQuestDBProvider.from_config(config, strategy="fail_fast") as provider:
        assert same(await provider.fetch(START, END, **ASK), sessions())
        assert await provider.coverage(**ASK) == [(START, END - DAY)]


class Held(BackfillRequests):
    """Requests that go no further than to one side of being published."""

    def __init__(self, settings: Settings, *, published: bool) -> None:
        super().__init__(settings, SystemClock())
        self.there = asyncio.Event()
        self._published = published

    async def publish(
        self, request: BackfillRequest, on_sent: Callable[[], None] = lambda: None
    ) -> None:
        submits = request.kind is RequestKind.SUBMIT
        if self._published or not submits:
            await super().publish(request, on_sent)
        if submits:
            self.there.set()
            await asyncio.Event().wait()


@pytest.mark.parametrize(("published", "records"), [(False, 0), (True, 2)])
async def test_only_what_was_published_is_taken_back(
    applied: Settings, published: bool, records: int
) -> None:
    """A cancel of what nobody has seen would leave the status of a request that never was."""
    requests = Held(applied, published=published)
    ask = Ask(SERIES, Window(START, END), STOCK, AlwaysOpen(), "mine")
    filler = RequestFiller(requests, Slots(1))
    filling = asyncio.create_task(filler.fill(ask, (ask.window,), lambda _share: None))
    await requests.there.wait()
    filling.cancel(WITHDRAWN)
    await asyncio.wait((filling,))
    await filler.close()
    assert filling.cancelled()
    topic, kafka = Catalogue.of(applied.kafka).requests, applied.kafka
    readers = [Reader(kafka, topic.name, partition) for partition in range(kafka.partitions)]
    assert sum(reader.end() for reader in readers) == records
    for reader in readers:
        reader.close()


async def test_only_statuses_of_the_own_request_are_followed(configured: Settings) -> None:
    """Request ids share partitions; somebody else's end is not ours."""
    mine = BackfillRequest(request_id="mine", kind=RequestKind.SUBMIT)

    def answer(request: BackfillRequest) -> Iterable[BackfillStatus]:
        for other in ("o1", "o2", "o3", "o4", "o5", "o6", "o7", "o8"):
            yield replace(status_of(request, FAILED), request_id=other)
        yield status_of(request, RUNNING)
        yield status_of(request, DONE)

    requests = BackfillRequests(configured, SystemClock())
    async with clerk(configured, answer):
        states = [status.state async for status in requests.submit(mine)]
    await requests.close()
    assert states == [RUNNING, DONE]
