"""Nodes that do not reach each other, in both directions or in one."""

import asyncio
import time
from collections.abc import Callable
from pathlib import Path

from tests.faults.coordinator.trial import NODES, RESUME_S, Trial, require, trial

CUT_S = 3.0
"""How long: some elections."""

SILENT_S = 1.0
"""From when on a minority grants nothing."""


async def leader(folder: Path, seed: int) -> str:
    """Cut the leader off from both others."""
    return await _cut_leader(folder, seed, lambda t, number: t.links.isolate(number))


async def mute(folder: Path, seed: int) -> str:
    """Let nothing through that the leader sends."""
    return await _cut_leader(folder, seed, lambda t, number: t.links.isolate(number, hears=True))


async def deaf(folder: Path, seed: int) -> str:
    """Let nothing through that is sent to the leader."""
    return await _cut_leader(folder, seed, lambda t, number: t.links.isolate(number, sends=True))


async def follower(folder: Path, seed: int) -> str:
    """Cut one follower off."""
    return await _cut_follower(folder, seed, lambda t, number: t.links.isolate(number))


async def mute_follower(folder: Path, seed: int) -> str:
    """Let nothing through that a follower sends."""
    return await _cut_follower(folder, seed, lambda t, number: t.links.isolate(number, hears=True))


async def deaf_follower(folder: Path, seed: int) -> str:
    """Let nothing through that is sent to a follower: it asks for votes again and again."""
    return await _cut_follower(folder, seed, lambda t, number: t.links.isolate(number, sends=True))


async def bridge(folder: Path, seed: int) -> str:
    """Cut the leader off from one follower; the other one hears both."""
    async with trial(folder, seed) as t:
        number, _ = await t.leader()
        other = _another(number)
        began = time.monotonic()
        t.links.cut(number, other)
        t.links.cut(other, number)
        gaps = await t.longest_wait(began, began + CUT_S)
        t.links.heal()
        await t.prove(time.monotonic())
        return f"longest time without a grant {gaps:.2f} s"


async def _cut_leader(folder: Path, seed: int, cut: Callable[[Trial, int], None]) -> str:
    async with trial(folder, seed) as t:
        number, term = await t.leader()
        began = time.monotonic()
        cut(t, number)
        asked = asyncio.create_task(_ask_all_the_while(t, number, began))
        waited = await t.served(began, term)
        granted = await asked
        healed = time.monotonic()
        t.links.heal()
        require(not granted, f"it granted leases in term {term} after {granted} s")
        require(waited <= RESUME_S + SILENT_S, f"the others granted only after {waited:.2f} s")
        await t.prove(healed)
        return f"the others grant after {waited:.2f} s, equal {t.equal_s:.2f} s after healing"


async def _cut_follower(folder: Path, seed: int, cut: Callable[[Trial, int], None]) -> str:
    async with trial(folder, seed) as t:
        leads, _ = await t.leader()
        number = _another(leads)
        began = time.monotonic()
        cut(t, number)
        granted, gap = await asyncio.gather(
            _ask_all_the_while(t, number, began), t.longest_wait(began, began + CUT_S)
        )
        healed = time.monotonic()
        t.links.heal()
        require(not granted, f"it granted leases after {granted} s")
        require(gap <= RESUME_S + SILENT_S, f"nothing was granted for {gap:.2f} s")
        await t.prove(healed)
        return f"longest time without a grant {gap:.2f} s, equal {t.equal_s:.2f} s after healing"


async def _ask_all_the_while(t: Trial, number: int, began: float) -> list[float]:
    """Ask one node for leases; return when it granted some although it should not have."""
    granted, asked, name = [], [], 0
    while (at := time.monotonic() - began) < CUT_S:
        name += 1
        asked.append((at, asyncio.create_task(t.ask(number, name))))
        await asyncio.sleep(0.1)
    for at, answer in asked:
        if await answer and at > SILENT_S:
            granted.append(at)
    return granted


def _another(number: int) -> int:
    return number % NODES + 1
