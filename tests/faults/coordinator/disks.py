"""Disks that fail, fill up and are slow."""

import asyncio
import errno
import os
import shutil
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

from tests.faults.coordinator.nodes import How
from tests.faults.coordinator.trial import RESUME_S, Trial, require, trial
from tests.faults.coordinator.victim import Fault

CRASHED = 1
HAND_OVER_S = 5.0
SLOW_S = 0.2
DISK_BYTES = 2**15
"""What a small disk holds: the journal of some seconds."""


async def broken(folder: Path, seed: int) -> str:
    """Have everything fail that the leader wants to be safe on its disk."""
    async with trial(folder, seed) as t:
        leader, term = await t.leader()
        began = time.monotonic()
        t.fault(leader, Fault(sync_error=errno.EIO))
        stopped = await _stops(t, leader, "Input/output error", began)
        waited = await t.served(began, term)
        require(waited <= RESUME_S, f"grants only after {waited:.2f} s")
        t.fault(leader, Fault())
        await t.start(leader)
        await t.prove(time.monotonic())
        return f"it stopped after {stopped:.2f} s, grants after {waited:.2f} s"


async def full(folder: Path, seed: int) -> str:
    """Have one node's disk fill up: a real one where that can be made, else its answers."""
    async with trial(folder, seed, start=False) as t:
        small = await asyncio.to_thread(_small_disk, t.nodes.data(1))
        if small:
            t.nodes.how[1] = How(inside=small)
            t.logs.folders.pop("node-1")  # nobody else sees what is on it
        await t.begin()
        began = time.monotonic()
        if not small:
            t.fault(1, Fault(write_error=errno.ENOSPC))
        await _stops(t, 1, "No space left on device", began)
        await t.served(time.monotonic())
        # What was on the small disk is gone with its process: it begins with an empty one.
        t.nodes.how.pop(1)
        t.logs.folders["node-1"] = t.nodes.data(1)
        await t.start(1)
        await t.prove(time.monotonic())
        return f"it stopped, grants went on; {'a real disk' if small else 'simulated'}"


async def slow(folder: Path, seed: int) -> str:
    """Have the leader's disk take long for everything."""
    async with trial(folder, seed) as t:
        leader, term = await t.leader()
        began = time.monotonic()
        t.fault(leader, Fault(sync_s=SLOW_S))
        await t.leader(leader)
        took = time.monotonic() - began
        waited = await t.served(began, term)
        require(took <= HAND_OVER_S, f"handed over only after {took:.2f} s")
        await t.prove(time.monotonic())
        return f"handed over after {took:.2f} s, first grant of the new leader {waited:.2f} s"


async def _stops(t: Trial, number: int, why: str, began: float) -> float:
    code = await t.nodes.ended(number)
    took = time.monotonic() - began
    said = t.nodes.log(number)
    require(code == CRASHED and why in said, f"exit code {code}: {said[-2_000:]}")
    return took


def _small_disk(folder: Path) -> tuple[str, ...]:
    """Return what runs a command with a small disk of its own at a folder; empty: nothing can."""
    if sys.platform != "linux" or shutil.which("unshare") is None:
        return ()
    folder.mkdir(parents=True, mode=0o700, exist_ok=True)
    mount = f'mount -t tmpfs -o size={DISK_BYTES},mode=0700 none "{os.fspath(folder)}"'
    run = partial(subprocess.run, capture_output=True, check=False, timeout=10)
    for new in (("--mount",), ("--user", "--map-root-user", "--mount")):
        inside = ("unshare", *new, "sh", "-c", f'{mount} && exec "$0" "$@"')
        if run([*inside, "true"]).returncode == 0:
            return inside
    return ()
