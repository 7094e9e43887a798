"""Whether a request can be served, and by which source. Pure."""

from collections.abc import Collection
from dataclasses import dataclass

from avro_schemas import BackfillRequest, RequestKind
from bars.errors import InvalidValueError
from bars.series import Series, backfill_lane
from bars.window import Window
from coordinator.client import PRIORITY_MAX, SeriesLane
from runtime.sections import BY_PROVIDER
from runtime.settings import NodeSettings, Settings
from worker.errors import RefusedRequestError

REQUEST_ID_CHARS_MAX = 200
"""A request's id is its job's name."""

TIME_MAX = 2**40
"""Far beyond every bar, and far below where arithmetic on times would overflow."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Accepted:
    """A request that can be served."""

    request: BackfillRequest
    node: NodeSettings
    source: str
    """Who will be asked."""

    @property
    def target(self) -> SeriesLane:
        """The lane that its bars come in."""
        return SeriesLane(self.node.series, backfill_lane(self.source))

    @property
    def lanes(self) -> tuple[str, ...] | None:
        """The lanes whose coverage spares a fetch; None: any.

        A slot that any lane covers is covered for a reader. But who names a source wants what
        that source says, and who refetches wants it again.
        """
        if self.request.refetch:
            return ()
        return (self.target.lane,) if self.request.source else None


def accept(
    request: BackfillRequest, settings: Settings, served: Collection[str] | None = None
) -> Accepted:
    """Return how a request is served.

    Args:
        request: Who wants what.
        settings: The configuration.
        served: The sources that can be asked; None: those that a fetch worker has.

    Raises:
        RefusedRequestError: It cannot be; the message names the field, what was found and what
            is allowed.
    """
    _check_id(request.request_id)
    if request.kind is not RequestKind.SUBMIT:
        raise RefusedRequestError("kind", request.kind.value, "SUBMIT or CANCEL")
    node = _node(request, settings)
    if served is None:
        served = {name for name, source in settings.sources.items() if source.kind != BY_PROVIDER}
    sources = [name for name in node.sources if name in served]
    if not sources:
        allowed = f"a node with a source that can be asked here, not only {', '.join(node.sources)}"
        raise RefusedRequestError("node_id", request.node_id, allowed)
    if request.source and request.source not in sources:
        allowed = f"empty or a source of the node: {', '.join(sources)}"
        raise RefusedRequestError("source", request.source, allowed)
    if not 0 <= request.start < TIME_MAX:
        raise RefusedRequestError("start", request.start, "epoch seconds from 1970 on")
    if not request.start < request.end < TIME_MAX:
        allowed = f"epoch seconds after start {request.start}"
        raise RefusedRequestError("end", request.end, allowed)
    if node.grid.align(Window(request.start, request.end)) is None:
        allowed = f"so that a bar opens in [{request.start}, end)"
        raise RefusedRequestError("end", request.end, allowed)
    if abs(request.priority) > PRIORITY_MAX:
        allowed = f"-{PRIORITY_MAX} to {PRIORITY_MAX}"
        raise RefusedRequestError("priority", request.priority, allowed)
    return Accepted(request=request, node=node, source=request.source or sources[0])


def _check_id(request_id: str) -> None:
    if not 0 < len(request_id) <= REQUEST_ID_CHARS_MAX:
        allowed = f"1 to {REQUEST_ID_CHARS_MAX} characters"
        raise RefusedRequestError("request_id", request_id, allowed)


def _node(request: BackfillRequest, settings: Settings) -> NodeSettings:
    try:
        found = settings.nodes.get(Series(request.node_id, request.interval))
    except InvalidValueError as error:
        raise RefusedRequestError(error.field, error.found, error.allowed) from error
    if found is not None:
        return found
    intervals = [s.interval for s in settings.nodes if s.node == request.node_id]
    if intervals:
        allowed = f"one that the node has: {', '.join(map(str, intervals))}"
        raise RefusedRequestError("interval", request.interval, allowed)
    known = ", ".join(sorted({s.node for s in settings.nodes})[:20]) or "there are none"
    raise RefusedRequestError("node_id", request.node_id, f"a node of the configuration: {known}")
