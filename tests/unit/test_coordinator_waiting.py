"""Who waits for a lease: in order, without entries in the log, and never for ever."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest

from coordinator._service.api import waiting
from coordinator._service.api.waiting import WaitingRoom
from coordinator._service.log import NotLeaderError, QueueFullError
from coordinator.machine import Acquire, KeepSession, MachineConfig, OpenSession, SubmitJob
from coordinator.testing import MemoryCluster
from runtime.testing import ManualClock
from tests.unit.machine_help import spec, target


class Bench:
    """A room in front of a cluster of two, with session `w` open."""

    def __init__(self, config: MachineConfig | None = None) -> None:
        self.clock = ManualClock()
        self.cluster = MemoryCluster(self.clock, ["a", "b"], config=config)
        self.log = self.cluster["a"]
        self.room = WaitingRoom(self.log, self.clock)
        self.granted: list[str] = []
        self.cluster.append(OpenSession(session_id="w", ttl_ms=3_600_000), "")

    async def acquire(
        self, name: str, limit: int = 1, wait_s: float = 60, lanes: tuple[str, ...] = ()
    ) -> int:
        """Wait for a turn and take it; return how many windows that gave."""
        command = Acquire(session_id="w", limit=limit, lanes=lanes)
        turn = await self.room.enter(command, wait_s)
        try:
            answer = await self.log.propose(command, name, 1)
        finally:
            self.room.leave(turn)
        self.granted += [name] if answer.reply.leases else []
        return len(answer.reply.leases)

    def waiters(self, *names: str, limit: int = 1) -> list["asyncio.Task[int]"]:
        return [asyncio.create_task(self.acquire(name, limit)) for name in names]

    def submit(self, windows: int) -> None:
        job = spec(f"job-{self.cluster.index}", 0, 10 * windows, node=f"n{self.cluster.index}")
        self.cluster.append(SubmitJob(spec=job), "")


@asynccontextmanager
async def bench(config: MachineConfig | None = None) -> AsyncGenerator[Bench]:
    made = Bench(config)
    running = asyncio.create_task(made.room.run())
    try:
        yield made
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


async def test_who_came_first_is_granted_first_and_nobody_is_woken_for_nothing() -> None:
    async with bench() as made:
        tasks = made.waiters("1", "2", "3")
        await made.clock.run(0)
        before = made.cluster.index
        made.submit(2)
        await made.clock.run(0)
        assert made.granted == ["1", "2"]
        assert made.cluster.index == before + 3, "the job and two acquires: no third in vain"
        assert made.room.waiting == 1
        made.submit(1)
        await made.clock.run(0)
        assert made.granted == ["1", "2", "3"]
        assert [task.result() for task in tasks] == [1, 1, 1]


async def test_waiting_puts_nothing_into_the_log() -> None:
    async with bench() as made:
        (task,) = made.waiters("1")
        await made.clock.run(59)
        before = made.cluster.index
        assert not task.done()
        await made.clock.run(2)
        assert await task == 0
        assert made.cluster.index == before + 1, "one, so that the answer is the log's"


async def test_an_entry_that_makes_nothing_grantable_wakes_nobody() -> None:
    async with bench() as made:
        (task,) = made.waiters("1")
        await made.clock.run(0)
        for _ in range(5):
            made.cluster.append(KeepSession(session_id="w"), "")
        await made.clock.run(0)
        assert not task.done()
        task.cancel()


async def test_what_one_may_take_in_one_go_is_kept_for_it() -> None:
    async with bench() as made:
        made.waiters("1", limit=3)
        await made.clock.run(0)
        (second,) = made.waiters("2")
        await made.clock.run(0)
        made.submit(3)
        await made.clock.run(0)
        assert made.granted == ["1"]
        assert not second.done()
        made.submit(1)
        await made.clock.run(0)
        assert made.granted == ["1", "2"]


async def test_while_one_takes_its_turn_nobody_is_woken_for_the_same_window() -> None:
    async with bench() as made:
        made.log.faults.gate.clear()
        first, _ = made.waiters("1", "2")
        await made.clock.run(0)
        made.submit(1)
        await made.clock.run(0)
        assert made.room.waiting == 1
        made.cluster.append(KeepSession(session_id="w"), "")
        await made.clock.run(1)
        assert made.room.waiting == 1, "the window is promised"
        made.log.faults.gate.set()
        assert await first == 1


async def test_who_waits_for_a_lane_is_passed_over_when_another_has_something() -> None:
    async with bench() as made:
        picky = asyncio.create_task(made.acquire("picky", lanes=("bf:another",)))
        await made.clock.run(0)
        (any_lane,) = made.waiters("any")
        await made.clock.run(0)
        before = made.cluster.index
        made.submit(1)
        await made.clock.run(0)
        assert (await any_lane, picky.done()) == (1, False)
        assert made.cluster.index == before + 2, "the job and one acquire: none in vain"
        job = replace(spec("own", 0, 10), target=target(lane="bf:another"))
        made.cluster.append(SubmitJob(spec=job), "")
        await made.clock.run(0)
        assert await picky == 1


async def test_who_waits_at_a_node_that_leads_no_more_is_sent_on() -> None:
    async with bench() as made:
        tasks = made.waiters("1", "2")
        await made.clock.run(0)
        made.cluster.lead("b")
        await made.clock.run(0.6)
        for task in tasks:
            with pytest.raises(NotLeaderError) as error:
                await task
            assert error.value.leader_url == "b"


async def test_too_many_are_told_to_come_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waiting, "WAITERS_MAX", 2)
    async with bench() as made:
        tasks = made.waiters("1", "2")
        await made.clock.run(0)
        with pytest.raises(QueueFullError):
            await made.acquire("3")
        for task in tasks:
            task.cancel()
        await made.clock.run(0)
        assert made.room.waiting == 0


async def test_a_fault_of_looking_makes_nobody_wait_for_ever(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with bench() as made:
        with monkeypatch.context() as patch:
            patch.setattr(made.room, "_peek", lambda *_asked: 1 / 0)
            (task,) = made.waiters("1")
            await made.clock.run(0)
            assert await task == 0, "it asked the log, which had nothing"
        (task,) = made.waiters("2")
        await made.clock.run(0)
        made.submit(1)
        await made.clock.run(0)
        assert await task == 1
