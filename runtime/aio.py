"""Requests by aiohttp's client: the cheapest there is, and agents have it loaded already."""

import ssl
from collections.abc import Mapping

import aiohttp

from runtime.http import HttpAnswer, HttpRequest, NoAnswerError

CONNECT_S = 2.0
"""For the connection and its TLS: a server that is there answers in milliseconds."""

CONNECTIONS_MAX = 200
_JSON = {"Content-Type": "application/json"}


class AioHttp:
    """An `Http`. Makes connections at the first request, and keeps them."""

    def __init__(
        self, trust: ssl.SSLContext | bool = True, headers: Mapping[str, str] | None = None
    ) -> None:
        """Send with what proves who we are.

        Args:
            trust: Whom to believe that he is who he says; True: those that the machine trusts.
            headers: Of every request.
        """
        self._trust = trust
        self._headers = headers or {}
        self._session: aiohttp.ClientSession | None = None
        self._closed = False

    async def send(self, request: HttpRequest) -> HttpAnswer:
        """Return the answer."""
        if self._closed:
            raise RuntimeError("a request was sent after the connections were closed")
        if self._session is None:
            self._session = self._open()
        try:
            async with self._session.request(
                request.method,
                request.url,
                params=request.query,
                data=request.body,
                headers=request.headers if request.body is None else {**request.headers, **_JSON},
                allow_redirects=False,
            ) as response:
                body = await response.read()
        except (aiohttp.ClientError, OSError) as error:
            raise NoAnswerError(f"{type(error).__name__}: {error}") from error
        return HttpAnswer(status=response.status, headers=response.headers, body=body)

    async def aclose(self) -> None:
        """Close the connections."""
        self._closed = True
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    def _open(self) -> aiohttp.ClientSession:
        return aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=CONNECTIONS_MAX, ssl=self._trust),
            cookie_jar=aiohttp.DummyCookieJar(),
            headers=self._headers,
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_S),
            trust_env=False,
        )
