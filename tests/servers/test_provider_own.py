"""A fetcher beside Kafka: the provider's process is a fetch worker for itself, on real servers."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pandas as pd
import pytest
import pytest_asyncio

from bars.frame import BarFrame
from bars.window import Window
from ops.stack import LocalStack
from ops.stack.fleet import NodePorts
from provider import EnhancedQuestDBProvider, ProviderMetrics
from tests.faults.processes import Agent
from tests.faults.road import MINUTE, WINDOW_BARS, Road
from tests.lease_help import eventually
from tests.provider_help import Upstream, same
from topics import members
from worker import SecondWorkerError
from worker.groups import shares
from worker.kafka import group_of

pytestmark = [pytest.mark.servers, pytest.mark.asyncio(loop_scope="module")]

SPAN = 5 * WINDOW_BARS * MINUTE


class Left(Upstream):
    """A source that notes when somebody stops waiting for it."""

    def __init__(self, truth: BarFrame) -> None:
        super().__init__(truth)
        self.left = asyncio.Event()

    async def fetch(self, start: int, end: int, *, node_id: str, interval: int) -> pd.DataFrame:
        try:
            return await super().fetch(start, end, node_id=node_id, interval=interval)
        except asyncio.CancelledError:
            self.left.set()
            raise


class OwnRoad(Road):
    """A road whose nodes prefer a source that a provider brings; a worker has the other one."""

    def __init__(self, stack: LocalStack, folder: Path) -> None:
        self.ports = NodePorts.free(1)
        super().__init__(stack, folder)

    def _config(self, session_ms: int) -> dict[str, object]:
        made: dict[str, Any] = super()._config(session_ms)
        section = self.ports.settings()
        sources = {"mine": {"kind": "provider"}, **made["sources"]}
        nodes = {
            name: {**node, "sources": ["mine", "truth"]} for name, node in made["nodes"].items()
        }
        nodes[max(nodes)] = made["nodes"][max(nodes)]
        return made | {
            "sources": sources,
            "nodes": nodes,
            "state_dir": str(self.places.folder / "state-own"),
            "coordinator": {
                "urls": list(section.urls),
                "peers": list(section.peers),
                "data_dir": str(self.places.folder / "coordinator"),
            },
        }

    def _hire(self) -> dict[str, Agent]:
        words = ["coordinator", "--node", "1"]
        return super()._hire() | {"coordinator-1": Agent(self.places, "coordinator", 1, words)}


class LoneRoad(OwnRoad):
    """The same without a lease service."""

    def _config(self, session_ms: int) -> dict[str, object]:
        made = super()._config(session_ms)
        del made["coordinator"]
        return made

    def _hire(self) -> dict[str, Agent]:
        return Road._hire(self)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def own(
    local_stack: LocalStack, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[OwnRoad]:
    """Every test asks for series of its own."""
    made = OwnRoad(local_stack, Path(tmp_path_factory.mktemp("own")))
    await made.open()
    yield made
    await made.close()


@pytest.mark.timeout(300)
async def test_two_providers_ask_for_each_bar_once_and_the_fleet_for_none(own: OwnRoad) -> None:
    """Leases of one service; the worker beside them has another source of the same series."""
    series = own.series()
    truth = own.truth[series.node]
    upstream = Upstream(truth)
    ask: dict[str, Any] = {"node_id": series.node, "interval": MINUTE}
    rng, begin = Random(7), own.window.start
    starts = [begin + MINUTE * rng.randrange(2 * WINDOW_BARS) for _ in range(20)]
    told = ProviderMetrics()
    options: dict[str, Any] = {"fetcher": upstream, "metrics": told}
    async with (
        EnhancedQuestDBProvider.from_settings(own.settings, **options) as one,
        EnhancedQuestDBProvider.from_settings(own.settings, **options) as other,
    ):
        wanted = [(one, begin), (other, begin), *((rng.choice((one, other)), s) for s in starts)]
        async with asyncio.timeout(120):
            frames = await asyncio.gather(*(p.fetch(s, s + SPAN, **ask) for p, s in wanted))
        # Bars are visible before whoever brought them has told the lease service.
        await eventually(lambda: _done(told) == len(upstream.calls))
    for frame, (_, start) in zip(frames, wanted, strict=True):
        assert same(frame, truth.inside(_window(start)))
        assert {each["lane"] for each in frame.attrs["seamless"]["sources"]} == {"bf:mine"}
    assert np.unique(upstream.asked, return_counts=True)[1].max() == 1
    assert own.calls(series) == 0


@pytest.mark.timeout(300)
async def test_one_worker_serves_several_event_loops_one_after_another_too(own: OwnRoad) -> None:
    """Calls of another loop are served where the worker runs; a loop that has ended is left."""
    series, start = own.series(), own.window.start
    truth = own.truth[series.node]
    upstream = Upstream(truth)
    ask: dict[str, Any] = {"node_id": series.node, "interval": MINUTE}
    told = ProviderMetrics()
    options: dict[str, Any] = {"fetcher": upstream, "metrics": told}
    async with EnhancedQuestDBProvider.from_settings(own.settings, **options) as provider:

        def in_a_loop_of_its_own(begin: int) -> pd.DataFrame:
            return asyncio.run(provider.fetch(begin, begin + SPAN, **ask))

        first = await asyncio.to_thread(in_a_loop_of_its_own, start)
        here, there, other = await asyncio.gather(
            provider.fetch(start + SPAN, start + 2 * SPAN, **ask),
            asyncio.to_thread(provider.fetch_sync, start + SPAN, start + 2 * SPAN, **ask),
            asyncio.to_thread(in_a_loop_of_its_own, start + 2 * SPAN),
        )
    assert same(first, truth.inside(_window(start)))
    assert same(here, truth.inside(_window(start + SPAN)))
    assert same(there, truth.inside(_window(start + SPAN)))
    assert same(other, truth.inside(_window(start + 2 * SPAN)))
    answers = {"source": "mine"}
    counted = told.registry.get_sample_value("seamless_source_seconds_count", answers)
    assert counted == len(upstream.calls), "who is hired anew counts on"
    assert np.unique(upstream.asked, return_counts=True)[1].max() == 1


@pytest.mark.timeout(300)
async def test_a_series_of_other_sources_is_brought_by_the_fleet(own: OwnRoad) -> None:
    node = max(own.truth)
    upstream = Upstream(own.truth[node])
    start = own.window.start
    async with EnhancedQuestDBProvider.from_settings(own.settings, fetcher=upstream) as provider:
        frame = await provider.fetch(start, start + SPAN, node_id=node, interval=MINUTE)
    assert same(frame, own.truth[node].inside(_window(start)))
    assert upstream.calls == []


@pytest.mark.timeout(300)
async def test_who_stops_waiting_takes_the_request_back(own: OwnRoad) -> None:
    """The source is let go at once, and the next call begins anew."""
    series = own.series()
    upstream = Left(own.truth[series.node])
    upstream.gate.clear()
    ask: dict[str, Any] = {"node_id": series.node, "interval": MINUTE}
    start = own.window.start
    async with EnhancedQuestDBProvider.from_settings(own.settings, fetcher=upstream) as provider:
        left = asyncio.create_task(provider.fetch(start, start + SPAN, **ask))
        await upstream.until_asked()
        left.cancel()
        await asyncio.gather(left, return_exceptions=True)
        async with asyncio.timeout(60):
            await upstream.left.wait()
            upstream.gate.set()
            frame = await provider.fetch(start, start + SPAN, **ask)
    assert same(frame, own.truth[series.node].inside(_window(start)))


@pytest.mark.timeout(300)
async def test_without_a_lease_service_there_is_one_worker_and_it_may_be_this_process(
    local_stack: LocalStack, tmp_path: Path
) -> None:
    """Two that each grant leases to themselves would ask for the same bars twice."""
    lone = LoneRoad(local_stack, tmp_path)
    await lone.open()
    kafka = lone.settings.kafka
    series, start = lone.series(), lone.window.start
    upstream = Upstream(lone.truth[series.node])
    ask: dict[str, Any] = {"node_id": series.node, "interval": MINUTE, "strategy": "auto_backfill"}
    try:
        async with EnhancedQuestDBProvider.from_settings(lone.settings, fetcher=upstream) as one:
            with pytest.raises(SecondWorkerError, match="another fetch worker runs"):
                await one.fetch(start, start + SPAN, **ask)
            assert upstream.calls == []
            await asyncio.to_thread(lone.agents["worker"].stop)
            frame = await one.fetch(start, start + SPAN, **ask)
            assert same(frame, lone.truth[series.node].inside(_window(start)))
            (member,) = await asyncio.to_thread(members, kafka, group_of(kafka))
            assert not shares(member), "no other worker starts beside it"
            second = replace(lone.settings, state_dir=tmp_path / "another-machine")
            async with EnhancedQuestDBProvider.from_settings(second, fetcher=upstream) as two:
                with pytest.raises(SecondWorkerError):
                    await two.fetch(start, start + 2 * SPAN, **ask)
    finally:
        await lone.close()


def _done(metrics: ProviderMetrics) -> float | None:
    """Return how many windows workers have brought to their end."""
    return metrics.registry.get_sample_value("seamless_windows_total", {"state": "done"})


def _window(start: int) -> Window:
    return Window(start, start + SPAN)
