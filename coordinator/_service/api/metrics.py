"""What one node measures, in a registry of its own."""

from prometheus_client import CollectorRegistry, Counter, Histogram

_SECONDS = (0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0)


class ServiceMetrics:
    """Every figure of a node of the lease service."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._requests = Counter(
            "coordinator_requests",
            "Requests by route and answer.",
            ("route", "status"),
            registry=self.registry,
        )
        self._request_seconds = Histogram(
            "coordinator_request_seconds",
            "How long requests took, their waiting included.",
            ("route",),
            registry=self.registry,
            buckets=_SECONDS,
        )

    def on_request(self, route: str, status: int, seconds: float) -> None:
        """Take note of a request; routes and numbers of HTTP are few."""
        self._requests.labels(route, str(status)).inc()
        self._request_seconds.labels(route).observe(seconds)
