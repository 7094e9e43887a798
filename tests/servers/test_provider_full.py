"""The behaviour suite on the whole road: leases, chunks, verdicts, history, the store.

The provider's process fetches by itself, so that the suite has the source in its hand; conform and
materialize are real ones, and the same for all tests: each asks for a series of its own.
"""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from bars.series import Series
from bars.window import Window
from provider import EnhancedQuestDBProvider, SeamlessDataProvider
from runtime import Settings, SourceSettings
from tests.provider_behaviour import BehaviourSuite, World
from tests.provider_help import DAY, STOCK, Upstream, sessions
from tests.servers.agents import agents_of, write_config

pytestmark = [pytest.mark.servers, pytest.mark.timeout(180)]

SERIES = tuple(Series(f"ohlcv:nasdaq:S{k:02d}:1d", DAY) for k in range(60))
"""More than the suite has tests."""


class FullWorld:
    """Kafka, QuestDB, the agents, and a fetcher of this process."""

    def __init__(self, settings: Settings, series: Series) -> None:
        self.upstream = Upstream(sessions())
        self.ask: dict[str, Any] = {"node_id": series.node, "interval": series.interval}
        self._settings = settings

    def provider(self, **options: Any) -> SeamlessDataProvider:
        return self._provider(self.upstream, **options)

    async def store(self, window: Window) -> None:
        async with self._provider(Upstream(sessions())) as provider:
            await provider.fetch(window.start, window.end, **self.ask)

    def _provider(self, upstream: Upstream, **options: Any) -> SeamlessDataProvider:
        return EnhancedQuestDBProvider.from_settings(self._settings, fetcher=upstream, **options)


@pytest.fixture(scope="module")
def agents(module_applied: Settings) -> Iterator[Settings]:
    """Agents that run, and the settings that they have."""
    folder = module_applied.base
    daily = SourceSettings(name="daily", kind="provider")
    nodes = {series: replace(STOCK, series=series) for series in SERIES}
    settings = replace(module_applied, sources={"daily": daily}, nodes=nodes)
    node = {"interval": "1d", "sources": ["daily"], "calendar": "XNYS"}
    config = write_config(
        folder / "seamless.yaml",
        settings,
        sources={"daily": {"kind": "provider"}},
        nodes={series.node: node for series in SERIES},
    )
    with agents_of(config, folder) as running:
        started = [running.start(role, ready=False) for role in ("conform", "materialize")]
        for agent in started:
            agent.wait_ready()
        yield settings


@pytest.fixture(scope="module")
def untouched() -> Iterator[Series]:
    """Series that nobody has asked for yet."""
    return iter(SERIES)


class TestFullRoad(BehaviourSuite):
    """Strategies, single flight, jobs, ranges: the suite of every set-up."""

    @pytest.fixture
    def world(self, agents: Settings, untouched: Iterator[Series]) -> World:
        return FullWorld(agents, next(untouched))
