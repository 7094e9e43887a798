"""What an admin asks of the log itself: another leader, and a copy of the state."""

from collections.abc import Iterator

from coordinator._service.api.asked import Answered, Asked, Route
from coordinator._service.api.auth import Role
from coordinator._service.api.body import only, text_of
from coordinator._service.api.service import Service
from runtime.log import logger

TRANSFER_S = 10.0
SNAPSHOT_S = 30.0
REASON_CHARS_MAX = 500

_log = logger(__name__)


def routes(service: Service) -> Iterator[Route]:
    """Yield the routes."""

    async def transfer(asked: Asked) -> Answered:
        """Let another node lead."""
        only(asked.body, "reason")
        reason = text_of(asked.body, "reason", most=REASON_CHARS_MAX)
        await service.log.transfer_leadership(TRANSFER_S)
        status = service.log.status()
        _log.warning("leadership_transferred", reason=reason, leader=status.leader_url)
        return Answered(document={"leader": status.leader_url, "term": status.term})

    async def snapshot(asked: Asked) -> Answered:
        """Return this node's state as the bytes that a restore takes."""
        only(asked.query, where="query")
        document = await service.log.snapshot(SNAPSHOT_S)
        index = {"X-Raft-Index": str(service.log.status().applied_index)}
        return Answered(raw=document, content_type="application/octet-stream", headers=index)

    path = "/v1/admin/transfer-leader"
    yield Route(method="POST", path=path, role=Role.ADMIN, handler=transfer, needs_key=True)
    yield Route(method="GET", path="/v1/admin/snapshot", role=Role.ADMIN, handler=snapshot)
