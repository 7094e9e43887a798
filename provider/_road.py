"""Who brings missing bars where there is Kafka: fetch workers, and a fetcher of this process."""

from bars.protocols import AutoBackfiller, DataFetcher
from provider._filled import Filler
from provider._own_fill import AskedFetcher, OwnRequests, SplitFiller
from provider._parts import Manners, asking_of, check_fetcher, check_live_fetcher
from provider._publishing_feed import PublishingFeed
from provider._request_fill import RequestFiller
from provider._slots import Slots
from provider.backfills import BackfillRequests
from provider.metrics import ProviderMetrics
from provider.options import RoadOptions
from runtime import BY_PROVIDER, ConfigError, Problem, Settings, SourceSettings
from sources import given_source


def road_filler(
    settings: Settings,
    manners: Manners,
    metrics: ProviderMetrics,
    fetcher: AutoBackfiller | DataFetcher | None,
    source_name: str | None,
) -> Filler:
    """Return who brings missing bars.

    Args:
        settings: The configuration.
        manners: How the provider works.
        metrics: Where a fetcher's worker tells its figures too.
        fetcher: Brings the bars of its source; None: the fetch workers bring everything.
        source_name: Its source, where there are several that it may be.

    Raises:
        ConfigError: The fetcher is none, or the configuration has no source for it.
    """
    most = manners.config.max_concurrent_requests
    over_kafka = RequestFiller(BackfillRequests(settings, manners.clock), Slots(most))
    if fetcher is None:
        if source_name is not None:
            raise ConfigError([Problem("source_name", source_name, "left out without a fetcher")])
        return over_kafka
    check_fetcher(fetcher)
    said = _source_of(settings, source_name)
    source = given_source(said, AskedFetcher(asking_of(fetcher, said.name)))
    own = RequestFiller(
        OwnRequests(settings, source, manners.clock, metrics.of_worker()), Slots(most)
    )
    return SplitFiller(own, over_kafka, lambda series: said.name in settings.node(series).sources)


def road_feed(
    settings: Settings, manners: Manners, fetcher: DataFetcher, options: RoadOptions
) -> PublishingFeed:
    """Return the feed that publishes what it yields.

    Raises:
        ConfigError: There is another feed, or nobody gives leases.
    """
    check_live_fetcher(fetcher, options)
    if not settings.has_coordinator:
        allowed = "given: a live series is published by one provider, under a lease of the service"
        raise ConfigError([Problem("coordinator", None, allowed)])
    return PublishingFeed(fetcher, settings, manners.clock)


def _source_of(settings: Settings, name: str | None) -> SourceSettings:
    """Return the source of the configuration that a fetcher is."""
    listed = {source for node in settings.nodes.values() for source in node.sources}
    own = [s.name for s in settings.sources.values() if s.kind == BY_PROVIDER and s.name in listed]
    if name is None and len(own) == 1:
        name = own[0]
    if name not in own:
        may = ", ".join(own) or "there is none"
        allowed = f"a source of kind {BY_PROVIDER} that a node lists: {may}"
        raise ConfigError([Problem("source_name", name, allowed)])
    return settings.sources[name]
