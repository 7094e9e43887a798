"""A request and its answer as values: what handlers see of HTTP."""

import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from coordinator._service.api.auth import Role
from coordinator.machine.frozen import frozen


@frozen
class Asked:
    """A request whose sender may make it."""

    role: Role
    """What its token is good for."""

    key: str = ""
    """Its Idempotency-Key; empty for requests that change nothing."""

    authorization: str = field(default="", repr=False)
    """What it proved that with, for handing it on."""

    forwarded: bool = False
    """Whether another node has handed it on."""

    query: Mapping[str, str] = field(default_factory=dict)
    body: Mapping[str, Any] = field(default_factory=dict)


@frozen
class Answered:
    """What goes back."""

    document: Mapping[str, object] | None = None
    """JSON; None: `raw` is the answer."""

    raw: bytes = b""
    content_type: str = "application/json"
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)


_ENCODER = json.JSONEncoder(separators=(",", ":"), allow_nan=False)


def json_text(document: Mapping[str, object]) -> bytes:
    """Return a document as it is sent."""
    return _ENCODER.encode(document).encode()


Handler: TypeAlias = Callable[[Asked], Awaitable[Answered]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """One thing that may be asked."""

    method: str
    path: str
    role: Role | None
    """Who may, at least; None: everybody, without a token."""

    handler: Handler
    needs_key: bool = False
    """Whether a repetition has to be known as one."""
