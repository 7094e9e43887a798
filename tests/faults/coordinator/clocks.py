"""Clocks that are wrong: by hours on the wall, by some percent in their rate."""

import time
from dataclasses import dataclass
from pathlib import Path

from coordinator.client import HeldLease
from coordinator.machine import Acquire
from runtime.clock import SystemClock
from tests.faults.coordinator.load import HAND
from tests.faults.coordinator.trial import LEASE_TTL_MS, Trial, require, trial, until
from tests.faults.coordinator.victim import Fault

MOVED_S = 7_200.0
RATES = (1.05, 0.95, 1.0)
LEGACY_MS = 60_000
HELD_S = LEASE_TTL_MS / 1_000 * 0.75
"""How long a lease is held without a renewal: still in force, by the fastest clock too."""


@dataclass
class WrongClock(SystemClock):
    """A worker's clock."""

    wall_s: float
    rate: float

    def wall_us(self) -> int:
        """Return microseconds since the Unix epoch, as it believes."""
        return super().wall_us() + int(self.wall_s * 1_000_000)

    def monotonic(self) -> float:
        """Return seconds at its own rate."""
        return super().monotonic() * self.rate


async def moved(folder: Path, seed: int) -> str:
    """Move the wall clocks of nodes while they hold leases; workers' have been wrong before."""
    faults = [Fault(rate=rate) for rate in RATES]
    clocks = [WrongClock(wall_s, rate) for wall_s in (MOVED_S, -MOVED_S) for rate in RATES]
    async with trial(folder, seed, faults=faults, clocks=clocks) as t:
        hand = t.load.hand
        kept, dropped = await hand.acquire(HAND, 2)
        asked = time.monotonic()
        leader, _ = await t.leader()
        for number, rate in enumerate(RATES, 1):
            t.fault(number, Fault(wall_s=MOVED_S if number == leader else -MOVED_S, rate=rate))
        require(abs(await _wall_error_s(t, leader) - MOVED_S) < 60, "the clock was not moved")
        await until(lambda: time.monotonic() - asked >= HELD_S, "time passes")
        await hand.renew(kept)
        # What is not renewed is granted again after its life: neither before nor hours later.
        await until(lambda: _granted_again(t, dropped) > 0, "the window comes back")
        after = _granted_again(t, dropped) - asked
        await hand.complete(kept)
        await t.prove(time.monotonic())
        return f"in force after {HELD_S:g} s; unrenewed, granted again after {after:.1f} s"


async def _wall_error_s(t: Trial, number: int) -> float:
    """Return how wrong the wall clock of a node is, as the older protocol shows it."""
    body = {"key": "node:60:0:60:world:0", "lease_ms": LEGACY_MS}
    answer = await t.http.post(f"{t.nodes.urls[number - 1]}/v1/leases/claim", json=body)
    until_ms = int(answer.json()["lease"]["lease_until_ms"])
    return (until_ms - LEGACY_MS) / 1_000 - time.time()


def _granted_again(t: Trial, dropped: HeldLease) -> float:
    """Return when a window was granted to another; 0: it has not been."""
    for op in t.history.ops:
        if isinstance(op.command, Acquire) and op.reply is not None:
            for lease in op.reply.leases:
                same = (lease.target, lease.window) == (dropped.target, dropped.window)
                if same and lease.token != dropped.token:
                    return op.returned
    return 0.0
