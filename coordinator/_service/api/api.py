"""The API of one node, put together: its routes, what runs beside them, and its socket."""

import asyncio
import contextlib
import ssl
from collections.abc import AsyncGenerator
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field
from random import Random, SystemRandom

from coordinator._service.api import admin, changes, epoch, health, legacy, reads, views
from coordinator._service.api.app import Access, create_app
from coordinator._service.api.asked import Route
from coordinator._service.api.auth import Tokens, check_exposure
from coordinator._service.api.forward import Forward, forwarder
from coordinator._service.api.limits import Limits
from coordinator._service.api.metrics import ServiceMetrics
from coordinator._service.api.server import Serving, serve
from coordinator._service.api.service import Service
from coordinator._service.log import ReplicatedLog
from runtime.aio import AioHttp
from runtime.clock import Clock, SystemClock


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiOptions:
    """How one node serves."""

    host: str = "127.0.0.1"
    port: int = 0
    """0: any that is free."""

    tokens: Tokens | None = None
    """None: who reaches the loopback may do anything."""

    tls: ssl.SSLContext | None = None
    trust: ssl.SSLContext | bool = True
    """What a request is sent with that is handed on to the leader."""

    limits: Limits = field(default_factory=Limits)
    clock: Clock = field(default_factory=SystemClock)
    rng: Random = field(default_factory=SystemRandom)


@dataclass(frozen=True, slots=True)
class Api:
    """An API that is served."""

    service: Service
    serving: Serving

    @property
    def port(self) -> int:
        """Where."""
        return self.serving.port


def routes_of(service: Service, metrics: ServiceMetrics, forward: Forward) -> list[Route]:
    """Return everything that may be asked."""
    return [
        *changes.routes(service, metrics.on_grant),
        *reads.routes(service),
        *views.routes(service),
        *admin.routes(service),
        *epoch.routes(service),
        *legacy.routes(service, forward),
        *health.routes(service.log, metrics),
    ]


@asynccontextmanager
async def serve_api(
    log: ReplicatedLog, options: ApiOptions, metrics: ServiceMetrics
) -> AsyncGenerator[Api]:
    """Serve a node's API while the context lasts.

    Raises:
        InvalidValueError: Others would reach it without tokens and TLS, or the port is taken.
    """
    check_exposure(options.host, tokens=options.tokens is not None, tls=options.tls is not None)
    service = Service(log, options.clock, options.rng, options.limits)
    async with aclosing(AioHttp(options.trust, {})) as http:
        routes = routes_of(service, metrics, forwarder(http, lambda: log.status().peers))
        access = Access(
            tokens=options.tokens, limits=options.limits, clock=options.clock, requests=metrics
        )
        app = create_app(routes, access)
        serving = await serve(app, options.host, options.port, options.limits, options.tls)
        room = asyncio.create_task(service.room.run())
        try:
            yield Api(service, serving)
        finally:
            service.room.close()
            service.watch.close()
            await serving.close()
            room.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await room
