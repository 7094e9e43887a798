"""The catalogue of metrics: every figure that a process tells, with labels that are bounded.

One `Metrics` is made at a process's edge and handed down; it has a registry of its own unless one
is given, so two of them in one process (as in tests) do not meet.
"""

from dataclasses import dataclass, field
from threading import Lock
from typing import Generic, TypeVar

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, start_http_server
from prometheus_client.metrics import MetricWrapperBase

M = TypeVar("M", bound=MetricWrapperBase)

LABEL_SETS_MAX = 500
"""Distinct label values that one metric keeps; what comes later is counted as `other`."""

_SECONDS = (0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0, 300.0)


class _Bounded(Generic[M]):
    """A metric whose number of label sets has a limit."""

    def __init__(self, metric: M, labels: tuple[str, ...]) -> None:
        self._metric = metric
        self._labels = labels
        self._seen: set[tuple[str, ...]] = set()
        self._lock = Lock()

    def _at(self, values: dict[str, str]) -> M:
        if not self._labels:
            return self._metric
        chosen = tuple(values[name] for name in self._labels)
        with self._lock:
            if chosen not in self._seen:
                if len(self._seen) >= LABEL_SETS_MAX:
                    chosen = ("other",) * len(chosen)
                else:
                    self._seen.add(chosen)
        return self._metric.labels(*chosen)


class Count(_Bounded[Counter]):
    """A number that only grows."""

    def add(self, amount: float = 1, **labels: str) -> None:
        """Add to it."""
        self._at(labels).inc(amount)


class Level(_Bounded[Gauge]):
    """A number that goes up and down."""

    def set(self, value: float, **labels: str) -> None:
        """Say what it is now."""
        self._at(labels).set(value)


class Spread(_Bounded[Histogram]):
    """How seconds are distributed."""

    def observe(self, seconds: float, **labels: str) -> None:
        """Add one observation."""
        self._at(labels).observe(seconds)


@dataclass(frozen=True, slots=True)
class Served:
    """Metrics that are served over HTTP."""

    port: int
    """Where, on this machine."""

    _stop: tuple[object, object] = field(repr=False)

    def close(self) -> None:
        """Stop serving."""
        server, thread = self._stop
        server.shutdown()  # type: ignore[attr-defined]
        server.server_close()  # type: ignore[attr-defined]
        thread.join()  # type: ignore[attr-defined]


class Metrics:
    """Every metric that there is; a process uses those of its role."""

    def __init__(self, registry: CollectorRegistry | None = None) -> None:
        """Make the metrics; they are told in `registry`, which holds one such set at most."""
        self.registry = CollectorRegistry() if registry is None else registry
        self.chunks_judged = self._count(
            "chunks_judged_total", "Chunks that conformance has judged.", "verdict"
        )
        self.conformance_flags = self._count(
            "conformance_flags_total", "Flags that checks have raised.", "check", "severity"
        )
        self.revisions = self._count(
            "revisions_total", "Bars told with other values than before.", "kind"
        )
        self.bars_stored = self._count(
            "bars_stored_total", "Bars that are visible, verified and in the ledger."
        )
        self.dead_letters = self._count(
            "dead_letters_total",
            "Records that can never be right.",
            "error_class",
        )
        self.windows = self._count("windows_total", "Windows by how they ended.", "state")
        self.retries = self._count("retries_total", "Times that something was tried again.", "what")
        self.store_suspended = Level(
            Gauge(
                "seamless_store_suspended",
                "1 while a table of the store is suspended.",
                registry=self.registry,
            ),
            (),
        )
        self.flush_seconds = self._spread(
            "flush_seconds", "From the first row of a flush to its receipts."
        )
        self.source_seconds = self._spread(
            "source_seconds", "How long a source took to answer.", "source"
        )

    def serve(self, port: int, host: str = "127.0.0.1") -> Served:
        """Serve the metrics to Prometheus; port 0 takes a free one."""
        server, thread = start_http_server(port, host, self.registry)
        return Served(int(server.server_port), (server, thread))

    def _count(self, name: str, what: str, *labels: str) -> Count:
        return Count(Counter(f"seamless_{name}", what, labels, registry=self.registry), labels)

    def _spread(self, name: str, what: str, *labels: str) -> Spread:
        made = Histogram(f"seamless_{name}", what, labels, registry=self.registry, buckets=_SECONDS)
        return Spread(made, labels)
