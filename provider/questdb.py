"""`EnhancedQuestDBProvider`: bars in QuestDB, with or without Kafka behind it."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Self, Unpack

from bars.protocols import DataFetcher
from bars.series import ROLL, backfill_lane
from provider._parts import (
    Ground,
    Manners,
    assemble,
    backfill_config,
    check_live_fetcher,
    direct_parts,
)
from provider._road import road_feed, road_filler
from provider.live import PollingConfig, PollingFeed
from provider.metrics import ProviderMetrics
from provider.options import RoadOptions, StoreOptions, refuse_unknown
from provider.seamless import SeamlessDataProvider
from provider.storage_questdb import QuestDBStorage
from runtime import Settings, StoreSettings, SystemClock
from store import Store


class EnhancedQuestDBProvider(SeamlessDataProvider):
    """Bars in QuestDB.

    Made from a dsn it works in one process without Kafka: what is missing is fetched, judged and
    written here, as lane `bf:<source_name>`. Made by `from_config` it asks for what is missing
    over Kafka and reads it once it is visible.
    """

    def __init__(
        self,
        dsn: str,
        *,
        fetcher: DataFetcher | None = None,
        live_fetcher: DataFetcher | None = None,
        **options: Unpack[StoreOptions],
    ) -> None:
        """Make a provider without Kafka. Nothing is opened before the first call.

        Args:
            dsn: Such as `questdb://127.0.0.1:9000?pg_port=8812`.
            fetcher: Brings what is missing; None: nobody does.
            live_fetcher: Polled for bars as they close; its bars are in no store until a
                backfill brings them. None: there is no live feed.
            **options: See `StoreOptions`.

        Raises:
            ConfigError: An option is unknown or not what it may be.
            InvalidValueError: The dsn is not one.
        """
        refuse_unknown(options, StoreOptions)
        if live_fetcher is not None:
            check_live_fetcher(live_fetcher, options)
            settle_s = backfill_config(options).settle_s
            options["live_feed"] = PollingFeed(
                live_fetcher, PollingConfig(settle_s=settle_s), clock=options.get("clock")
            )
        lane = backfill_lane(options.get("source_name", "fetcher"))
        store = Store(
            StoreSettings(
                dsn=dsn,
                table_prefix=options.get("table_prefix", ""),
                series_expected=options.get("series_expected", 100),
            )
        )
        clock = options.get("clock") or SystemClock()
        ranks = options.get("ranks") or {lane: 1, ROLL: 0}
        storage = QuestDBStorage(store, ranks, clock)
        self._assemble(direct_parts(storage, fetcher, options))

    @classmethod
    def from_config(
        cls,
        path: str | Path,
        *,
        environ: Mapping[str, str] | None = None,
        fetcher: DataFetcher | None = None,
        live_fetcher: DataFetcher | None = None,
        **options: Unpack[RoadOptions],
    ) -> Self:
        """Return a provider that asks for missing bars over Kafka.

        Args:
            path: The configuration, `seamless.yaml`.
            environ: Overrides (`SEAMLESS_...`); pass `os.environ` to have them.
            fetcher: Brings what is missing of the series that list its source (`source_name`, of
                kind provider): this process is then a fetch worker for itself. None: the fetch
                workers bring everything.
            live_fetcher: Polled for bars as they close. Whatever series is streamed here is
                published to the live topic too, by one provider at a time, under a lease.
            **options: See `RoadOptions`; they override the configuration.

        Raises:
            ConfigError: The configuration or an option is not what it may be.
        """
        refuse_unknown(options, RoadOptions)
        settings = Settings.load(Path(path), environ or {})
        return cls.from_settings(settings, fetcher=fetcher, live_fetcher=live_fetcher, **options)

    @classmethod
    def from_settings(
        cls,
        settings: Settings,
        *,
        fetcher: DataFetcher | None = None,
        live_fetcher: DataFetcher | None = None,
        **options: Unpack[RoadOptions],
    ) -> Self:
        """Return a provider that asks for missing bars over Kafka, from settings in hand."""
        refuse_unknown(options, RoadOptions)
        said = settings.seamless_data_provider
        config = replace(
            said.backfill_config,
            settle_s=settings.backfill.settle_s,
            wait_timeout_s=settings.backfill.wait_timeout_s,
        )
        conformance = said.conformance or settings.conformance
        manners = Manners.of(
            options,
            config,
            strategy=said.strategy,
            sla=said.sla,
            partial_ok=conformance.partial_ok,
            accept_warnings=conformance.accept_warnings,
        )
        feeds = []
        if live_fetcher is not None:
            feeds = [road_feed(settings, manners, live_fetcher, options)]
            options["live_feed"] = feeds[0]
        metrics = options.get("metrics") or ProviderMetrics(settings.nodes)
        ground = Ground(
            storage=QuestDBStorage(Store(settings.store), settings.ranks, manners.clock),
            filler=road_filler(settings, manners, metrics, fetcher, options.get("source_name")),
            nodes=settings.node,
            calendars=settings.calendar,
            metrics=metrics,
            closing=feeds,
        )
        provider = cls.__new__(cls)
        parts = assemble(
            ground,
            manners,
            options,
            cache_ttl=said.cache_ttl,
            enable_background_backfill=said.enable_background_backfill,
        )
        provider._assemble(parts)  # noqa: SLF001  of this very class
        return provider
