"""What a provider refuses, how long it waits, and how it ends."""

import asyncio
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from prometheus_client import CollectorRegistry

from bars.calendars import Exchange
from bars.series import Series
from bars.window import Window
from provider import (
    BackfillFailedError,
    ClosedError,
    ConfigError,
    ConformancePipeline,
    DataFetcherAutoBackfiller,
    DataUnavailableError,
    EnhancedQuestDBProvider,
    InvalidValueError,
    NodeSettings,
    PollingFeed,
    ProviderMetrics,
    SeamlessDataProvider,
)
from provider.testing import MemoryStorage
from runtime import BackfillSettings, Settings, SourceSettings
from runtime.metrics import Metrics
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
    sessions,
    weekdays,
)

DSN = "questdb://127.0.0.1:9?pg_port=9"
ASK: dict[str, Any] = {"node_id": NODE, "interval": DAY}


@pytest.mark.parametrize("strategy", ["fast", 3, None])
def test_a_strategy_that_is_not_to_be_had_is_refused_with_those_that_are(strategy: Any) -> None:
    with pytest.raises(ConfigError) as refused:
        EnhancedQuestDBProvider(DSN, strategy=strategy)
    assert refused.value.key == "strategy"
    assert refused.value.allowed == (
        "FAIL_FAST ('fail_fast') or AUTO_BACKFILL ('auto_backfill') or "
        "PARTIAL_FILL ('partial_fill') or SEAMLESS ('seamless')"
    )


def test_an_unknown_option_is_refused_with_those_that_are_known() -> None:
    options: Any = {"stratgy": "fail_fast", "sal": None}
    with pytest.raises(ConfigError) as refused:
        EnhancedQuestDBProvider(DSN, **options)
    assert [p.key for p in refused.value.problems] == ["stratgy", "sal"]
    assert "strategy" in refused.value.allowed


def kafka_settings(*own: str, listed: tuple[str, ...] | None = None) -> Settings:
    """Return settings with sources that a provider brings, and one node that lists them."""
    sources = {name: SourceSettings(name=name, kind="provider") for name in own}
    sources["daily"] = SourceSettings(name="daily", kind="csv", path=Path("nowhere"))
    node = replace(STOCK, sources=(*(own if listed is None else listed), "daily"))
    return Settings(sources=sources, nodes={SERIES: node})


@pytest.mark.parametrize(
    ("settings", "name", "may"),
    [
        (kafka_settings(), None, "there is none"),
        (kafka_settings(), "daily", "there is none"),
        (kafka_settings("a", listed=()), "a", "there is none"),
        (kafka_settings("a", "b"), None, "a, b"),
        (kafka_settings("a", "b"), "c", "a, b"),
    ],
)
def test_a_fetcher_over_kafka_is_a_source_of_the_configuration(
    settings: Settings, name: str | None, may: str
) -> None:
    """Its lane has a rank, and no fetch worker asks somebody else for its bars."""
    options: Any = {} if name is None else {"source_name": name}
    with pytest.raises(ConfigError) as refused:
        EnhancedQuestDBProvider.from_settings(settings, fetcher=Upstream(sessions()), **options)
    assert [p.key for p in refused.value.problems] == ["source_name"]
    assert refused.value.allowed == f"a source of kind provider that a node lists: {may}"


def test_a_name_without_a_fetcher_is_refused() -> None:
    with pytest.raises(ConfigError, match="left out without a fetcher"):
        EnhancedQuestDBProvider.from_settings(kafka_settings("a"), source_name="a")


def test_figures_of_the_own_worker_are_told_beside_those_of_the_provider() -> None:
    """One registry is served: whoever brings the bars, its figures stand there under own names."""
    settings, worker = kafka_settings("a"), Metrics().registry
    own, others = (ProviderMetrics() for _ in range(2))
    EnhancedQuestDBProvider.from_settings(settings, metrics=others)
    for _ in range(2):  # two providers may tell theirs together
        EnhancedQuestDBProvider.from_settings(settings, metrics=own, fetcher=Upstream(sessions()))

    def names(registry: CollectorRegistry) -> list[str]:
        return sorted(family.name for family in registry.collect())

    assert names(others.registry) == names(ProviderMetrics().registry)
    assert names(own.registry) == sorted([*names(others.registry), *names(worker)])


def test_live_bars_are_published_under_leases_or_not_at_all() -> None:
    """Without a lease service two providers would publish one series, each its own bars."""
    with pytest.raises(ConfigError) as refused:
        EnhancedQuestDBProvider.from_settings(kafka_settings(), live_fetcher=Upstream(sessions()))
    assert [p.key for p in refused.value.problems] == ["coordinator"]


def test_a_live_fetcher_beside_a_live_feed_is_refused() -> None:
    """One of the two would not be asked, and nobody would know which."""
    upstream = Upstream(sessions())
    feed: Any = PollingFeed(upstream)
    with pytest.raises(ConfigError, match="live_fetcher: must be left out beside a live_feed"):
        EnhancedQuestDBProvider(DSN, live_fetcher=upstream, live_feed=feed)
    with pytest.raises(ConfigError, match="live_fetcher: must be left out beside a live_feed"):
        EnhancedQuestDBProvider.from_settings(
            kafka_settings(), live_fetcher=upstream, live_feed=feed
        )


def test_who_only_backfills_is_no_live_fetcher() -> None:
    """It has no `fetch` to be polled by, which would come out long after, in the stream."""
    backfiller: Any = DataFetcherAutoBackfiller(Upstream(sessions()))
    with pytest.raises(ConfigError, match="async def fetch") as refused:
        EnhancedQuestDBProvider(DSN, live_fetcher=backfiller)
    assert (refused.value.key, refused.value.value) == ("live_fetcher", backfiller)
    with pytest.raises(ConfigError, match="live_fetcher: must be an object with `async def fetch"):
        EnhancedQuestDBProvider.from_settings(kafka_settings(), live_fetcher=backfiller)


def test_a_lease_that_leaves_no_time_to_publish_is_refused() -> None:
    settings = replace(
        kafka_settings(), has_coordinator=True, backfill=BackfillSettings(lease_ttl_ms=5_000)
    )
    with pytest.raises(InvalidValueError, match=r"backfill\.lease_ttl_ms must be above 5000"):
        EnhancedQuestDBProvider.from_settings(settings, live_fetcher=Upstream(sessions()))


def test_what_is_no_fetcher_is_refused() -> None:
    nothing: Any = object()
    with pytest.raises(ConfigError, match="async def fetch"):
        EnhancedQuestDBProvider(DSN, fetcher=nothing)


def test_a_wrong_dsn_is_refused_without_its_password() -> None:
    with pytest.raises(ConfigError) as refused:
        EnhancedQuestDBProvider("postgres://me:secret@host")
    assert "secret" not in str(refused.value)


def test_nodes_must_stand_under_their_own_series_and_name_known_calendars() -> None:
    strange = NodeSettings(series=Series("x", 60), sources=("s",), calendar="XNOPE")
    with pytest.raises(ConfigError) as refused:
        EnhancedQuestDBProvider(DSN, nodes={SERIES: strange})
    assert [p.key for p in refused.value.problems] == [
        f"nodes.{SERIES}.series",
        f"nodes.{SERIES}.calendar",
    ]


def test_warnings_to_accept_must_be_checks_that_warn() -> None:
    with pytest.raises(ConfigError, match=r"time\.session"):
        EnhancedQuestDBProvider(DSN, accept_warnings=("time.grid",))


def test_a_storage_has_to_be_given() -> None:
    with pytest.raises(ConfigError) as refused:
        SeamlessDataProvider()
    assert refused.value.key == "storage_source"


async def test_any_backfiller_and_storage_make_a_provider() -> None:
    """The concrete base, no server at all: what it cannot get, the backfiller of QMTL brings."""

    class Backfiller(Upstream):
        async def can_backfill(self, *_: Any, **__: Any) -> bool:
            return True

        async def backfill(self, start: int, end: int, **more: Any) -> Any:
            return await self.fetch(start, end, **more)

        def backfill_async(self, *_: Any, **__: Any) -> Any:
            raise NotImplementedError

    backfiller = Backfiller(sessions())
    async with SeamlessDataProvider(
        storage_source=MemoryStorage(),
        backfiller=backfiller,
        nodes={SERIES: STOCK},
        conformance=ConformancePipeline(partial_ok=True),
    ) as provider:
        frame = await provider.fetch(START, END, **ASK)
    assert len(frame) == len(sessions())
    assert frame.attrs["seamless"]["sources"][0]["lane"] == "bf:fetcher"


async def test_a_series_that_nobody_describes_trades_always() -> None:
    storage = MemoryStorage()
    truth = bars_at(sessions().ts // DAY * 60)
    first, last = int(truth.ts[0]), int(truth.ts[-1])
    async with Made(storage, Upstream(truth)) as provider:
        frame = await provider.fetch(first, last + 60, node_id="other", interval=60)
    slots = (last - first) // 60 + 1
    assert frame.attrs["seamless"]["session_bars"] == slots
    assert frame.attrs["seamless"]["missing_slots"] == {"no_trades": slots - len(truth)}


async def test_of_many_absences_weekends_are_cut_first_and_counts_stay_exact() -> None:
    """Pandas copies attrs with every operation; thousands of ranges would slow each one down."""
    node = STOCK
    days = weekdays(START, START + 1_400 * DAY)
    quiet = days[len(days) // 2]
    holidays = Exchange("XNYS").session_bars(node.grid, Window(START, START + 1_400 * DAY))
    truth = bars_at(np.setdiff1d(np.intersect1d(days, holidays), [quiet]))
    clock = clock_at(START + 2_000 * DAY)
    async with Made(MemoryStorage({LANE: 1}), Upstream(truth), clock=clock) as provider:
        frame = await provider.fetch(START, START + 1_400 * DAY, **ASK)
    told = frame.attrs["seamless"]
    assert told["cut"] == ["missing"]
    assert [(m["reason"], m["start"]) for m in told["missing"]] == [("no_trades", quiet)]
    assert told["missing_slots"]["closed"] + 1 + len(truth) == 1_400


async def test_a_fetch_that_takes_too_long_ends_with_its_request_named() -> None:
    """On a clock in the test's hand: the budget ends the wait, not the source."""

    class Sleeper(Upstream):
        async def fetch(self, *_: Any, **__: Any) -> Any:
            await asyncio.Event().wait()

    clock = clock_at()
    config = BackfillSettings(wait_timeout_s=2.0)
    async with Made(
        MemoryStorage({LANE: 1}), Sleeper(sessions()), clock=clock, backfill_config=config
    ) as provider:
        asked = asyncio.ensure_future(provider.fetch(START, END, **ASK))
        await clock.until_sleeping()
        clock.advance(1.9)
        await asyncio.sleep(0)
        assert not asked.done()
        clock.advance(0.2)
        with pytest.raises(DataUnavailableError, match="within 2 s and does not go on") as late:
            await asked
    assert late.value.request_id
    assert late.value.retriable
    assert late.value.missing_bars == len(sessions())


async def test_a_closed_provider_answers_nothing() -> None:
    provider = Made(MemoryStorage(), Upstream(sessions()))
    await provider.close()
    await provider.close()
    with pytest.raises(ClosedError):
        await provider.fetch(START, END, **ASK)
    with pytest.raises(ClosedError):
        await provider.coverage(**ASK)


def test_closing_ends_the_thread_of_the_sync_twin() -> None:
    provider = Made(MemoryStorage({LANE: 1}), Upstream(sessions()))
    provider.fetch_sync(START, END, **ASK)
    assert any(t.name == "seamless-provider" for t in threading.enumerate())
    provider.close_sync()
    provider.close_sync()
    assert not any(t.name == "seamless-provider" for t in threading.enumerate())


async def test_the_sync_twin_refuses_to_wait_for_itself() -> None:
    """Called by the very loop that should answer, it would wait for ever."""

    class Inside(Upstream):
        async def fetch(self, start: int, end: int, **more: Any) -> Any:
            return provider.fetch_sync(start, end, **more)

    once = BackfillSettings(max_attempts=1)
    provider = Made(MemoryStorage({LANE: 1}), Inside(sessions()), backfill_config=once)
    with pytest.raises(BackfillFailedError, match="sync twin"):
        await asyncio.to_thread(provider.fetch_sync, START, END, **ASK)
    await provider.close()
