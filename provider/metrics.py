"""The figures that a provider tells. Labels are bounded, whatever is asked for.

Only nodes that the configuration lists have series of their own, and of those the first hundred;
the rest are told together as `other`.
"""

from collections.abc import Iterable
from threading import Lock

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from bars.series import Series
from runtime.metrics import Count, Level, Metrics, Spread

NODES_MAX = 100
OTHER = "other"

_SECONDS = (0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0, 300.0)


class ProviderMetrics:
    """Every metric of a provider, in a registry of its own unless one is given."""

    def __init__(
        self, nodes: Iterable[Series] = (), registry: CollectorRegistry | None = None
    ) -> None:
        """Make the metrics.

        Args:
            nodes: Those that the configuration lists.
            registry: Where they are told; one registry holds one provider's.
        """
        self.registry = CollectorRegistry() if registry is None else registry
        self._nodes = frozenset(sorted({series.node for series in nodes})[:NODES_MAX])
        self._lock = Lock()
        self._last: dict[tuple[str, str], int] = {}
        self._cached = [0, 0]
        self._worker: Metrics | None = None
        self.sla_seconds = self._spread(
            "seamless_sla_deadline_seconds",
            "Time of a fetch, by phase and in total.",
            "phase",
            "node_id",
        )
        self.fetch_seconds = self._spread(
            "seamless_fetch_seconds", "How long reading a source took.", "source"
        )
        self.source_failures = self._count(
            "seamless_source_failures", "Times that a source was passed over.", "source"
        )
        self.cache_hits = self._count("seamless_cache_hits", "Slots that a cache had.")
        self.cache_misses = self._count("seamless_cache_misses", "Slots that no cache had.")
        self.cache_hit_ratio = self._level(
            "seamless_cache_hit_ratio", "Share of the slots that a cache had, since the start."
        )
        self.queue_depth = self._level(
            "seamless_background_queue_depth", "Windows that are being filled behind calls."
        )
        self.coverage_ratio = self._level(
            "seamless_coverage_ratio", "Share of the session bars last asked for.", "node_id"
        )
        self.staleness_s = self._level(
            "seamless_staleness_seconds",
            "From the close of the last bar of the last answer to then.",
            "node_id",
        )
        self.jobs_in_progress = self._level(
            "backfill_jobs_in_progress", "Fills that run behind calls."
        )
        self.last_timestamp = self._level(
            "backfill_last_timestamp",
            "Open time of the newest bar that was brought; never goes back.",
            "node_id",
            "interval",
        )
        self.retries = self._count("backfill_retry", "Times that a source was asked again.")
        self.failures = self._count(
            "backfill_failure", "Windows that finally failed.", "error_class"
        )

    def of_worker(self) -> Metrics:
        """Return the figures of a fetch worker in this process, told in the same registry.

        They are there from the first call on: most providers have no worker.
        """
        with self._lock:
            if self._worker is None:
                self._worker = Metrics(self.registry)
            return self._worker

    def node(self, node_id: str) -> str:
        """Return the label of a node."""
        return node_id if node_id in self._nodes else OTHER

    def brought(self, series: Series, ts: int) -> None:
        """Take note of the newest bar that was brought."""
        key = (self.node(series.node), str(series.interval))
        with self._lock:
            self._last[key] = max(ts, self._last.get(key, 0))
            self.last_timestamp.set(self._last[key], node_id=key[0], interval=key[1])

    def cached(self, hits: int, misses: int) -> None:
        """Take note of what caches had and had not."""
        self.cache_hits.add(hits)
        self.cache_misses.add(misses)
        with self._lock:
            self._cached[0] += hits
            self._cached[1] += hits + misses
            had, asked = self._cached
        if asked:
            self.cache_hit_ratio.set(had / asked)

    def _count(self, name: str, what: str, *labels: str) -> Count:
        return Count(Counter(name, what, labels, registry=self.registry), labels)

    def _level(self, name: str, what: str, *labels: str) -> Level:
        return Level(Gauge(name, what, labels, registry=self.registry), labels)

    def _spread(self, name: str, what: str, *labels: str) -> Spread:
        made = Histogram(name, what, labels, registry=self.registry, buckets=_SECONDS)
        return Spread(made, labels)
