"""Is the process there, may it be asked, what does it measure: for what looks after it."""

from collections.abc import Iterator

from prometheus_client import generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from coordinator._service.api.asked import Answered, Asked, Route
from coordinator._service.api.auth import Role
from coordinator._service.api.metrics import ServiceMetrics
from coordinator._service.log import LogStatus, ReplicatedLog

BEHIND_MAX = 1_000
"""A node that has so many entries still to apply answers from too long ago."""


def routes(log: ReplicatedLog, metrics: ServiceMetrics) -> Iterator[Route]:
    """Yield the routes."""

    async def alive(_asked: Asked) -> Answered:
        return Answered(document={"status": "ok", "node": log.status().node_id})

    async def ready(_asked: Asked) -> Answered:
        reason = why_not_ready(log.status())
        if reason is None:
            return Answered(document={"status": "ready"})
        return Answered(document={"status": "not_ready", "reason": reason}, status=503)

    async def measured(_asked: Asked) -> Answered:
        text = generate_latest(metrics.registry)
        return Answered(raw=text, content_type=CONTENT_TYPE_LATEST)

    yield Route(method="GET", path="/healthz", role=None, handler=alive)
    yield Route(method="GET", path="/readyz", role=None, handler=ready)
    yield Route(method="GET", path="/metrics", role=Role.READER, handler=measured)


def why_not_ready(status: LogStatus) -> str | None:
    """Return why a node is of no use to clients now, or None."""
    if not status.has_quorum:
        return "it does not hear of a majority of the nodes"
    if status.leader_url is None:
        return "no node leads"
    behind = status.commit_index - status.applied_index
    if behind > BEHIND_MAX:
        return f"it has {behind} entries still to apply"
    return None
