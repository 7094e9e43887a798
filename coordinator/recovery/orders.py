"""Changes that a person makes to a lease service that runs.

An order is worked out from what stands, shown, and then sent with what stood: if something else
stands by then, the service refuses it and nothing changes. Every order that is obeyed is an entry
of the log, with its reason.
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from types import TracebackType
from typing import Any, Self

from bars.errors import InvalidValueError
from bars.series import Series
from bars.window import Window
from coordinator._cluster import Budget, Cluster, Told
from coordinator._http import ClientOptions, open_http
from coordinator.errors import (
    CommandRefusedError,
    CoordinatorError,
    CoordinatorUnavailableError,
)
from coordinator.machine import MachineConfig, SeriesLane
from runtime.http import HttpRequest, NoAnswerError

ONE_NODE = Budget(whole_s=2.0, attempt_s=2.0)
"""Patience with a single node when all are asked how they are."""

PAGE = 500
SNAPSHOT_S = 60.0

_OK = 200
_CONFLICT = "conflict"


class ConflictError(CoordinatorError):
    """Something else stands than was expected; nothing was changed.

    Attributes:
        found: The token or version that stands, where the service has said it.
    """

    def __init__(self, message: str, found: int | None) -> None:
        super().__init__(message)
        self.found = found


@dataclass(frozen=True, slots=True, kw_only=True)
class LaneName:
    """A lane, as a person names it."""

    node: str
    interval: int
    lane: str

    def __post_init__(self) -> None:
        SeriesLane(Series(self.node, self.interval), self.lane)

    def query(self) -> dict[str, str]:
        """Return what asks for it."""
        return {name: str(value) for name, value in asdict(self).items()}

    def target(self) -> dict[str, object]:
        """Return what a command names it by."""
        return {"series": {"node": self.node, "interval": self.interval}, "lane": self.lane}


@dataclass(frozen=True, slots=True, kw_only=True)
class WindowName:
    """A window of a lane, as a person names it."""

    lane: LaneName
    window: Window

    def query(self) -> dict[str, str]:
        """Return what asks for it."""
        ends = {"start": str(self.window.start), "end": str(self.window.end)}
        return {**self.lane.query(), **ends}


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """A change, before it is made."""

    path: str
    body: Mapping[str, object]
    """All of it but the reason."""

    stands: Mapping[str, Any]
    """What was found, for the person to look at."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeReport:
    """What one node says of itself, or why it says nothing."""

    url: str
    document: Mapping[str, Any] | None
    problem: str = ""


class LeaseDesk:
    """Where a person asks and orders. Makes connections at the first question."""

    def __init__(
        self, urls: Sequence[str], options: ClientOptions, budget: Budget | None = None
    ) -> None:
        """Ask the nodes of a service.

        Args:
            urls: API address of each node.
            options: The token of an admin, or of a reader for looking alone.
            budget: How long one question may take in all.
        """
        self._budget = budget or Budget(whole_s=15.0)
        self._http = open_http(options)
        self._options = options
        self._cluster = self._of(urls)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._http.aclose()

    # Looking

    async def nodes(self) -> tuple[NodeReport, ...]:
        """Return what each node says of itself, whether it leads, follows or is away."""
        reports = []
        for url in self._cluster.urls:
            try:
                told = await self._of([url]).read("/v1/state", {"read": "local"}, ONE_NODE)
                reports.append(NodeReport(url=url, document=told.document))
            except CoordinatorError as error:
                reports.append(NodeReport(url=url, document=None, problem=str(error)))
        return tuple(reports)

    async def summary(self) -> Mapping[str, Any]:
        """Return how many of everything there are, as of now."""
        return (await self._read("/v1/state", {})).document

    async def rows(self, view: str, query: Mapping[str, str]) -> tuple[Mapping[str, Any], ...]:
        """Return all rows of a view: sessions, jobs, lanes, leases, waiting or poisoned."""
        found: list[Mapping[str, Any]] = []
        offset: int | None = 0
        while offset is not None:
            page = {**query, "limit": str(PAGE), "offset": str(offset)}
            document = (await self._read(f"/v1/state/{view}", page)).document
            found += document["rows"]
            offset = document["next"]
        return tuple(found)

    async def window(self, name: WindowName) -> Mapping[str, Any]:
        """Return everything that stands in a window."""
        return (await self._read("/v1/state/window", name.query())).document

    async def lease(self, token: int) -> Mapping[str, Any]:
        """Return a lease in force.

        Raises:
            InvalidValueError: There is none with that token.
        """
        for row in await self.rows("leases", {}):
            if row["token"] == token:
                return row
        raise InvalidValueError("token", token, "the token of a lease in force")

    # Ordering

    async def revoke(self, token: int) -> Order:
        """Return the order that takes a lease away: its window is free at once."""
        row = await self.lease(token)
        body = {"token": token, "window": row["window"]}
        return Order(path="/v1/admin/revoke", body=body, stands=row)

    async def change_window(
        self, kind: str, name: WindowName, expect: int | None, **more: object
    ) -> Order:
        """Return an order about a window.

        Args:
            kind: requeue, unpoison or complete.
            name: The window.
            expect: The version that the person has seen; None: the one that stands now.
            more: Further fields of the command.
        """
        row = await self.window(name)
        body = {
            "target": name.lane.target(),
            "window": [name.window.start, name.window.end],
            "token": row["token"] if expect is None else expect,
            **more,
        }
        return Order(path=f"/v1/admin/{kind}", body=body, stands=row)

    async def change_lane(
        self, kind: str, name: LaneName, expect: int | None, **more: object
    ) -> Order:
        """Return an order about a lane.

        Args:
            kind: pause, resume or policy.
            name: The lane.
            expect: The version of its rule that the person has seen; None: the one that stands.
            more: Further fields of the command.
        """
        rows = await self.rows("lanes", name.query())
        row: Mapping[str, Any] = rows[0] if rows else {**name.query(), "version": 0}
        version = row["version"] if expect is None else expect
        body = {"target": name.target(), "version": version, **more}
        return Order(path=f"/v1/admin/{kind}", body=body, stands=row)

    async def configure(self, wanted: MachineConfig, expect: int | None) -> Order:
        """Return the order that lets other rules hold.

        Args:
            wanted: All of them.
            expect: The version of the rules that the person has seen; None: the one that stands.
        """
        found = (await self._read("/v1/state", {})).document["config"]
        rules = {**found["values"], **asdict(wanted)}  # a newer service may have more of them
        differs = {
            name: f"{found['values'].get(name)} -> {value}"
            for name, value in rules.items()
            if found["values"].get(name) != value
        }
        return Order(
            path="/v1/admin/configure",
            body={"config": rules, "version": found["version"] if expect is None else expect},
            stands={"version": found["version"], **(differs or {"differs": "nothing"})},
        )

    async def transfer(self) -> Order:
        """Return the order that lets another node lead."""
        node = (await self.summary())["node"]
        return Order(path="/v1/admin/transfer-leader", body={}, stands=node)

    async def obey(self, order: Order, reason: str) -> Mapping[str, Any]:
        """Have an order carried out; return the answer.

        Raises:
            ConflictError: Something else stands than the order expects.
            CommandRefusedError: It cannot be carried out.
            CoordinatorUnavailableError: There is no majority, or nobody answers.
        """
        body = {**order.body, "reason": reason}
        told = await self._cluster.change(order.path, body, self._budget)
        reply = told.document.get("reply", {})
        if reply.get("code") == _CONFLICT:
            raise ConflictError(str(reply.get("message", "")), reply.get("found"))
        if told.status != _OK:
            error = told.document.get("error", {})
            raise CommandRefusedError(str(error.get("code", told.status)), error.get("message", ""))
        return told.document

    async def snapshot(self) -> bytes:
        """Return a copy of the state from the first node that gives one, the leader first.

        Raises:
            CoordinatorUnavailableError: None does.
        """
        problem = ""
        for url in await self._leader_first():
            request = HttpRequest(method="GET", url=f"{url}/v1/admin/snapshot")
            try:
                async with asyncio.timeout(SNAPSHOT_S):
                    answer = await self._http.send(request)
            except (NoAnswerError, TimeoutError) as error:
                problem = f"{url}: {type(error).__name__}: {error}"
                continue
            if answer.status == _OK:
                return answer.body
            problem = f"{url}: status {answer.status}"
        raise CoordinatorUnavailableError(f"no node gives a snapshot; the last: {problem}")

    async def _leader_first(self) -> Sequence[str]:
        leaders = [
            report.url
            for report in await self.nodes()
            if report.document is not None and report.document["node"]["is_leader"]
        ]
        return [*leaders, *(url for url in self._cluster.urls if url not in leaders)]

    async def _read(self, path: str, query: Mapping[str, str]) -> Told:
        return await self._cluster.read(path, query, self._budget)

    def _of(self, urls: Sequence[str]) -> Cluster:
        return Cluster(urls, self._http, self._options.clock, self._options.rng)
