"""What a lease client does, wherever the leases are. Run in one process and over HTTP."""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import replace
from functools import partial

import pytest

from bars.window import Window
from coordinator.client import (
    Brought,
    CommandRefusedError,
    HeldLease,
    LeaseClient,
    LeaseEnd,
    LeaseFailure,
    LeaseLostError,
    MachineConfig,
    SessionLostError,
)
from tests.lease_help import SESSION_MS, SOON_S, Bench
from tests.unit.machine_help import spec, target


class LeaseSuite(ABC):
    """The behaviour of every `LeaseClient`."""

    @abstractmethod
    def open(self, config: MachineConfig | None = None) -> AbstractAsyncContextManager[Bench]:
        """Open a service; what it is, a subclass says."""

    @asynccontextmanager
    async def bench(self, config: MachineConfig | None = None) -> AsyncGenerator[Bench]:
        """Open a service with a session."""
        async with self.open(config) as bench:
            await bench.client.open_session("w", SESSION_MS)
            yield bench

    async def test_acquire_waits_for_a_job(self) -> None:
        async with self.bench() as bench:
            waiter = asyncio.create_task(bench.client.acquire("w", 1, wait_s=60))
            await bench.waits()
            await bench.client.submit_job(spec("job", 0, 10))
            (lease,) = await waiter
            assert (lease.window, lease.job_ids) == (Window(0, 10), ("job",))
            assert (lease.token >> 40, lease.session_id) == (5, "w")

    async def test_acquire_comes_back_empty_when_its_time_is_up(self) -> None:
        async with self.bench() as bench:
            waiter = asyncio.create_task(bench.client.acquire("w", 1, wait_s=7))
            await bench.waits()
            await bench.pass_s(6.9)
            assert bench.waiting() == 1
            await bench.pass_s(0.2)
            assert await waiter == ()

    async def test_a_wait_may_be_long(self) -> None:
        """Longer than one question to a server may take."""
        async with self.bench() as bench:
            waiter = asyncio.create_task(bench.client.acquire("w", 1, wait_s=25))
            for _ in range(24):
                await bench.waits()
                await bench.pass_s(1)
            await bench.waits()
            await bench.client.submit_job(spec("job", 0, 10))
            assert len(await waiter) == 1

    async def test_acquire_without_a_wait_answers_at_once(self) -> None:
        async with self.bench() as bench:
            assert await bench.client.acquire("w", 1) == ()

    async def test_acquire_takes_as_many_as_there_are(self) -> None:
        async with self.bench() as bench:
            await bench.client.submit_job(spec("job", 0, 25))
            leases = await bench.client.acquire("w", 5)
            windows = [lease.window for lease in leases]
            assert windows == [Window(0, 10), Window(10, 20), Window(20, 25)]
            tokens = [lease.token for lease in leases]
            assert tokens == sorted(set(tokens))

    async def test_acquire_takes_windows_of_the_lanes_that_it_names(self) -> None:
        async with self.bench() as bench:
            await bench.client.submit_job(spec("job", 0, 25))
            lanes = ("bf:another", "bf:second")
            assert await bench.client.acquire("w", 5, lanes=lanes) == ()
            waiter = asyncio.create_task(bench.client.acquire("w", 5, wait_s=60, lanes=lanes))
            await bench.waits()
            own = replace(spec("own", 0, 10), target=target(lane="bf:another"))
            await bench.client.submit_job(own)
            assert [lease.target.lane for lease in await waiter] == ["bf:another"]

    async def test_acquire_wakes_when_a_retry_is_due(self) -> None:
        async with self.bench(MachineConfig(jitter_ppm=0, retry_backoff_ms=2_000)) as bench:
            await bench.client.submit_job(spec("job", 0, 10))
            (lease,) = await bench.client.acquire("w", 1)
            assert await bench.client.fail(lease, LeaseFailure(error_class="source"))
            waiter = asyncio.create_task(bench.client.acquire("w", 1, wait_s=60))
            await bench.waits()
            await bench.pass_s(1.9)
            assert bench.waiting() == 1
            await bench.pass_s(0.2)
            (again,) = await waiter
            assert again.attempts == 1

    async def test_acquire_wakes_when_another_session_gives_back(self) -> None:
        async with self.bench() as bench:
            await bench.client.open_session("other", SESSION_MS)
            await bench.client.submit_job(spec("job", 0, 10))
            (lease,) = await bench.client.acquire("other", 1)
            waiter = asyncio.create_task(bench.client.acquire("w", 1, wait_s=60))
            await bench.waits()
            await bench.client.release(lease)
            assert (await waiter)[0].window == lease.window

    async def test_two_that_wait_do_not_take_the_same_window(self) -> None:
        async with self.bench() as bench:
            acquires = [bench.client.acquire("w", 1, wait_s=60) for _ in range(2)]
            waiters = [asyncio.create_task(acquire) for acquire in acquires]
            await bench.waits(2)
            await bench.client.submit_job(spec("job", 0, 10))
            await asyncio.wait(waiters, return_when=asyncio.FIRST_COMPLETED)
            for _ in range(60):
                await bench.pass_s(1)
                await asyncio.sleep(0.002)
            assert sorted(len(found) for found in await asyncio.gather(*waiters)) == [0, 1]

    async def test_a_waiter_that_goes_is_forgotten(self) -> None:
        async with self.bench() as bench:
            waiter = asyncio.create_task(bench.client.acquire("w", 1, wait_s=60))
            await bench.waits()
            waiter.cancel()
            with pytest.raises(asyncio.CancelledError):
                await waiter
            await bench.waits(0)
            await bench.client.submit_job(spec("job", 0, 10))
            assert len(await bench.client.acquire("w", 1)) == 1, "nobody else has taken it"

    async def test_the_life_of_a_lease_counts_from_before_it_was_asked_for(self) -> None:
        async with self.bench() as bench:
            await bench.pass_s(10)
            await bench.client.submit_job(spec("job", 0, 10))
            asked_s = bench.clock.monotonic()
            (lease,) = await bench.client.acquire("w", 1)
            assert lease.asked_s <= bench.clock.monotonic()
            near = partial(pytest.approx, abs=SOON_S)
            assert lease.renew_s == near(asked_s + 120 / 4)
            assert lease.stop_s == near(asked_s + 120 - 12), "a tenth before its end"
            await bench.pass_s(30)
            renewed = await bench.client.renew(lease)
            assert renewed.token == lease.token
            assert renewed.stop_s == near(lease.stop_s + 30)

    async def test_what_was_waited_for_is_no_part_of_the_life(self) -> None:
        """Else a lease would be old when it comes."""
        async with self.bench() as bench:
            began_s = bench.clock.monotonic()
            waiter = asyncio.create_task(bench.client.acquire("w", 1, wait_s=9))
            await bench.waits()
            await bench.pass_s(8)
            await bench.client.submit_job(spec("job", 0, 10))
            (lease,) = await waiter
            assert began_s + 8 * 0.9 < lease.asked_s < began_s + 8 + SOON_S

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
        self, call: Callable[[LeaseClient, HeldLease], Awaitable[object]]
    ) -> None:
        async with self.bench() as bench:
            await bench.client.submit_job(spec("job", 0, 10))
            (lease,) = await bench.client.acquire("w", 1)
            await bench.pass_s(121)
            with pytest.raises(LeaseLostError) as lost:
                await call(bench.client, lease)
            assert (lost.value.token, lost.value.end) == (lease.token, LeaseEnd.EXPIRED)

    async def test_a_session_that_has_expired_must_be_opened_again(self) -> None:
        async with self.bench() as bench:
            await bench.client.open_session("w", 60_000)
            await bench.pass_s(61)
            with pytest.raises(SessionLostError):
                await bench.client.keep_session("w")
            with pytest.raises(SessionLostError):
                await bench.client.acquire("w", 1)
            await bench.client.open_session("w", 60_000)
            await bench.client.keep_session("w")
            await bench.client.close_session("w")
            await bench.client.close_session("w")

    async def test_a_session_that_ends_ends_the_waiting_of_its_acquires(self) -> None:
        async with self.bench() as bench:
            waiter = asyncio.create_task(bench.client.acquire("w", 1, wait_s=9))
            await bench.waits()
            await bench.client.close_session("w")
            await bench.pass_s(9.5)
            with pytest.raises(SessionLostError):
                await waiter

    async def test_a_failure_that_is_final_reaches_the_job(self) -> None:
        async with self.bench() as bench:
            await bench.client.submit_job(spec("job", 0, 10))
            (lease,) = await bench.client.acquire("w", 1)
            gone = LeaseFailure(
                error_class="blocked", message="why", retriable=False, chunk_offset=9
            )
            assert not await bench.client.fail(lease, gone)
            state = await bench.client.job("job")
            assert state is not None
            assert (state.todo, state.failed) == ((), (Window(0, 10),))
            assert (state.failures[0].message, state.failures[0].chunk_offset) == ("why", 9)

    async def test_a_failure_with_a_long_story_is_told_shortly(self) -> None:
        async with self.bench() as bench:
            await bench.client.submit_job(spec("job", 0, 10))
            (lease,) = await bench.client.acquire("w", 1)
            long = LeaseFailure(error_class="x" * 500, message="y" * 50_000, retriable=False)
            assert not await bench.client.fail(lease, long)
            state = await bench.client.job("job")
            assert state is not None
            assert (len(state.failures[0].error_class), len(state.failures[0].message)) == (
                200,
                500,
            )

    async def test_what_is_completed_is_off_the_job(self) -> None:
        async with self.bench() as bench:
            state = await bench.client.submit_job(spec("job", 0, 20))
            assert state.todo == (Window(0, 20),)
            (lease,) = await bench.client.acquire("w", 1)
            await bench.client.complete(lease)
            state = await bench.client.submit_job(spec("job", 0, 20))
            assert state.todo == (Window(10, 20),)
            assert await bench.client.job("job") == state
            with pytest.raises(LeaseLostError):
                await bench.client.complete(lease)

    async def test_another_session_has_no_say_in_a_lease(self) -> None:
        async with self.bench() as bench:
            await bench.client.open_session("other", SESSION_MS)
            await bench.client.submit_job(spec("job", 0, 10))
            (lease,) = await bench.client.acquire("w", 1)
            thief = HeldLease(
                **{name: getattr(lease, name) for name in lease.__slots__} | {"session_id": "other"}
            )
            with pytest.raises(LeaseLostError, match="another session"):
                await bench.client.complete(thief)
            await bench.client.complete(lease)

    async def test_a_job_that_is_taken_back_is_gone(self) -> None:
        async with self.bench() as bench:
            await bench.client.submit_job(spec("job", 0, 10))
            await bench.client.cancel_job("job")
            await bench.client.cancel_job("job")
            assert await bench.client.job("job") is None

    async def test_a_refused_job_is_an_error_with_its_code(self) -> None:
        async with self.bench() as bench:
            with pytest.raises(CommandRefusedError, match="priority") as refused:
                await bench.client.submit_job(spec("job", 0, 10, priority=5_000))
            assert refused.value.code == "invalid"
            await bench.client.submit_job(spec("job", 0, 10))
            with pytest.raises(CommandRefusedError, match="with other values") as refused:
                await bench.client.submit_job(spec("job", 0, 20))
            assert refused.value.code == "job_conflict"

    async def test_a_part_that_is_done_is_nobodys_work_again(self) -> None:
        async with self.bench() as bench:
            await bench.client.submit_job(spec("job", 0, 10))
            (lease,) = await bench.client.acquire("w", 1)
            partly = await bench.client.progress(lease, (Window(0, 4),))
            assert (partly.done, partly.left) == ((Window(0, 4),), (Window(4, 10),))
            with pytest.raises(CommandRefusedError, match="done"):
                await bench.client.progress(partly, (Window(8, 12),))
            await bench.client.release(partly)
            (rest,) = await bench.client.acquire("w", 1)
            assert rest.window == Window(4, 10)
            whole = await bench.client.progress(rest, (Window(4, 10),), Brought(chunk_offset=7))
            assert whole.left == ()
            with pytest.raises(LeaseLostError) as lost:
                await bench.client.complete(rest)
            assert lost.value.end is LeaseEnd.COMPLETED

    async def test_what_a_holder_brought_counts_in_session_bars(self) -> None:
        async with self.bench() as bench:
            await bench.client.submit_job(replace(spec("job", 0, 20), session_bars=6))
            (lease,) = await bench.client.acquire("w", 1)
            await bench.client.complete(lease, Brought(chunk_offset=3, session_bars=2))
            state = await bench.client.job("job")
            assert state is not None
            assert (state.bars, state.bars_done) == (6, 2)

    async def test_a_source_that_is_asked_by_one_less_is_asked_by_another(self) -> None:
        """Who has published waits for a verdict and no longer for the source."""
        async with self.bench(MachineConfig(source_requests_max=1)) as bench:
            await bench.client.submit_job(spec("job", 0, 20))
            (lease,) = await bench.client.acquire("w", 1)
            waiter = asyncio.create_task(bench.client.acquire("w", 1, wait_s=60))
            await bench.waits()
            await bench.client.renew(lease, published=True)
            (second,) = await waiter
            assert second.window == Window(10, 20)

    async def test_a_holder_that_has_published_may_wait_as_long_as_it_takes(self) -> None:
        async with self.bench() as bench:
            await bench.client.submit_job(spec("job", 0, 20))
            waiting, asking = await bench.client.acquire("w", 2)
            for passed_s in (100, 200, 300, 400):
                await bench.pass_s(100)
                waiting = await bench.client.renew(waiting, published=True)
                if passed_s < 360:
                    asking = await bench.client.renew(asking)
            with pytest.raises(LeaseLostError) as lost:
                await bench.client.renew(asking)
            assert lost.value.end is LeaseEnd.STALLED
            await bench.client.complete(waiting, Brought(chunk_offset=4))

    async def test_a_failure_that_no_part_can_escape_reaches_the_job_whole(self) -> None:
        async with self.bench(MachineConfig(max_attempts=1)) as bench:
            await bench.client.submit_job(spec("job", 0, 10))
            (lease,) = await bench.client.acquire("w", 1)
            empty = LeaseFailure(error_class="empty", divisible=False)
            assert not await bench.client.fail(lease, empty)
            state = await bench.client.job("job")
            assert state is not None
            assert state.failed == (Window(0, 10),)

    async def test_what_the_ledger_ought_to_show_and_does_not_is_wanted_again(self) -> None:
        async with self.bench() as bench:
            await bench.client.submit_job(spec("job", 0, 20))
            for offset, lease in enumerate(await bench.client.acquire("w", 2)):
                await bench.client.complete(lease, Brought(chunk_offset=offset))
            await bench.client.resync(target(), (), judged=0)
            state = await bench.client.job("job")
            assert state is not None
            assert state.todo == ()
            await bench.client.resync(target(), (Window(0, 10),), judged=2)
            state = await bench.client.job("job")
            assert state is not None
            assert state.todo == (Window(10, 20),)
