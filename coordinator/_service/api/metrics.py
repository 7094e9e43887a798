"""What one node measures, in a registry of its own.

Events are counted by the node that leads when it applies them, so the sum over all nodes counts
each once. Levels are read from the state when Prometheus asks; every node tells them, and the one
that leads is the newest. No label has a value that a client could choose.
"""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence

from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from coordinator._service.api import levels
from coordinator._service.log import ReplicatedLog
from coordinator.machine import Event, StaleClaim, StaleKind, WindowFailed, WindowWaits

_SECONDS = (0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0)

RETRY_CLASSES = ("rate_limited", "lease", "source")

More = Callable[[], Mapping[str, float]]
"""Further counts of a node by metric name, such as those of its disk."""


class ServiceMetrics:
    """Every figure of a node of the lease service."""

    def __init__(self, label_nodes: Collection[str] = ()) -> None:
        """Begin to count.

        Args:
            label_nodes: Nodes of series that have a completion ratio of their own.
        """
        self.registry = CollectorRegistry()
        self._label_nodes = frozenset(label_nodes)
        self._requests = self._count("coordinator_requests", "Requests.", "route", "status")
        self._request_seconds = self._spread(
            "coordinator_request_seconds", "How long requests took, waiting included.", "route"
        )
        self._grant_seconds = self._spread(
            "coordinator_lease_grant_seconds", "From asking the log for a lease to its grant."
        )
        self._stale = self._count(
            "coordinator_stale_claims", "Leases whose holders lost them or came late.", "kind"
        )
        self._retries = self._count(
            "backfill_retry", "Windows that are to be fetched again.", "class"
        )
        self._failures = self._count("backfill_failure", "Windows that were given up.")
        self._children: dict[tuple[str, int], tuple[Counter, Histogram]] = {}
        for kind in StaleKind:
            self._stale.labels(kind.value)
        for name in RETRY_CLASSES:
            self._retries.labels(name)

    def observe(self, log: ReplicatedLog, more: More | None = None) -> Callable[[], None]:
        """Measure a node from now on; return what ends that.

        Args:
            log: The node's.
            more: Further counts.
        """

        def on_entry(_index: int, events: Sequence[Event] | None) -> None:
            if events and log.status().is_leader:
                self._on_events(events)

        collector = _Levels(log, self._label_nodes, more)
        self.registry.register(collector)
        unsubscribe = log.subscribe(on_entry)

        def end() -> None:
            unsubscribe()
            self.registry.unregister(collector)

        return end

    def on_request(self, route: str, status: int, seconds: float) -> None:
        """Take note of a request; routes and numbers of HTTP are few."""
        children = self._children.get((route, status))
        if children is None:
            counted = self._requests.labels(route, str(status))
            children = self._children[route, status] = (
                counted,
                self._request_seconds.labels(route),
            )
        children[0].inc()
        children[1].observe(seconds)

    def on_grant(self, seconds: float) -> None:
        """Take note of an acquire that was granted something."""
        self._grant_seconds.observe(seconds)

    def _on_events(self, events: Sequence[Event]) -> None:
        for event in events:
            match event:
                case StaleClaim():
                    self._stale.labels(event.kind.value).inc()
                case WindowWaits():
                    self._retries.labels(retry_class(event)).inc()
                case WindowFailed():
                    self._failures.inc()
                case _:
                    pass

    def _count(self, name: str, what: str, *labels: str) -> Counter:
        return Counter(name, what, labels, registry=self.registry)

    def _spread(self, name: str, what: str, *labels: str) -> Histogram:
        return Histogram(name, what, labels, registry=self.registry, buckets=_SECONDS)


def retry_class(event: WindowWaits) -> str:
    """Return why a window is to be fetched again, as one of a few words."""
    if event.rate_limited:
        return "rate_limited"
    return "lease" if event.error_class.startswith("lease_") else "source"


class _Levels(Collector):
    """What is read when Prometheus asks."""

    def __init__(self, log: ReplicatedLog, label_nodes: frozenset[str], more: More | None) -> None:
        self._log = log
        self._label_nodes = label_nodes
        self._more = more

    def collect(self) -> Iterator[Metric]:
        """Yield every level."""
        status, state = self._log.status(), self._log.state()
        for name, value in levels.of_log(status, self._log.digest()).items():
            yield _metric(name, value)
        for name, value in levels.of_state(state).items():
            yield _metric(name, value)
        for name, value in (self._more() if self._more else {}).items():
            yield _metric(name, value)
        for name, label, values in levels.by_state(state):
            family = GaugeMetricFamily(name, levels.HELP[name], labels=[label])
            for key, value in values.items():
                family.add_metric([key], value)
            yield family
        ratio = GaugeMetricFamily(
            "backfill_completion_ratio",
            levels.HELP["backfill_completion_ratio"],
            labels=["node", "interval"],
        )
        last = GaugeMetricFamily(
            "backfill_last_timestamp",
            levels.HELP["backfill_last_timestamp"],
            labels=["node", "interval"],
        )
        for row in levels.by_node(state, self._label_nodes):
            ratio.add_metric([row.node, row.interval], row.ratio)
            if row.last_timestamp is not None:
                last.add_metric([row.node, row.interval], row.last_timestamp)
        yield ratio
        yield last

    def describe(self) -> Iterator[Metric]:
        """Yield nothing: names are checked by a test, not by asking a log that has not begun."""
        return iter(())


def _metric(name: str, value: float) -> Metric:
    if name.endswith("_total"):
        return CounterMetricFamily(name, levels.HELP[name], value=value)
    return GaugeMetricFamily(name, levels.HELP[name], value=value)
