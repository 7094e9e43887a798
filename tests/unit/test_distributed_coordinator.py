"""The lease service over HTTP: the behaviour of every lease client, and what a network adds."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from random import Random

from coordinator._distributed import DistributedBackfillCoordinator
from coordinator._http import ClientOptions
from coordinator.machine import MachineConfig
from tests.lease_suite import Bench, LeaseSuite
from tests.unit.api_help import Service, serving


def client_of(service: Service) -> DistributedBackfillCoordinator:
    options = ClientOptions(clock=service.clock, rng=Random(2))
    return DistributedBackfillCoordinator(service.urls, options)


class TestDistributedCoordinator(LeaseSuite):
    """A real HTTP server in front of a log in memory."""

    @asynccontextmanager
    async def open(self, config: MachineConfig | None = None) -> AsyncGenerator[Bench]:
        async with serving(config=config) as service, client_of(service) as client:
            room = service.nodes[0].api.service.room
            yield Bench(
                client=client,
                clock=service.clock,
                pass_s=service.pass_s,
                waiting=lambda: room.waiting,
            )
