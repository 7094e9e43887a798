"""Leaders that die, and leaders that sleep."""

import asyncio
import signal
import time
from pathlib import Path
from statistics import median

from tests.faults.coordinator.load import HOLDING_S
from tests.faults.coordinator.trial import RESUME_S, p99, require, trial


async def kill(folder: Path, seed: int, kills: int = 10, holds_s: float = HOLDING_S) -> str:
    """Kill the node that leads, again and again, and start it anew.

    Args:
        folder: For everything.
        seed: Of the load.
        kills: How often.
        holds_s: How long workers have a lease at most; longer: their log grows more slowly.
    """
    async with trial(folder, seed, victims=False) as t:
        for worker in t.load.workers:
            worker.holds_s = holds_s
        waits = []
        healed = time.monotonic()
        for _ in range(kills):
            leader, term = await t.leader()
            began = time.monotonic()
            t.nodes.end(leader, signal.SIGKILL)
            waits.append(await t.served(began, term))
            t.logs.read(time.monotonic())
            await t.start(leader)
            healed = time.monotonic()
        await t.prove(healed)
        told = f"grants after {median(waits):.2f} s, p99 {p99(waits):.2f} s"
        require(p99(waits) <= RESUME_S, told)
        return f"{kills} kills, {told}"


async def stop(folder: Path, seed: int) -> str:
    """Stop the leader's process for longer than an election, and let it go on."""
    async with trial(folder, seed, victims=False) as t:
        leader, term = await t.leader()
        began = time.monotonic()
        t.nodes.send(leader, signal.SIGSTOP)
        try:
            # They are taken in by the kernel, and read when the process goes on.
            asked = [asyncio.create_task(t.ask(leader, number)) for number in range(20)]
            waited = await t.served(began, term)
        finally:
            t.nodes.send(leader, signal.SIGCONT)
        healed = time.monotonic()
        terms = [found for found in await asyncio.gather(*asked) if found]
        require(not [found for found in terms if found <= term], f"granted in terms {terms}")
        await t.prove(healed)
        return f"{len(asked)} asked it, none of them got a lease of its term; {waited:.2f} s"
