"""Handing a request on to the node that leads, for clients that follow nobody."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Collection
from typing import TypeAlias

from coordinator._service.api.asked import Answered, Asked, json_text
from coordinator._service.api.errors import RequestRefusedError
from runtime.http import Http, HttpRequest, NoAnswerError

FORWARDED = "X-Seamless-Forwarded"
"""Header of a request that was handed on: it is not handed on again."""

FORWARD_S = 8.0

Forward: TypeAlias = Callable[[str, str, Asked], Awaitable[Answered]]


def forwarder(http: Http, urls: Callable[[], Collection[str]]) -> Forward:
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
        request = HttpRequest(
            method="POST", url=leader_url + path, headers=headers, body=json_text(asked.body)
        )
        try:
            async with asyncio.timeout(FORWARD_S):
                answer = await http.send(request)
            document = json.loads(answer.body)
        except (NoAnswerError, TimeoutError, ValueError) as error:
            message = f"the leader did not answer: {type(error).__name__}"
            raise RequestRefusedError(504, "unknown_outcome", message) from None
        return Answered(document=document, status=answer.status)

    return forward
