"""Handing a request on to the node that leads, for clients that follow nobody."""

from collections.abc import Awaitable, Callable, Collection
from typing import TypeAlias

import httpx

from coordinator._service.api.asked import Answered, Asked
from coordinator._service.api.errors import RequestRefusedError

FORWARDED = "X-Seamless-Forwarded"
"""Header of a request that was handed on: it is not handed on again."""

FORWARD_S = 8.0

Forward: TypeAlias = Callable[[str, str, Asked], Awaitable[Answered]]


def forwarder(http: httpx.AsyncClient, urls: Callable[[], Collection[str]]) -> Forward:
    """Return what hands requests on.

    Args:
        http: Sends; closed by who made it.
        urls: The nodes of this service: nobody else gets to see a client's token.
    """

    async def forward(leader_url: str, path: str, asked: Asked) -> Answered:
        if leader_url not in urls():
            raise RequestRefusedError(
                503, "no_leader", "the leader is none of the nodes known here"
            )
        headers = {FORWARDED: "1"}
        if asked.authorization:
            headers["Authorization"] = asked.authorization
        try:
            response = await http.post(
                leader_url + path, json=dict(asked.body), headers=headers, timeout=FORWARD_S
            )
            document = response.json()
        except (httpx.TransportError, ValueError) as error:
            message = f"the leader did not answer: {type(error).__name__}"
            raise RequestRefusedError(504, "unknown_outcome", message) from None
        return Answered(document=document, status=response.status_code)

    return forward
