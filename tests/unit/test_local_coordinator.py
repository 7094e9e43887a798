"""The lease service in one process: the behaviour of every lease client, and what is its own."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from random import Random

import pytest

from bars.errors import InvalidValueError
from coordinator.client import LeaseClient, LocalCoordinator, MachineConfig
from runtime.testing import ManualClock
from tests.lease_help import Bench
from tests.lease_suite import LeaseSuite


class TestLocalCoordinator(LeaseSuite):
    """In one process there is no server, and waiting is sleeping."""

    @asynccontextmanager
    async def open(self, config: MachineConfig | None = None) -> AsyncGenerator[Bench]:
        clock = ManualClock()
        client: LeaseClient = LocalCoordinator(clock, 5, Random(1), config)
        yield Bench(client=client, clock=clock, pass_s=clock.run, waiting=lambda: clock.sleeping)


async def test_a_life_that_leaves_no_time_to_write_is_refused() -> None:
    with pytest.raises(InvalidValueError, match="lease_ttl_ms"):
        LocalCoordinator(ManualClock(), 1, Random(1), MachineConfig(lease_ttl_ms=5_000))


async def test_a_waiter_that_is_cancelled_leaves_no_task_behind() -> None:
    clock = ManualClock()
    client = LocalCoordinator(clock, 5, Random(1))
    await client.open_session("w", 3_600_000)
    waiter = asyncio.create_task(client.acquire("w", 1, wait_s=60))
    await clock.until_sleeping(1)
    waiter.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiter
    assert len(asyncio.all_tasks()) == 1
