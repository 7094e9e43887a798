"""A lease service in this process, on real sockets: nodes in memory, their APIs, clients."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from random import Random

from coordinator._service.api.api import Api, ApiOptions, serve_api
from coordinator._service.api.metrics import ServiceMetrics
from coordinator.machine import MachineConfig
from coordinator.testing import MemoryCluster, MemoryLog
from runtime.clock import SystemClock
from runtime.testing import ManualClock


@dataclass(frozen=True, kw_only=True)
class Node:
    """One node that serves."""

    log: MemoryLog
    api: Api
    metrics: ServiceMetrics

    @property
    def url(self) -> str:
        return self.log.url


@dataclass(frozen=True, kw_only=True)
class Service:
    """All of them."""

    cluster: MemoryCluster
    clock: ManualClock
    nodes: Sequence[Node]

    @property
    def urls(self) -> list[str]:
        return [node.url for node in self.nodes]

    async def pass_s(self, seconds: float) -> None:
        """Let time pass for all; the leader tells the log."""
        await self.clock.run(0)
        self.clock.advance(seconds)
        self.cluster.tick()
        await self.clock.run(0)

    @asynccontextmanager
    async def on_real_time(self) -> AsyncGenerator[None]:
        """Let time pass for all as it does outside, for clients that go by another clock."""

        async def flow() -> None:
            outside = SystemClock()
            while True:
                began_s = outside.monotonic()
                await outside.sleep(0.01)
                await self.pass_s(outside.monotonic() - began_s)

        flowing = asyncio.create_task(flow())
        try:
            yield
        finally:
            flowing.cancel()
            await asyncio.wait((flowing,))


@asynccontextmanager
async def serving(
    nodes: int = 1,
    config: MachineConfig | None = None,
    options: ApiOptions | None = None,
    label_nodes: Sequence[str] = (),
) -> AsyncGenerator[Service]:
    """Serve a cluster in memory on free ports of the loopback."""
    clock = ManualClock()
    names = [f"http://node-{number}" for number in range(1, nodes + 1)]
    cluster = MemoryCluster(clock, names, epoch=5, config=config)
    options = replace(options or ApiOptions(), clock=clock, rng=Random(1))
    scheme = "https" if options.tls else "http"
    served = []
    async with AsyncExitStack() as stack:
        for name in names:
            log, metrics = cluster[name], ServiceMetrics(label_nodes)
            stack.callback(metrics.observe(log))
            api = await stack.enter_async_context(serve_api(log, options, metrics))
            cluster.rename(name, f"{scheme}://127.0.0.1:{api.port}")
            served.append(Node(log=log, api=api, metrics=metrics))
        yield Service(cluster=cluster, clock=clock, nodes=served)
