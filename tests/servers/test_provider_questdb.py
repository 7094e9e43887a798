"""The provider's behaviour on bars in the real QuestDB, without Kafka."""

from collections.abc import Iterator
from typing import Any

import pytest

from provider import (
    EnhancedQuestDBProvider,
    QuestDBStorage,
    Storage,
    StoreOwnedError,
    StoreUnavailableError,
)
from runtime import Settings
from store import Store
from tests.provider_help import DAY, END, NODE, SERIES, START, STOCK, Upstream, clock_at, same
from tests.provider_suite import LANE, ProviderSuite, sessions

pytestmark = pytest.mark.servers


class TestQuestDB(ProviderSuite):
    @pytest.fixture
    def storage(self, settings: Settings) -> Iterator[Storage]:
        with Store(settings.store) as store:
            yield QuestDBStorage(store, {LANE: 1, "roll": 0}, clock_at())


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
