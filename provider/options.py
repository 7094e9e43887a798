"""What a provider may be told when it is made, checked before anything is opened."""

from collections.abc import Iterable, Mapping, Sequence
from typing import TypedDict

from opentelemetry import trace

from bars.calendars import exchange_codes
from bars.conformance import CHECKS, ConformancePipeline, Severity
from bars.protocols import (
    AutoBackfiller,
    DataAvailabilityStrategy,
    DataFetcher,
    DataSource,
    LiveDataFeed,
)
from bars.series import Series
from coordinator.client import LeaseClient
from provider._ask import Calendars, Nodes
from provider.metrics import ProviderMetrics
from provider.storage import Storage
from runtime import (
    BackfillConfig,
    BackfillSettings,
    CalendarSettings,
    Clock,
    ConfigError,
    NodeSettings,
    Problem,
    Settings,
    SLAPolicy,
)

ALLOWED_STRATEGIES = tuple(DataAvailabilityStrategy)
ALWAYS_OPEN = "24/7"


class CallOptions(TypedDict, total=False):
    """What one call may say differently."""

    strategy: DataAvailabilityStrategy | str
    """What to do about missing bars."""

    sla: SLAPolicy | None
    """The service level; None: none."""

    partial_ok: bool
    """Report what conformance objects to instead of raising it."""


class JudgeOptions(TypedDict, total=False):
    """How answers are made and judged, whatever they are read from."""

    strategy: DataAvailabilityStrategy | str
    """What to do about missing bars; AUTO_BACKFILL unless said otherwise."""

    sla: SLAPolicy | None
    """The service level of every call that does not say otherwise."""

    cache_source: DataSource | Sequence[DataSource] | None
    """Asked first, in this order; a `BarCache` is filled with what was read below it. A
    `MemoryCache` unless said otherwise; None: nothing is kept."""

    cache_ttl: float
    """Seconds that cached bars of a source without a ledger are believed; 3600."""

    sources: Sequence[DataSource]
    """Other places where bars may be, asked in the order of their priority."""

    live_feed: LiveDataFeed
    """Has the newest bars before any source has them."""

    enable_background_backfill: bool
    """Whether anything may be fetched behind a call."""

    metrics: ProviderMetrics
    """Where figures are told."""

    tracer: trace.Tracer
    """Where spans go; OpenTelemetry's global one unless said otherwise."""

    conformance: ConformancePipeline
    """Judges what is fetched and what is answered."""

    partial_ok: bool
    """Report what conformance objects to instead of raising it."""

    accept_warnings: tuple[str, ...]
    """Checks whose warnings do not raise."""

    clock: Clock
    """Where time comes from."""


class DirectOptions(JudgeOptions, total=False):
    """What a provider without Kafka may be told besides."""

    nodes: Mapping[Series, NodeSettings]
    """How each series trades; one that is not here: 24/7, origin 0, always listed."""

    calendars: Mapping[str, CalendarSettings]
    """Calendars that `nodes` name."""

    backfill_config: BackfillConfig | BackfillSettings
    """Size of a window, how many at a time, retries, how long a call waits."""

    coordinator: LeaseClient
    """Gives the right to fetch a window, where several processes fill one store."""

    source_name: str
    """Name of the fetcher; what it brings is stored as lane `bf:<name>`."""

    empty_confirmed: bool
    """Whether an answer of the fetcher without bars proves that there are none."""

    ranks: Mapping[str, int]
    """Rank of each lane, the higher one wins; the fetcher's above `roll` unless said otherwise."""


class RoadOptions(JudgeOptions, total=False):
    """What a provider with Kafka may be told besides."""

    source_name: str
    """Which source of the configuration the `fetcher` is: one of kind provider. May be left out
    where there is one."""


class ProviderOptions(DirectOptions, total=False):
    """What `SeamlessDataProvider` may be told."""

    storage_source: Storage | DataSource
    """Where bars are kept."""

    backfiller: AutoBackfiller | DataFetcher
    """Brings what is missing there."""


class StoreOptions(DirectOptions, total=False):
    """What `EnhancedQuestDBProvider` may be told."""

    table_prefix: str
    """What every table's name begins with."""

    series_expected: int
    """How many series there will be; decides how much time one partition of a table spans."""


def refuse_unknown(given: Iterable[str], allowed: type) -> None:
    """Go on if every name is a key of a TypedDict.

    Raises:
        ConfigError: Some are not; all of them are named.
    """
    names = sorted(allowed.__annotations__)
    unknown = [name for name in given if name not in names]
    if unknown:
        may = f"one of {', '.join(names)}"
        raise ConfigError([Problem(name, name, may, unknown=True) for name in unknown])


def check_strategy(strategy: object) -> DataAvailabilityStrategy:
    """Return the strategy, given as itself or by its value.

    Raises:
        ConfigError: It is none, or one that is not to be had.
    """
    for allowed in ALLOWED_STRATEGIES:
        if strategy == allowed:
            return allowed
    may = " or ".join(f"{s.name} ({s.value!r})" for s in ALLOWED_STRATEGIES)
    raise ConfigError([Problem("strategy", getattr(strategy, "value", strategy), may)])


def check_sla(sla: object) -> SLAPolicy | None:
    """Return the service level.

    Raises:
        ConfigError: It is none.
    """
    if sla is not None and not isinstance(sla, SLAPolicy):
        raise ConfigError([Problem("sla", sla, "an SLAPolicy, or None")])
    return sla


def check_accepted(checks: Iterable[str]) -> None:
    """Go on if each is the id of a check whose warnings may be accepted.

    Raises:
        ConfigError: Some are not; all of them are named.
    """
    warn = sorted(check for check, severity in CHECKS.items() if severity is Severity.WARN)
    wrong = [check for check in checks if check not in warn]
    if wrong:
        allowed = f"checks that warn: {', '.join(warn)}"
        raise ConfigError([Problem("accept_warnings", check, allowed) for check in wrong])


def direct_nodes(options: DirectOptions, source: str) -> tuple[Nodes, Calendars]:
    """Return how to look up a series' settings and their calendar.

    Raises:
        ConfigError: A node names a calendar that nobody knows, or stands under another series.
    """
    nodes = dict(options.get("nodes", {}))
    calendars = dict(options.get("calendars", {}))
    problems = [
        Problem(f"nodes.{series}.series", str(node.series), f"the key it stands under, {series}")
        for series, node in nodes.items()
        if node.series != series
    ]
    own = {*calendars, ALWAYS_OPEN}
    problems += [
        Problem(
            f"nodes.{series}.calendar",
            node.calendar,
            f"{ALWAYS_OPEN}, an exchange code or one of calendars: {', '.join(calendars)}",
        )
        for series, node in nodes.items()
        if node.calendar not in own and node.calendar not in exchange_codes()
    ]
    if problems:
        raise ConfigError(problems)

    def node_of(series: Series) -> NodeSettings:
        return nodes.get(series) or NodeSettings(
            series=series, sources=(source,), calendar=ALWAYS_OPEN
        )

    return node_of, Settings(calendars=calendars).calendar
