"""What nobody wants any more is taken back over Kafka: the real worker, agents and servers."""

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from avro_schemas import BackfillStatus, RequestState
from bars.series import Series
from provider import DataUnavailableError, EnhancedQuestDBProvider
from runtime import SystemClock
from tests.faults.processes import PATIENCE_S
from tests.faults.road import MINUTE, WINDOWS, Road
from tests.provider_help import same
from topics import Codec, Registry
from worker.kafka import final_statuses

pytestmark = [
    pytest.mark.servers,
    pytest.mark.timeout(300),
    pytest.mark.asyncio(loop_scope="module"),
]


def about(series: Series) -> dict[str, Any]:
    return {"node_id": series.node, "interval": MINUTE}


async def ended(road: Road, request_id: str) -> BackfillStatus | None:
    """Return how a request has ended, if it has."""
    kafka = road.settings.kafka
    registry = Registry(road.settings.registry)
    try:
        codec = Codec(registry, SystemClock())
        found = await final_statuses(kafka, codec, range(kafka.partitions), SystemClock())
    finally:
        await registry.close()
    return next((status for status in found if status.request_id == request_id), None)


async def until_ended(road: Road, request_id: str) -> BackfillStatus:
    """Return how a request ends."""
    async with asyncio.timeout(PATIENCE_S):
        while (status := await ended(road, request_id)) is None:  # noqa: ASYNC110 - a topic
            await asyncio.sleep(0.1)
    return status


async def check_no_more_calls(road: Road, series: Series) -> None:
    """Check that a source is not asked for a series any more, while all of another one comes."""
    calls = road.calls(series)
    assert calls < WINDOWS
    await road.done(road.ask(road.series()))
    assert road.calls(series) == calls


async def test_a_job_that_is_cancelled_takes_its_request_back(road: Road) -> None:
    series, window = road.series(), road.window
    async with EnhancedQuestDBProvider.from_settings(road.settings) as provider:
        await provider.fetch(window.start, window.end, strategy="partial_fill", **about(series))
        (job,) = provider.jobs()
        await road.until_calls(series, 2)
        assert provider.cancel(job)
        await job.wait()
        assert job.state == "cancelled"
    status = await until_ended(road, job.job_id)
    assert status.state is RequestState.CANCELLED
    assert status.windows_done < WINDOWS
    await check_no_more_calls(road, series)


async def test_a_call_that_is_cancelled_takes_its_request_back(road: Road) -> None:
    series, window = road.series(), road.window
    async with EnhancedQuestDBProvider.from_settings(road.settings) as provider:
        call = asyncio.create_task(provider.fetch(window.start, window.end, **about(series)))
        await road.until_calls(series, 2)
        call.cancel()
        await asyncio.gather(call, return_exceptions=True)
    await check_no_more_calls(road, series)


async def test_what_another_call_waits_for_is_not_taken_back(road: Road) -> None:
    series, window = road.series(), road.window
    async with EnhancedQuestDBProvider.from_settings(road.settings) as provider:
        await provider.fetch(window.start, window.end, strategy="partial_fill", **about(series))
        (job,) = provider.jobs()
        waiting = asyncio.create_task(provider.fetch(window.start, window.end, **about(series)))
        await road.until_calls(series, 2)
        assert provider.cancel(job)
        frame = await waiting
    assert same(frame, road.truth[series.node].inside(window))
    assert job.state == "cancelled"
    status = await until_ended(road, job.job_id)
    assert status.state is RequestState.DONE


async def test_a_call_whose_time_is_up_leaves_its_request_to_go_on(road: Road) -> None:
    """It says that the bars may still come, and they do."""
    series, window = road.series(), road.window
    short = replace(road.settings, backfill=replace(road.settings.backfill, wait_timeout_s=1.0))
    async with EnhancedQuestDBProvider.from_settings(
        short, enable_background_backfill=False
    ) as provider:
        with pytest.raises(DataUnavailableError) as late:
            await provider.fetch(window.start, window.end, **about(series))
    assert late.value.request_id is not None
    status = await until_ended(road, late.value.request_id)
    assert status.state is RequestState.DONE
