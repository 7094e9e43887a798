"""One HTTP request and its answer: what is asked of whatever sends.

Nothing here knows a server, and nothing loads a library: `runtime.aio` sends for real.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from bars.errors import SeamlessError


class NoAnswerError(SeamlessError):
    """There was no whole answer: nobody knows whether the request has arrived."""

    retriable = True


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpRequest:
    """What is sent."""

    method: str
    url: str
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    query: Mapping[str, str] | None = None
    body: bytes | None = None
    """JSON; None: there is none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpAnswer:
    """What came back."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class Http(Protocol):
    """Sends requests; follows no redirect and asks no proxy. Belongs to one event loop."""

    async def send(self, request: HttpRequest) -> HttpAnswer:
        """Return the answer, however long it takes; who waits for it has the clock.

        Raises:
            NoAnswerError: The connection was not made in time, or it broke.
        """
        ...

    async def aclose(self) -> None:
        """Close the connections."""
        ...
