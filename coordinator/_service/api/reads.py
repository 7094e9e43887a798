"""The routes that change nothing: a job, the watch, snapshots."""

from collections.abc import Iterator, Mapping

from bars.errors import InvalidValueError
from coordinator._service.api.asked import Answered, Asked, Route
from coordinator._service.api.auth import Role
from coordinator._service.api.body import only
from coordinator._service.api.service import Service, told_reply
from coordinator.machine import QueryJob, wire

INDEX_MAX = 2**62


def routes(service: Service) -> Iterator[Route]:
    """Yield the routes."""
    reads = _Reads(service)
    yield Route(method="GET", path="/v1/jobs", role=Role.READER, handler=reads.job)
    yield Route(method="GET", path="/v1/watch", role=Role.READER, handler=reads.watch)


class _Reads:
    def __init__(self, service: Service) -> None:
        self._service = service

    async def job(self, asked: Asked) -> Answered:
        """Tell how far a job is."""
        only(asked.query, "job_id", "read", where="query")
        job_id = asked.query.get("job_id", "")
        seen = await self._service.read(asked)
        reply = self._service.peek(seen.state, QueryJob(job_id=job_id))
        return told_reply(reply, seen.place)

    async def watch(self, asked: Asked) -> Answered:
        """Tell what happened from an index on; `gap` says that something before it is missing."""
        only(asked.query, "from", "limit", "wait_s", where="query")
        limits = self._service.limits
        from_index = whole_in(asked.query, "from", 0, INDEX_MAX, 0)
        limit = whole_in(asked.query, "limit", 1, limits.page, limits.page)
        wait_s = whole_in(asked.query, "wait_s", 0, int(limits.wait_s), 0)
        page = await self._service.watch.page(from_index, limit, wait_s)
        document = {
            "raft_index": self._service.log.status().applied_index,
            "events": [
                {"index": told.index, **wire.event_document(told.event)} for told in page.events
            ],
            "next": page.next_index,
            "gap": page.gap,
        }
        return Answered(document=document)


def whole_in(
    query: Mapping[str, str], name: str, low: int, high: int, default: int | None = None
) -> int:
    """Return a whole number of a query.

    Raises:
        InvalidValueError: It is none, outside the bounds, or missing and has no default.
    """
    text = query.get(name)
    if text is None and default is not None:
        return default
    text = text or ""
    digits = text.removeprefix("-")
    good = digits.isascii() and digits.isdigit() and len(digits) <= len(str(INDEX_MAX))
    if not good or not low <= int(text) <= high:
        raise InvalidValueError(name, text, f"a whole number from {low} to {high}")
    return int(text)
