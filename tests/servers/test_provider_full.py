"""The behaviour suite on the whole road: leases, chunks, verdicts, history, the store.

The provider's process fetches by itself, so that the suite has the source in its hand; conform and
materialize are real ones.
"""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bars.window import Window
from provider import EnhancedQuestDBProvider, SeamlessDataProvider
from runtime import Settings, SourceSettings
from tests.provider_behaviour import ASK, BehaviourSuite, World
from tests.provider_help import NODE, SERIES, STOCK, Upstream
from tests.provider_suite import sessions
from tests.servers.agents import agents_of, write_config

pytestmark = [pytest.mark.servers, pytest.mark.timeout(180)]


class FullWorld:
    """Kafka, QuestDB, the agents, and a fetcher of this process."""

    def __init__(self, settings: Settings) -> None:
        self.upstream = Upstream(sessions())
        self._settings = settings

    def provider(self, **options: Any) -> SeamlessDataProvider:
        return self._provider(self.upstream, **options)

    async def store(self, window: Window) -> None:
        async with self._provider(Upstream(sessions())) as provider:
            await provider.fetch(window.start, window.end, **ASK)

    def _provider(self, upstream: Upstream, **options: Any) -> SeamlessDataProvider:
        return EnhancedQuestDBProvider.from_settings(self._settings, fetcher=upstream, **options)


class TestFullRoad(BehaviourSuite):
    """Strategies, single flight, jobs, ranges: the suite of every set-up."""

    @pytest.fixture
    def world(self, applied: Settings, tmp_path: Path) -> Iterator[World]:
        daily = SourceSettings(name="daily", kind="provider")
        settings = replace(applied, sources={"daily": daily}, nodes={SERIES: STOCK})
        config = write_config(
            tmp_path / "seamless.yaml",
            settings,
            sources={"daily": {"kind": "provider"}},
            nodes={NODE: {"interval": "1d", "sources": ["daily"], "calendar": "XNYS"}},
        )
        with agents_of(config, tmp_path) as agents:
            started = [agents.start(role, ready=False) for role in ("conform", "materialize")]
            for agent in started:
                agent.wait_ready()
            yield FullWorld(settings)
