"""The routes that show the state to people and programs: a summary, and rows in pages."""

from collections.abc import Callable, Iterator, Mapping
from itertools import islice
from typing import TypeAlias

from bars.series import Series
from bars.window import Window
from coordinator._service.api import rows
from coordinator._service.api.asked import Answered, Asked, Handler, Route
from coordinator._service.api.auth import Role
from coordinator._service.api.body import only
from coordinator._service.api.reads import INDEX_MAX, whole_in
from coordinator._service.api.service import Service
from coordinator.machine import SeriesLane, State

Rows: TypeAlias = Callable[[State, Mapping[str, str]], Iterator[rows.Row]]

FILTERS = ("node", "interval", "lane", "stale")

VIEWS: Mapping[str, Rows] = {
    "sessions": rows.sessions,
    "jobs": rows.jobs,
    "lanes": rows.lanes,
    "leases": rows.leases,
    "waiting": rows.waiting,
    "poisoned": rows.poisoned,
}


def routes(service: Service) -> Iterator[Route]:
    """Yield the routes."""
    yield Route(method="GET", path="/v1/state/window", role=Role.READER, handler=_window(service))
    yield Route(method="GET", path="/v1/state", role=Role.READER, handler=_summary(service))
    for name, view in VIEWS.items():
        path = f"/v1/state/{name}"
        yield Route(method="GET", path=path, role=Role.READER, handler=_paged(service, view))


def _summary(service: Service) -> Handler:
    async def summary(asked: Asked) -> Answered:
        """Tell how many of everything there are, and how this node sees the cluster."""
        only(asked.query, "read", where="query")
        seen = await service.read(asked)
        digest_index, digest = service.log.digest()
        document = {
            **seen.place,
            "node": rows.node(service.log.status()),
            "state": rows.summary(seen.state),
            "config": rows.config(seen.state),
            "digest": {"raft_index": digest_index, "sha256": digest},
        }
        return Answered(document=document)

    return summary


def _window(service: Service) -> Handler:
    async def window(asked: Asked) -> Answered:
        """Tell everything that stands in a window of a lane."""
        names = ("node", "interval", "lane", "start", "end")
        only(asked.query, "read", *names, where="query")
        interval, start, end = (
            whole_in(asked.query, name, -INDEX_MAX, INDEX_MAX)
            for name in ("interval", "start", "end")
        )
        series = Series(asked.query.get("node", ""), interval)
        target = SeriesLane(series, asked.query.get("lane", ""))
        wanted = Window(start, end)
        seen = await service.read(asked)
        return Answered(document={**seen.place, **rows.window(seen.state, target, wanted)})

    return window


def _paged(service: Service, view: Rows) -> Handler:
    async def page(asked: Asked) -> Answered:
        """Tell rows from `offset` on; `next` is where the next page begins, or null."""
        only(asked.query, "read", "offset", "limit", *FILTERS, where="query")
        limit = whole_in(asked.query, "limit", 1, service.limits.page, service.limits.page)
        offset = whole_in(asked.query, "offset", 0, 10**9, 0)
        seen = await service.read(asked)
        found = list(islice(view(seen.state, asked.query), offset, offset + limit + 1))
        after = offset + limit if len(found) > limit else None
        return Answered(document={**seen.place, "rows": found[:limit], "next": after})

    return page
