"""The provider's behaviour on bars in the real QuestDB, without Kafka."""

import asyncio
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bars.series import Series
from bars.window import Window
from provider import (
    EnhancedQuestDBProvider,
    NewRecord,
    QuestDBLoader,
    QuestDBRecorder,
    QuestDBStorage,
    Storage,
    StoreOwnedError,
    StoreUnavailableError,
    StreamInput,
)
from runtime import Settings
from store import Store, UnstorableRowError
from tests.provider_behaviour import ASK, BehaviourSuite, World
from tests.provider_help import (
    DAY,
    END,
    LANE,
    NODE,
    SERIES,
    START,
    STOCK,
    Made,
    Upstream,
    bars_at,
    clock_at,
    same,
    sessions,
)
from tests.provider_suite import ProviderSuite
from tests.servers.agents import write_config
from tests.servers.clerk import store_bars
from tests.storage_suite import StorageSuite

pytestmark = pytest.mark.servers


@pytest.fixture
def storage(settings: Settings) -> Iterator[Storage]:
    with Store(settings.store) as store:
        yield QuestDBStorage(store, {LANE: 1, "roll": 0}, clock_at())


class TestQuestDB(ProviderSuite):
    """All that a provider does with a storage."""


class TestStorage(StorageSuite):
    """Every storage's suite."""


class QuestDBWorld:
    """QuestDB and a fetcher, nothing else."""

    ask = ASK

    def __init__(self, settings: Settings) -> None:
        self.upstream = Upstream(sessions())
        self._settings = settings

    def provider(self, **options: Any) -> Made:
        storage = QuestDBStorage(Store(self._settings.store), {LANE: 1, "roll": 0}, clock_at())
        return Made(storage, self.upstream, **options)

    async def store(self, window: Window) -> None:
        with Store(self._settings.store) as store:
            storage = QuestDBStorage(store, {LANE: 1}, clock_at())
            await storage.prepare(SERIES)
            await storage.add([NewRecord(SERIES, LANE, window, 1, sessions().inside(window))])


class TestBehaviour(BehaviourSuite):
    """Strategies, single flight, jobs, ranges: the suite of every set-up."""

    @pytest.fixture
    def world(self, settings: Settings) -> World:
        return QuestDBWorld(settings)


def provider_on(settings: Settings, upstream: Upstream, **options: Any) -> EnhancedQuestDBProvider:
    return EnhancedQuestDBProvider(
        settings.store.dsn,
        fetcher=upstream,
        table_prefix=settings.store.table_prefix,
        nodes={SERIES: STOCK},
        **options,
    )


async def test_a_dsn_and_a_fetcher_are_all_it_takes(settings: Settings) -> None:
    upstream = Upstream(sessions())
    async with provider_on(settings, upstream) as provider:
        frame = await provider.fetch(START, END, node_id=NODE, interval=DAY)
    assert same(frame, sessions())
    assert frame.attrs["seamless"]["sources"][0]["lane"] == "bf:fetcher"
    fast = provider_on(settings, upstream, strategy="fail_fast")
    with fast:
        assert same(fast.fetch_sync(START, END, node_id=NODE, interval=DAY), sessions())
    assert len(upstream.calls) == 1


async def test_a_store_of_kafka_writers_refuses_before_anything_is_fetched(
    settings: Settings,
) -> None:
    with Store(settings.store) as store:
        store.ensure_tables((DAY,))
        store.meta.claim("kafka", settings.kafka.prefix)
    upstream = Upstream(sessions())
    async with provider_on(settings, upstream) as provider:
        with pytest.raises(StoreOwnedError) as refused:
            await provider.fetch(START, END, node_id=NODE, interval=DAY)
    assert refused.value.prefix == settings.kafka.prefix
    assert upstream.calls == []


async def test_a_store_that_is_not_there_says_so_at_once() -> None:
    async with EnhancedQuestDBProvider("questdb://127.0.0.1:9?pg_port=9") as provider:
        with pytest.raises(StoreUnavailableError, match=r"127\.0\.0\.1:9"):
            await provider.fetch(START, END, node_id=NODE, interval=DAY)


async def test_a_loader_fills_and_then_reads(settings: Settings) -> None:
    upstream = Upstream(sessions())
    async with QuestDBLoader(
        settings.store.dsn,
        fetcher=upstream,
        table_prefix=settings.store.table_prefix,
        nodes={SERIES: STOCK},
    ) as loader:
        assert not len(await loader.fetch(START, END, node_id=NODE, interval=DAY))
        assert upstream.calls == []
        await loader.fill_missing(START, END - DAY, node_id=NODE, interval=DAY)
        assert same(await loader.fetch(START, END, node_id=NODE, interval=DAY), sessions())
        stream = StreamInput(
            node_id=NODE,
            interval=DAY,
            period=10,
            history_provider=loader,
            clock=clock_at(END),
        )
        assert len(await stream.load()) == len(sessions().inside(Window(END - 9 * DAY, END)))


async def test_payloads_come_back_and_the_newest_counts(settings: Settings) -> None:
    recorder = QuestDBRecorder(settings.store.dsn, table_prefix=settings.store.table_prefix)
    assert await recorder.recorded(START, END, node_id=NODE, interval=DAY) == {}
    await recorder.persist(NODE, DAY, START, {"signal": 1.5, "why": "Größe 'x'"})
    await recorder.persist(NODE, DAY, START + DAY, [1, None, "two"])
    await recorder.persist(NODE, DAY, START, {"signal": 2.5})
    await recorder.persist("another", DAY, START, "elsewhere")
    found = await recorder.recorded(START, END, node_id=NODE, interval=DAY)
    assert found == {START: {"signal": 2.5}, START + DAY: [1, None, "two"]}
    assert list(found) == [START, START + DAY]
    only = await recorder.recorded(START + DAY, END, node_id=NODE, interval=DAY)
    assert list(only) == [START + DAY]
    with pytest.raises(UnstorableRowError, match="payload"):
        await recorder.persist(NODE, DAY, START, "x" * (1 << 20))
    await recorder.close()


async def test_the_steps_from_the_loader_can_be_taken_one_after_another(
    settings: Settings, tmp_path: Path
) -> None:
    """The first two as anybody would run them; the third reads what a fleet has stored."""
    example = Path(__file__).resolve().parents[2] / "examples" / "migrate_loader.py"  # noqa: ASYNC240
    node = "ohlcv:demo:Y:1m"
    config = write_config(
        tmp_path / "seamless.yaml",
        settings,
        sources={"mine": {"kind": "csv", "path": "nowhere"}},
        nodes={node: {"interval": "1m", "sources": ["mine"], "calendar": "24/7"}},
    )
    start = 1_600_000_020
    window = Window(start, start + 100 * 60)
    bars = bars_at(np.arange(window.start, window.end, 60, dtype=np.int64))
    await asyncio.to_thread(store_bars, settings, Series(node, 60), bars, window)
    done = await asyncio.create_subprocess_exec(
        *(sys.executable, str(example), settings.store.dsn, str(config)),
        f"{settings.store.table_prefix}mine_",
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await done.communicate()
    assert done.returncode == 0, err.decode()
    assert out.decode().splitlines() == [f"step {k}: 100 bars" for k in (1, 2, 3)]
