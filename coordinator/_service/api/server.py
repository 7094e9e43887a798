"""What answers requests, behind a socket: bounded connections, TLS, and an end that comes soon."""

import asyncio
import ssl
from dataclasses import dataclass
from pathlib import Path

from aiohttp import web
from aiohttp.abc import AbstractStreamWriter
from aiohttp.http import RawRequestMessage
from aiohttp.streams import StreamReader
from aiohttp.web_protocol import RequestHandler

from bars.errors import InvalidValueError
from coordinator._service.api.app import App
from coordinator._service.api.limits import Limits

CLOSE_S = 2.0
"""Requests under way at the end get so long."""


class _TurnAway(asyncio.Protocol):
    """One connection too many: closed before anything is read."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        transport.close()


@dataclass(frozen=True, slots=True)
class Serving:
    """A socket that is served."""

    port: int
    _runner: web.ServerRunner
    _server: asyncio.Server

    @property
    def connections(self) -> int:
        """How many there are."""
        return len(self._runner.server.connections) if self._runner.server else 0

    async def close(self) -> None:
        """Take no more connections and end those that there are."""
        self._server.close()
        await self._runner.cleanup()
        await self._server.wait_closed()


def tls_context(certificate: Path, key: Path) -> ssl.SSLContext:
    """Return what a server needs for TLS.

    Raises:
        InvalidValueError: The files cannot be read or do not belong together.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        context.load_cert_chain(certificate, key)
    except (OSError, ssl.SSLError) as error:
        found = f"{certificate} and {key}: {error}"
        raise InvalidValueError(
            "coordinator.tls_certificate", found, "a certificate and its key, PEM"
        ) from None
    return context


async def serve(
    app: App, host: str, port: int, limits: Limits, tls: ssl.SSLContext | None = None
) -> Serving:
    """Serve an application until it is closed; port 0 takes a free one.

    Raises:
        InvalidValueError: Nothing can listen there.
    """
    loop = asyncio.get_running_loop()

    def request(
        message: RawRequestMessage,
        payload: StreamReader,
        protocol: RequestHandler,
        writer: AbstractStreamWriter,
        task: "asyncio.Task[None]",
    ) -> web.BaseRequest:
        most = limits.body_bytes
        return web.BaseRequest(message, payload, protocol, writer, task, loop, client_max_size=most)

    server_of_requests = web.Server(
        app,
        request_factory=request,
        access_log=None,
        auto_decompress=False,
        handler_cancellation=True,
        keepalive_timeout=limits.idle_s,
        lingering_time=limits.body_s,
    )
    runner = web.ServerRunner(server_of_requests, shutdown_timeout=CLOSE_S)
    await runner.setup()
    accept = runner.server
    assert accept is not None  # noqa: S101  # it was set up

    def protocol() -> asyncio.Protocol:
        full = len(accept.connections) >= limits.connections
        return _TurnAway() if full else accept()

    try:
        server = await loop.create_server(
            protocol, host, port, ssl=tls, ssl_handshake_timeout=limits.body_s if tls else None
        )
    except OSError as error:
        await runner.cleanup()
        found = f"{host}:{port}: {error.strerror}"
        raise InvalidValueError("coordinator.listen", found, "an address that is free") from None
    return Serving(server.sockets[0].getsockname()[1], runner, server)
