"""The API as an aiohttp application: who asks, within which bounds, and how it is answered.

What a request means is decided by the handlers of the routes; here is everything that holds for
all of them.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import Protocol, TypeAlias

from aiohttp import typedefs, web

from bars.errors import SeamlessError
from coordinator._service.api.asked import Answered, Asked, Route, json_text
from coordinator._service.api.auth import Role, Tokens, is_loopback
from coordinator._service.api.body import check_key, parse_object
from coordinator._service.api.errors import RequestRefusedError, refusal_of
from coordinator._service.api.forward import FORWARDED
from coordinator._service.api.limits import Limits
from runtime.clock import Clock
from runtime.log import logger

_NO_STORE = {"Cache-Control": "no-store"}
_HttpHandler: TypeAlias = Callable[[web.Request], Awaitable[web.StreamResponse]]

_log = logger(__name__)


class RequestLog(Protocol):
    """Who wants to know of every request."""

    def on_request(self, route: str, status: int, seconds: float) -> None:
        """Take note of a request that was answered."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """What holds for all requests."""

    tokens: Tokens | None
    """None: everybody who reaches the loopback is an admin."""

    limits: Limits
    clock: Clock
    requests: RequestLog


def create_app(routes: Iterable[Route], access: Access) -> web.Application:
    """Return the application that answers some routes."""
    app = web.Application(
        client_max_size=access.limits.body_bytes, middlewares=[_telling_errors(access)]
    )
    for route in routes:
        app.router.add_route(route.method, route.path, _answering(route, access))
    return app


def _answering(route: Route, access: Access) -> _HttpHandler:
    async def answer(request: web.Request) -> web.StreamResponse:
        role = _role_of(request, route, access)
        key = request.headers.get("Idempotency-Key", "")
        if key or route.needs_key:
            check_key(key)
        body = await _body_of(request, access.limits) if route.method == "POST" else b""
        asked = Asked(
            role=role,
            key=key,
            authorization=request.headers.get("Authorization", ""),
            forwarded=FORWARDED in request.headers,
            query=dict(request.query),
            body=parse_object(body),
        )
        return _response(await route.handler(asked))

    return answer


def _role_of(request: web.Request, route: Route, access: Access) -> Role:
    """Return the sender's role if it is enough.

    Raises:
        RequestRefusedError: It is not, or nobody knows the sender.
    """
    if access.tokens is None:
        # A page in somebody's browser reaches the loopback under a name of its own.
        if not is_loopback(request.url.host or ""):
            raise RequestRefusedError(
                403, "wrong_host", "without tokens only the loopback is served"
            )
        return Role.ADMIN
    role = access.tokens.role_of(request.headers.get("Authorization"))
    if route.role is None:
        return role or Role.READER
    if role is None:
        headers = {"WWW-Authenticate": "Bearer"}
        raise RequestRefusedError(401, "unauthorized", "a bearer token is needed", headers)
    if role < route.role:
        message = f"role must be {route.role.word} or above, was {role.word}"
        raise RequestRefusedError(403, "forbidden", message)
    return role


async def _body_of(request: web.Request, limits: Limits) -> bytes:
    if request.content_type != "application/json":
        allowed = "Content-Type must be application/json"
        raise RequestRefusedError(415, "unsupported", f"{allowed}, was {request.content_type!r}")
    if request.headers.get("Content-Encoding", "identity") != "identity":
        raise RequestRefusedError(415, "unsupported", "a body must not be compressed")
    if (request.content_length or 0) > limits.body_bytes:
        raise _too_large(limits)
    try:
        async with asyncio.timeout(limits.body_s):
            return await request.read()
    except TimeoutError:
        message = f"the body must be there within {limits.body_s:g} s"
        raise RequestRefusedError(408, "slow", message, {"Connection": "close"}) from None
    except web.HTTPRequestEntityTooLarge:
        raise _too_large(limits) from None


def _too_large(limits: Limits) -> RequestRefusedError:
    message = f"a body must have at most {limits.body_bytes} bytes"
    return RequestRefusedError(413, "too_large", message, {"Connection": "close"})


def _telling_errors(access: Access) -> typedefs.Middleware:
    @web.middleware
    async def telling_errors(request: web.Request, handler: _HttpHandler) -> web.StreamResponse:
        began_s = access.clock.monotonic()
        response = await _answer_or_refusal(request, handler)
        resource = request.match_info.route.resource
        route = resource.canonical if resource is not None else "unknown"
        seconds = access.clock.monotonic() - began_s
        access.requests.on_request(route, response.status, seconds)
        return response

    return telling_errors


async def _answer_or_refusal(request: web.Request, handler: _HttpHandler) -> web.StreamResponse:
    try:
        return await handler(request)
    except web.HTTPException as error:
        code = {404: "unknown_path", 405: "wrong_method"}.get(error.status, "refused")
        return _error(error.status, code, error.reason)
    except SeamlessError as error:
        refusal = refusal_of(error)
        if refusal is None:
            return _fault(request)
        answered = Answered(
            document=refusal.document, status=refusal.status, headers=refusal.headers
        )
        return _response(answered)
    except ConnectionError:
        raise  # the client has gone: there is nobody to answer
    except Exception:  # noqa: BLE001 - one request's fault must not be the node's
        return _fault(request)


def _fault(request: web.Request) -> web.Response:
    _log.exception("request_failed", method=request.method, path=request.path[:200])
    return _error(500, "internal", "a fault of this node; its log says more")


def _error(status: int, code: str, message: str) -> web.Response:
    document = {"error": {"code": code, "message": message}}
    return _response(Answered(document=document, status=status))


def _response(answered: Answered) -> web.Response:
    body = answered.raw
    if answered.document is not None:
        body = json_text(answered.document)
    response = web.Response(
        body=body, status=answered.status, headers={**_NO_STORE, **answered.headers}
    )
    response.headers["Content-Type"] = answered.content_type
    if answered.headers.get("Connection") == "close":
        response.force_close()
    return response
