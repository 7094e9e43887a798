"""The behaviour of every lease client, with a real node below: its journal, its thread, its API."""

import asyncio
import contextlib
import itertools
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random

import pytest

from coordinator._service.api.api import ApiOptions, serve_api
from coordinator._service.api.health import why_not_ready
from coordinator._service.api.metrics import ServiceMetrics
from coordinator._service.raft.node import RaftLog
from coordinator._service.raft.settings import Member, RaftSettings
from coordinator.client import ClientOptions, DistributedBackfillCoordinator, MachineConfig
from coordinator.machine import Event, Tick, initial
from coordinator.machine.replica import Replica
from ops.stack.listening import free_ports
from runtime.clock import SystemClock
from tests.lease_help import Bench, eventually
from tests.lease_suite import LeaseSuite

STEP_S = 4.0
"""One entry lets at most five seconds pass."""


class ShiftedClock:
    """The machine's clock, which a test may put forward."""

    def __init__(self) -> None:
        self._system = SystemClock()
        self._ahead_s = 0.0
        self._moved = asyncio.Event()

    def wall_us(self) -> int:
        return self._system.wall_us()

    def monotonic(self) -> float:
        return self._system.monotonic() + self._ahead_s

    async def sleep(self, seconds: float) -> None:
        until_s = self.monotonic() + seconds
        while (left_s := until_s - self.monotonic()) > 0:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._moved.wait(), left_s)
        await asyncio.sleep(0)

    def advance(self, seconds: float) -> None:
        self._ahead_s += seconds
        self._moved.set()
        self._moved = asyncio.Event()


class TestRaftCoordinator(LeaseSuite):
    """One node in this process; time is put forward in steps that its log believes."""

    @pytest.fixture(autouse=True)
    def _folder(self, tmp_path: Path) -> None:
        self.folder = tmp_path
        self.numbers = itertools.count()

    @asynccontextmanager
    async def open(self, config: MachineConfig | None = None) -> AsyncGenerator[Bench]:
        clock = ShiftedClock()
        heard: list[Event] = []
        replica = Replica(initial(5, config or MachineConfig()), heard.extend)
        settings = self._settings()
        log = RaftLog(settings, replica, clock, heard)
        await log.start()
        try:
            await eventually(lambda: why_not_ready(log.status()) is None)
            options = ApiOptions(clock=clock, rng=Random(1))
            async with serve_api(log, options, ServiceMetrics()) as api:
                url = f"http://127.0.0.1:{api.port}"
                asking = ClientOptions(clock=clock, rng=Random(2))
                async with DistributedBackfillCoordinator([url], asking) as client:

                    async def pass_s(seconds: float) -> None:
                        while seconds > 0:
                            clock.advance(min(seconds, STEP_S))
                            seconds -= STEP_S
                            await eventually(lambda: log.status().is_leader)
                            await log.propose(Tick(), "", 5)

                    room = api.service.room
                    yield Bench(
                        client=client, clock=clock, pass_s=pass_s, waiting=lambda: room.waiting
                    )
        finally:
            await log.stop()

    def _settings(self) -> RaftSettings:
        (port,) = free_ports(1)
        folder = self.folder / f"node-{next(self.numbers)}"
        folder.mkdir()
        secret = folder / "secret"
        secret.write_text("s" * 64)
        secret.chmod(0o600)
        address = f"127.0.0.1:{port}"
        return RaftSettings(
            node_id="node-1",
            members=(Member(node_id="node-1", address=address, url="http://node-1"),),
            bind=address,
            folder=folder,
            secret_file=secret,
        )
