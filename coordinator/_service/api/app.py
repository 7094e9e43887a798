"""The API as what a server calls: who asks, within which bounds, and how it is answered.

What a request means is decided by the handlers of the routes; here is everything that holds for
all of them. Paths are whole words, so a table finds them; aiohttp's applications, which do more,
cost as much for a request as everything else here.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Protocol, TypeAlias
from urllib.parse import urlsplit

from aiohttp import web

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
_JSON = "application/json"
_HOSTS_MAX = 256

App: TypeAlias = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]
"""What answers requests."""

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


def create_app(routes: Iterable[Route], access: Access) -> App:
    """Return what answers some routes."""
    table: dict[str, dict[str, Route]] = {}
    for route in routes:
        table.setdefault(route.path, {})[route.method] = route

    async def app(request: web.BaseRequest) -> web.StreamResponse:
        began_s = access.clock.monotonic()
        methods = table.get(request.path, {})
        route = methods.get(request.method)
        if route is None:
            response = _response(_NO_METHOD if methods else _NO_PATH)
        else:
            response = await _answer_or_refusal(request, route, access)
        seconds = access.clock.monotonic() - began_s
        access.requests.on_request(route.path if route else "unknown", response.status, seconds)
        return response

    return app


async def _answer(request: web.BaseRequest, route: Route, access: Access) -> Answered:
    headers = request.headers
    role = _role_of(request, route, access)
    key = headers.get("Idempotency-Key", "")
    if key or route.needs_key:
        check_key(key)
    body = await _body_of(request, access.limits) if route.method == "POST" else b""
    asked = Asked(
        role=role,
        key=key,
        authorization=headers.get("Authorization", ""),
        forwarded=FORWARDED in headers,
        query=dict(request.query) if request.query_string else {},
        body=parse_object(body),
    )
    return await route.handler(asked)


def _role_of(request: web.BaseRequest, route: Route, access: Access) -> Role:
    """Return the sender's role if it is enough.

    Raises:
        RequestRefusedError: It is not, or nobody knows the sender.
    """
    if access.tokens is None:
        # A page in somebody's browser reaches the loopback under a name of its own.
        if not _names_loopback(request.host):
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


@lru_cache(_HOSTS_MAX)
def _names_loopback(host: str) -> bool:
    """Return whether a Host header, with a port or without, names the loopback."""
    try:
        return "@" not in host and is_loopback(urlsplit(f"//{host}").hostname or "")
    except ValueError:
        return False


async def _body_of(request: web.BaseRequest, limits: Limits) -> bytes:
    # Most say just that: they need no parser of what else may stand there.
    if request.headers.get("Content-Type") != _JSON and request.content_type != _JSON:
        allowed = f"Content-Type must be {_JSON}"
        raise RequestRefusedError(415, "unsupported", f"{allowed}, was {request.content_type!r}")
    if request.headers.get("Content-Encoding", "identity") != "identity":
        raise RequestRefusedError(415, "unsupported", "a body must not be compressed")
    if (request.content_length or 0) > limits.body_bytes:
        raise _too_large(limits)
    if request.headers.get("Expect", "").lower() == "100-continue":
        await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        request.writer.output_size = 0  # the answer has not begun
    if request.content.is_eof():  # All of it has come with the head: no wait.
        body = request.content.read_nowait()
        if len(body) > limits.body_bytes:
            raise _too_large(limits)
        return body
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


async def _answer_or_refusal(
    request: web.BaseRequest, route: Route, access: Access
) -> web.Response:
    try:
        return _response(await _answer(request, route, access))
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


def _fault(request: web.BaseRequest) -> web.Response:
    _log.exception("request_failed", method=request.method, path=request.path[:200])
    return _response(_error(500, "internal", "a fault of this node; its log says more"))


def _error(status: int, code: str, message: str) -> Answered:
    return Answered(document={"error": {"code": code, "message": message}}, status=status)


_NO_PATH = _error(404, "unknown_path", "Not Found")
_NO_METHOD = _error(405, "wrong_method", "Method Not Allowed")


def _response(answered: Answered) -> web.Response:
    body = answered.raw
    if answered.document is not None:
        body = json_text(answered.document)
    headers: Mapping[str, str] = {
        **_NO_STORE,
        **answered.headers,
        "Content-Type": answered.content_type,
    }
    response = web.Response(body=body, status=answered.status, headers=headers)
    if answered.headers.get("Connection") == "close":
        response.force_close()
    return response
