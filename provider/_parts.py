"""What a provider is made of, and how its options become that."""

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import pandas as pd
from opentelemetry import trace

from bars.conformance import ConformancePipeline
from bars.protocols import (
    AutoBackfiller,
    DataAvailabilityStrategy,
    DataFetcher,
    DataSource,
    LiveDataFeed,
)
from bars.series import Series, check_source
from bars.window import Window
from coordinator.client import LeaseClient
from provider._ask import Calendars, Nodes
from provider._engine import Engine
from provider._fill import DirectFiller, Fetch, FillConfig
from provider._filled import Filler
from provider._flight import Flights
from provider._jobs import Jobs
from provider._leased import LeasedFiller, LeaseTerms
from provider._levels import STORAGE_NAME, Level, PlainLevel, VersionedLevel
from provider._live_tail import LiveTail
from provider._read import SourceReader
from provider._retry import Asking
from provider._slots import Slots
from provider._source_fill import SourceFiller
from provider.backfillers import DataFetcherAutoBackfiller, FillsMissing
from provider.cache import BarCache, MemoryCache
from provider.metrics import ProviderMetrics
from provider.options import (
    DirectOptions,
    JudgeOptions,
    check_accepted,
    check_sla,
    check_strategy,
    direct_nodes,
)
from provider.storage import Storage
from runtime import (
    BackfillConfig,
    BackfillSettings,
    Clock,
    ConfigError,
    Problem,
    SLAPolicy,
    SystemClock,
)
from sources import SourceError

CACHE_TTL_S = 3_600.0

FETCHER = "an object with `async def fetch(start, end, *, node_id, interval)`"
"""What may be asked for bars."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Manners:
    """How a provider answers, whatever it reads from."""

    strategy: DataAvailabilityStrategy = DataAvailabilityStrategy.AUTO_BACKFILL
    pipeline: ConformancePipeline = field(default_factory=ConformancePipeline)
    accepted: tuple[str, ...] = ()
    sla: SLAPolicy | None = None
    clock: Clock = field(default_factory=SystemClock)
    config: BackfillConfig = field(default_factory=BackfillConfig)
    tracer: trace.Tracer | None = None

    @classmethod
    def of(cls, options: JudgeOptions, config: BackfillConfig, **defaults: Any) -> "Manners":
        """Return what the options say, and the defaults where they say nothing."""
        pipeline = options.get("conformance", ConformancePipeline())
        partial_ok = options.get("partial_ok", defaults.get("partial_ok", pipeline.partial_ok))
        automatic = DataAvailabilityStrategy.AUTO_BACKFILL
        strategy = options.get("strategy", defaults.get("strategy", automatic))
        accepted = options.get("accept_warnings", defaults.get("accept_warnings", ()))
        check_accepted(accepted)
        return cls(
            strategy=check_strategy(strategy),
            pipeline=replace(pipeline, partial_ok=partial_ok),
            accepted=tuple(accepted),
            sla=check_sla(options.get("sla", defaults.get("sla"))),
            clock=options.get("clock") or SystemClock(),
            config=config,
            tracer=options.get("tracer"),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """What a provider is made of."""

    engine: Engine
    nodes: Nodes
    calendars: Calendars
    manners: Manners
    feed: LiveDataFeed | None
    closing: Sequence[Any]
    """What is closed with it, first to last; each has `async def close()`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ground:
    """Where a provider stands: who stores, who brings, and how the series trade."""

    storage: Storage | DataSource | None
    filler: Filler | None
    nodes: Nodes
    calendars: Calendars
    metrics: ProviderMetrics
    """Where figures are told."""

    closing: Sequence[Any] = ()
    """What else is closed with the provider."""


def assemble(ground: Ground, manners: Manners, options: JudgeOptions, **defaults: Any) -> Parts:
    """Return the parts of a provider on some ground, by the options and what holds without them.

    Raises:
        ConfigError: An option is not what it may be.
    """
    clock, config = manners.clock, manners.config
    feed = _feed(options.get("live_feed"))
    metrics = ground.metrics
    caches = _caches(options, clock)
    ttl_s = options.get("cache_ttl", defaults.get("cache_ttl", CACHE_TTL_S))
    if isinstance(ttl_s, bool) or not isinstance(ttl_s, int | float) or ttl_s < 0:
        raise ConfigError([Problem("cache_ttl", ttl_s, "0 or more seconds")])
    filling = tuple(cache for cache in caches if isinstance(cache, BarCache))
    plain = [cache for cache in caches if not isinstance(cache, BarCache)]
    levels: list[Level] = [_plain(source) for source in (*plain, *options.get("sources", ()))]
    storage = ground.storage
    if isinstance(storage, Storage):
        levels.append(VersionedLevel(storage, caches=filling))
    elif storage is not None:
        levels.append(PlainLevel(storage, STORAGE_NAME, caches=filling))
    engine = Engine(
        reader=SourceReader(levels, clock, ttl_s, metrics),
        filler=ground.filler,
        flights=Flights(clock, config.single_flight_ttl_ms / 1_000),
        jobs=Jobs(metrics),
        live=LiveTail(feed),
        config=config,
        background=options.get(
            "enable_background_backfill", defaults.get("enable_background_backfill", True)
        ),
        clock=clock,
        metrics=metrics,
    )
    filler = [] if ground.filler is None else [ground.filler]
    closing = [engine.jobs, engine.flights, *ground.closing, *filler, *levels]
    return Parts(
        engine=engine,
        nodes=ground.nodes,
        calendars=ground.calendars,
        manners=manners,
        feed=feed,
        closing=closing,
    )


def direct_parts(
    storage: Storage | DataSource | None,
    bringer: AutoBackfiller | DataFetcher | None,
    options: DirectOptions,
) -> Parts:
    """Return the parts of a provider that stores by itself what somebody brings."""
    source = check_source(options.get("source_name", "fetcher"), "source_name")
    manners = Manners.of(options, backfill_config(options))
    check_fetcher(bringer)
    metrics = options.get("metrics") or ProviderMetrics(options.get("nodes", {}))
    asking = Asking(
        config=manners.config,
        clock=manners.clock,
        slots=Slots(manners.config.max_concurrent_requests),
        on_retry=metrics.retries.add,
    )
    config = FillConfig(
        asking=asking,
        source=source,
        empty_confirmed=options.get("empty_confirmed", False),
        pipeline=manners.pipeline,
    )
    nodes, calendars = direct_nodes(options, source)
    filler = _filler(storage, bringer, config, options.get("coordinator"))
    ground = Ground(
        storage=storage, filler=filler, nodes=nodes, calendars=calendars, metrics=metrics
    )
    return assemble(ground, manners, options)


def backfill_config(options: Mapping[str, Any]) -> BackfillConfig:
    """Return how bars are fetched, as the options say it.

    Raises:
        ConfigError: They say something else.
    """
    given = options.get("backfill_config", BackfillConfig())
    if isinstance(given, BackfillSettings):
        return BackfillConfig.of(given)
    if not isinstance(given, BackfillConfig):
        raise ConfigError([Problem("backfill_config", given, "a BackfillConfig")])
    return given


def _filler(
    storage: Storage | DataSource | None,
    bringer: AutoBackfiller | DataFetcher | None,
    config: FillConfig,
    leases: LeaseClient | None,
) -> Filler | None:
    given: object = storage
    if isinstance(storage, Storage):
        if bringer is None:
            return None
        direct = DirectFiller(storage, asking_of(bringer, config.source), config)
        if leases is None:
            return direct
        terms = LeaseTerms(
            leases=leases,
            session_id=f"provider-{uuid.uuid4()}",
            source=config.source,
            clock=config.asking.clock,
            config=config.asking.config,
        )
        return LeasedFiller(direct, storage, terms)
    if leases is not None:
        raise ConfigError([Problem("coordinator", leases, "left out: the storage has no ledger")])
    if bringer is None:
        return SourceFiller(None, storage, config) if isinstance(given, FillsMissing) else None
    if isinstance(bringer, DataFetcherAutoBackfiller):
        bringer = bringer.fetcher
    if not isinstance(bringer, AutoBackfiller):
        # The provider itself asks again; two layers of it would multiply the attempts.
        once = replace(config.asking.config, max_attempts=1)
        clock = config.asking.clock
        bringer = DataFetcherAutoBackfiller(
            bringer, config=once, clock=clock, source_name=config.source
        )
    return SourceFiller(bringer, storage, config)


def _caches(options: JudgeOptions, clock: Clock) -> Sequence[DataSource]:
    given = options.get("cache_source", MemoryCache(clock=clock))
    if given is None:
        return ()
    found: list[Any] = list(given) if isinstance(given, list | tuple) else [given]
    for cache in found:
        _check_source(cache, "cache_source")
    return found


def _plain(source: DataSource) -> PlainLevel:
    _check_source(source, "sources")
    return PlainLevel(source, type(source).__name__)


def _check_source(source: object, option: str) -> None:
    if not isinstance(source, DataSource):
        allowed = "a DataSource: priority, is_available, fetch, coverage"
        raise ConfigError([Problem(option, source, allowed)])


def _feed(feed: object) -> LiveDataFeed | None:
    if feed is not None and not isinstance(feed, LiveDataFeed):
        allowed = "a LiveDataFeed: is_live_available, subscribe"
        raise ConfigError([Problem("live_feed", feed, allowed)])
    return feed


def check_fetcher(bringer: object) -> None:
    """Go on if somebody can be asked for bars, or nobody is to be.

    Raises:
        ConfigError: It is something else.
    """
    if bringer is not None and not isinstance(bringer, AutoBackfiller | DataFetcher):
        raise ConfigError([Problem("fetcher", bringer, FETCHER)])


def check_live_fetcher(fetcher: object, options: JudgeOptions) -> None:
    """Go on if somebody can be polled for live bars, and there is no other feed.

    Raises:
        ConfigError: It is something else, as an `AutoBackfiller` is, or there is one.
    """
    if not isinstance(fetcher, DataFetcher):
        raise ConfigError([Problem("live_fetcher", fetcher, FETCHER)])
    if "live_feed" in options:
        raise ConfigError([Problem("live_fetcher", fetcher, "left out beside a live_feed")])


def asking_of(bringer: AutoBackfiller | DataFetcher, source: str) -> Fetch:
    """Return how somebody is asked for the bars of a window, once."""
    if isinstance(bringer, DataFetcherAutoBackfiller):
        bringer = bringer.fetcher  # the provider itself cuts windows and asks again
    asked = bringer

    async def fetch(series: Series, window: Window) -> pd.DataFrame:
        about: Any = {"node_id": series.node, "interval": series.interval}
        if not isinstance(asked, AutoBackfiller):
            return await asked.fetch(window.start, window.end, **about)
        if not await asked.can_backfill(window.start, window.end, **about):
            raise SourceError(source, f"cannot backfill {window} now")
        return await asked.backfill(window.start, window.end, **about)

    return fetch
