"""The lease service in one process: waiting, time, and what a holder is told."""

import asyncio
import subprocess
import sys
from collections.abc import Awaitable, Callable
from dataclasses import replace
from random import Random

import pytest

from bars.errors import InvalidValueError
from bars.window import Window
from coordinator.client import (
    Brought,
    CommandRefusedError,
    HeldLease,
    LeaseClient,
    LeaseEnd,
    LeaseFailure,
    LeaseLostError,
    LocalCoordinator,
    MachineConfig,
    SessionLostError,
)
from runtime.testing import ManualClock
from tests.unit.machine_help import spec


async def make(config: MachineConfig | None = None) -> tuple[LeaseClient, ManualClock]:
    clock = ManualClock()
    client: LeaseClient = LocalCoordinator(clock, 5, Random(1), config)
    await client.open_session("w", 3_600_000)
    return client, clock


async def test_acquire_waits_for_a_job() -> None:
    client, _ = await make()
    waiter = asyncio.create_task(client.acquire("w", 1, wait_s=60))
    await asyncio.sleep(0)
    await client.submit_job(spec("job", 0, 10))
    (lease,) = await waiter
    assert (lease.window, lease.job_ids, lease.token >> 40) == (Window(0, 10), ("job",), 5)


async def test_acquire_comes_back_empty_when_its_time_is_up() -> None:
    client, clock = await make()
    waiter = asyncio.create_task(client.acquire("w", 1, wait_s=7))
    await clock.run(6.9)
    assert not waiter.done()
    await clock.run(0.2)
    assert await waiter == ()


async def test_acquire_without_a_wait_answers_at_once() -> None:
    client, _ = await make()
    assert await client.acquire("w", 1) == ()


async def test_acquire_wakes_when_a_retry_is_due() -> None:
    client, clock = await make(MachineConfig(jitter_ppm=0, retry_backoff_ms=2_000))
    await client.submit_job(spec("job", 0, 10))
    (lease,) = await client.acquire("w", 1)
    assert await client.fail(lease, LeaseFailure(error_class="source"))
    waiter = asyncio.create_task(client.acquire("w", 1, wait_s=60))
    await clock.run(1.9)
    assert not waiter.done()
    await clock.run(0.2)
    (again,) = await waiter
    assert again.attempts == 1


async def test_acquire_wakes_when_another_session_gives_back() -> None:
    client, clock = await make()
    await client.open_session("other", 3_600_000)
    await client.submit_job(spec("job", 0, 10))
    (lease,) = await client.acquire("other", 1)
    waiter = asyncio.create_task(client.acquire("w", 1, wait_s=60))
    await clock.run(0)
    await client.release(lease)
    assert (await waiter)[0].window == lease.window


async def test_two_that_wait_do_not_wake_each_other_for_ever() -> None:
    client, clock = await make()
    waiters = [asyncio.create_task(client.acquire("w", 1, wait_s=60)) for _ in range(2)]
    await clock.run(0)
    await client.submit_job(spec("job", 0, 10))
    await clock.run(61)
    assert sorted(len(found) for found in await asyncio.gather(*waiters)) == [0, 1]


async def test_a_waiter_that_is_cancelled_leaves_nothing_behind() -> None:
    client, clock = await make()
    waiter = asyncio.create_task(client.acquire("w", 1, wait_s=60))
    await clock.until_sleeping(1)
    waiter.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiter
    assert len(asyncio.all_tasks()) == 1


async def test_the_life_of_a_lease_counts_from_before_it_was_asked_for() -> None:
    client, clock = await make()
    clock.advance(10)
    await client.submit_job(spec("job", 0, 10))
    (lease,) = await client.acquire("w", 1)
    assert lease.asked_s == 10
    assert lease.renew_s == 10 + 120 / 4
    assert lease.stop_s == 10 + 120 - 12, "a tenth of the life before its end"
    clock.advance(30)
    renewed = await client.renew(lease)
    assert renewed == replace(lease, asked_s=40)
    assert replace(lease, ttl_ms=20_000).stop_s == 10 + 20 - 5, "at least five seconds"


async def test_a_life_that_leaves_no_time_to_write_is_refused() -> None:
    with pytest.raises(InvalidValueError, match="lease_ttl_ms"):
        LocalCoordinator(ManualClock(), 1, Random(1), MachineConfig(lease_ttl_ms=5_000))


@pytest.mark.parametrize(
    "call",
    [
        lambda client, lease: client.renew(lease),
        lambda client, lease: client.progress(lease, (lease.window,)),
        lambda client, lease: client.complete(lease),
        lambda client, lease: client.fail(lease, LeaseFailure(error_class="x")),
    ],
    ids=["renew", "progress", "complete", "fail"],
)
async def test_a_holder_that_is_late_is_told_how_its_lease_ended(
    call: Callable[[LeaseClient, HeldLease], Awaitable[object]],
) -> None:
    client, clock = await make()
    await client.submit_job(spec("job", 0, 10))
    (lease,) = await client.acquire("w", 1)
    clock.advance(121)
    with pytest.raises(LeaseLostError) as lost:
        await call(client, lease)
    assert (lost.value.token, lost.value.end) == (lease.token, LeaseEnd.EXPIRED)


async def test_a_session_that_has_expired_must_be_opened_again() -> None:
    client, clock = await make()
    clock.advance(3_601)
    with pytest.raises(SessionLostError):
        await client.keep_session("w")
    with pytest.raises(SessionLostError):
        await client.acquire("w", 1)
    await client.open_session("w", 60_000)
    await client.keep_session("w")
    await client.close_session("w")
    await client.close_session("w")


async def test_a_failure_that_is_final_reaches_the_job() -> None:
    client, _ = await make()
    await client.submit_job(spec("job", 0, 10))
    (lease,) = await client.acquire("w", 1)
    gone = LeaseFailure(error_class="blocked", message="why", retriable=False, chunk_offset=9)
    assert not await client.fail(lease, gone)
    state = await client.job("job")
    assert state is not None
    assert (state.todo, state.failed) == ((), (Window(0, 10),))
    assert (state.failures[0].message, state.failures[0].chunk_offset) == ("why", 9)


async def test_a_job_that_is_taken_back_is_gone() -> None:
    client, _ = await make()
    await client.submit_job(spec("job", 0, 10))
    await client.cancel_job("job")
    await client.cancel_job("job")
    assert await client.job("job") is None


async def test_a_refused_job_is_an_error_with_its_code() -> None:
    client, _ = await make()
    with pytest.raises(CommandRefusedError, match="priority") as refused:
        await client.submit_job(spec("job", 0, 10, priority=5_000))
    assert refused.value.code == "invalid"


async def test_a_holder_that_tells_of_a_part_is_left_with_the_rest() -> None:
    client, _ = await make()
    await client.submit_job(spec("job", 0, 10))
    (lease,) = await client.acquire("w", 1)
    assert lease.left == (Window(0, 10),)
    lease = await client.progress(lease, (Window(2, 4),), Brought(session_bars=1))
    assert (lease.done, lease.left) == ((Window(2, 4),), (Window(0, 2), Window(4, 10)))
    lease = await client.renew(lease)
    lease = await client.progress(lease, (Window(0, 2), Window(4, 10)))
    assert lease.left == ()
    state = await client.job("job")
    assert state is not None
    assert (state.todo, state.bars_done) == ((), 10)


async def test_a_part_outside_of_the_window_is_refused() -> None:
    client, _ = await make()
    await client.submit_job(spec("job", 0, 10))
    (lease,) = await client.acquire("w", 1)
    with pytest.raises(CommandRefusedError, match="done must be parts"):
        await client.progress(lease, (Window(8, 12),))


async def test_a_holder_that_has_published_may_wait_as_long_as_it_takes() -> None:
    client, clock = await make()
    await client.submit_job(spec("job", 0, 20))
    waiting, asking = await client.acquire("w", 2)
    for _ in range(4):
        clock.advance(100)
        waiting = await client.renew(waiting, published=True)
        if clock.monotonic() < 360:
            asking = await client.renew(asking)
    with pytest.raises(LeaseLostError) as lost:
        await client.renew(asking)
    assert lost.value.end is LeaseEnd.STALLED
    await client.complete(waiting, Brought(chunk_offset=4))


async def test_a_failure_that_no_part_can_escape_reaches_the_job_whole() -> None:
    client, _ = await make(MachineConfig(max_attempts=1))
    await client.submit_job(spec("job", 0, 10))
    (lease,) = await client.acquire("w", 1)
    assert not await client.fail(lease, LeaseFailure(error_class="empty", divisible=False))


def test_who_imports_the_client_loads_nothing_of_the_service() -> None:
    """A worker needs neither the log nor a server."""
    code = (
        "import sys, coordinator.client; "
        "print([m for m in ('pysyncobj', 'aiohttp', 'coordinator._service') if m in sys.modules])"
    )
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert told.stdout.strip() == "[]"
