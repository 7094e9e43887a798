"""Every time series that processes of ours serve, as Prometheus sees it."""

import re
from dataclasses import dataclass

from coordinator._service.api import levels
from coordinator._service.api.metrics import ServiceMetrics
from coordinator.testing import MemoryCluster
from runtime.metrics import Count, Level, Metrics, Spread
from runtime.testing import ManualClock


@dataclass(frozen=True)
class Sample:
    """A time series as Prometheus sees it."""

    labels: frozenset[str]


def catalogue() -> dict[str, Sample]:
    """Return every time series that processes serve, and the one that Prometheus makes itself."""
    found = {"up": Sample(frozenset({"job", "instance"}))}
    for metric in vars(Metrics()).values():
        if isinstance(metric, Count | Level | Spread):
            (family,) = metric._metric.describe()
            labels = frozenset(metric._labels)
            if isinstance(metric, Count):
                found[f"{family.name}_total"] = Sample(labels)
            elif isinstance(metric, Level):
                found[family.name] = Sample(labels)
            else:
                found[f"{family.name}_count"] = found[f"{family.name}_sum"] = Sample(labels)
                found[f"{family.name}_bucket"] = Sample(labels | {"le"})
    return found | coordinator()


def coordinator() -> dict[str, Sample]:
    """Return every time series that a node of the lease service serves."""
    metrics = ServiceMetrics(["n"])
    more = [name for name in levels.HELP if name not in SERVED]
    metrics.observe(MemoryCluster(ManualClock()).first, lambda: dict.fromkeys(more, 0.0))
    metrics.on_request("/", 200, 0.1)
    labels: dict[str, frozenset[str]] = {}
    for family in metrics.registry.collect():
        for sample in family.samples:
            labels[sample.name] = frozenset(sample.labels)
    return {name: Sample(found) for name, found in labels.items() if not name.endswith("_created")}


SERVED = {
    "backfill_completion_ratio",
    "backfill_last_timestamp",
    "coordinator_leases",
    "coordinator_windows",
    *levels.of_log(MemoryCluster(ManualClock()).first.status(), (0, "0" * 64)),
    *levels.of_state(MemoryCluster(ManualClock()).first.state()),
}
"""What a node says of its log and state by itself; the rest comes from its engine."""

KNOWN = catalogue()


def family(name: str) -> str:
    """Return the metric that a time series belongs to."""
    return re.sub(r"_(count|sum|bucket)$", "", name)
