"""The behaviour suite without any server: memory above, a file below."""

from pathlib import Path
from typing import Any

import pytest

from bars.window import Window
from provider import MemoryCache, NewRecord, SQLiteCache, SQLiteStorage, Storage
from tests.provider_behaviour import ASK, BehaviourSuite, World
from tests.provider_help import LANE, SERIES, Made, Upstream, clock_at, sessions


class LocalWorld:
    """A storage in a file, a memory cache and a cache file before it."""

    ask = ASK

    def __init__(self, folder: Path) -> None:
        self.upstream = Upstream(sessions())
        self.clock = clock_at()
        self._folder = folder

    def storage(self) -> Storage:
        return SQLiteStorage(self._folder / "bars.db", {LANE: 1, "roll": 0}, self.clock)

    def provider(self, **options: Any) -> Made:
        caches = [MemoryCache(clock=self.clock), SQLiteCache(self._folder / "cache.db")]
        made = {"cache_source": caches, "clock": self.clock} | options
        return Made(self.storage(), self.upstream, **made)

    async def store(self, window: Window) -> None:
        storage = self.storage()
        await storage.add([NewRecord(SERIES, LANE, window, 1, sessions().inside(window))])
        await storage.close()


class TestLocal(BehaviourSuite):
    @pytest.fixture
    def world(self, tmp_path: Path) -> World:
        return LocalWorld(tmp_path)
