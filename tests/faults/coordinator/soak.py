"""One fault after the other, drawn by chance, for as long as it is told to."""

import errno
import signal
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path
from random import Random

from tests.faults.coordinator.trial import NODES, Trial, p99, require, trial, until
from tests.faults.coordinator.victim import Fault

ACQUIRE_S = 5.0
"""No more for 99 grants in a hundred: they may meet changes of the leader."""

Blow = Callable[[Trial, int, float], Awaitable[None]]


async def soak(folder: Path, seed: int, seconds: float) -> str:
    """Let things happen to nodes until the time is up."""
    chance = Random(seed)
    counts: Counter[str] = Counter()
    async with trial(folder, seed) as t:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            name = chance.choice(sorted(BLOWS))
            number = chance.randint(1, NODES)
            if chance.random() < 0.5:
                number, _ = await t.leader()
            counts[name] += 1
            await BLOWS[name](t, number, chance.uniform(0.3, 3.0))
            await t.served(time.monotonic())
            t.logs.read(time.monotonic())
        await t.prove(time.monotonic())
        waits = [took for _, _, took in t.heard.grants]
        longest = p99(waits)
        require(longest <= ACQUIRE_S, f"grants took {longest:.2f} s, p99")
        done = ", ".join(f"{name} {count}" for name, count in sorted(counts.items()))
        return f"{len(waits)} grants, p99 {longest * 1_000:.0f} ms; {done}"


async def _pause(seconds: float) -> None:
    end = time.monotonic() + seconds
    await until(lambda: time.monotonic() >= end, "time passes")


async def _kill(t: Trial, number: int, seconds: float) -> None:
    t.nodes.end(number, signal.SIGKILL)
    await _pause(seconds)
    await t.start(number)


async def _freeze(t: Trial, number: int, seconds: float) -> None:
    t.nodes.send(number, signal.SIGSTOP)
    try:
        await _pause(seconds)
    finally:
        t.nodes.send(number, signal.SIGCONT)


async def _cut(t: Trial, number: int, seconds: float) -> None:
    t.links.isolate(number)
    await _pause(seconds)
    t.links.heal()


async def _slow(t: Trial, number: int, seconds: float) -> None:
    t.fault(number, Fault(sync_s=0.2))
    await _pause(seconds)
    t.fault(number, Fault())


async def _break(t: Trial, number: int, seconds: float) -> None:
    t.fault(number, Fault(sync_error=errno.EIO))
    await t.nodes.ended(number)
    t.fault(number, Fault())
    await _pause(seconds)
    await t.start(number)


BLOWS: dict[str, Blow] = {
    "killed": _kill,
    "frozen": _freeze,
    "cut off": _cut,
    "slow disk": _slow,
    "broken disk": _break,
}
