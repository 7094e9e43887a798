"""Rows of the table of faults: what was done, what has to hold, and whether it did."""

import asyncio
import secrets
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from tests.faults.coordinator.leaders import kill
from tests.faults.coordinator.scenarios import SCENARIOS, Scenario
from tests.faults.coordinator.soak import soak

ROOT = Path(__file__).parents[2]
KILLS = 100
KILLS_HOLDING_S = 1.0
"""So that not the reading of a long log is what takes the time."""

LOST = "LOST"


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One line of the table."""

    name: str
    goal: str
    rounds: int
    run: Callable[[Path], str]
    """Does it once in a folder and returns what was measured.

    Raises:
        Exception: It did not hold.
    """


@dataclass(frozen=True, slots=True)
class Proof:
    """A fault that tests show; they bring what they need."""

    name: str
    goal: str
    file: str
    test: str = ""
    """One of it; empty: all."""


PROOFS = (
    Proof(
        "simulation: crash, partition, delay",
        "0 divergence, 0 lost, equal <= 5 s",
        "simulation/test_simulation.py",
        "test_two_hundred_seeds_show_nothing",
    ),
    Proof(
        "simulation: broken builds",
        "each caught within 200 seeds",
        "simulation/test_simulation.py",
        "test_a_broken_build_is_caught",
    ),
    Proof(
        "a divergent tail of 1,000 entries",
        "commits again <= 2 s",
        "simulation/test_simulation.py",
        "test_a_leader_that_comes_back_with_a_long_tail_holds_nobody_up",
    ),
    Proof(
        "power loss in any write",
        "nothing that was promised is lost",
        "unit/test_raft_journal.py",
        "test_power_lost_in_any_step_takes_nothing_that_was_promised",
    ),
    Proof("SIGKILL at every step on the disk", "recovered = acked", "unit/test_raft_kills.py"),
    Proof("a peer that has the secret", "runs nothing, <= 16 MB", "unit/test_raft_peers.py"),
    Proof("a hostile HTTP client", "refused", "unit/test_coordinator_api_hostile.py"),
    Proof(
        "workers die, a source fails and stalls",
        "every bar once",
        "servers/test_fleet.py",
        "test_every_bar_comes_once_whoever_dies",
    ),
    Proof(
        "SIGSTOP of a worker for two lives",
        "all late chunks refused",
        "servers/test_fleet.py",
        "test_what_a_sleeper_publishes_late_is_refused",
    ),
    Proof(
        "no store while leases live",
        "none looks stalled",
        "servers/test_fleet.py",
        "test_no_lease_looks_stalled_while_the_store_is_away",
    ),
    Proof(
        "the leading node dies in a backfill",
        "it goes on",
        "servers/test_fleet.py",
        "test_a_backfill_goes_on_when_the_leading_coordinator_dies",
    ),
    Proof(
        "a zombie that goes on to publish",
        "nothing of it is seen",
        "servers/test_topics_fenced.py",
        "test_a_zombie_is_refused_and_nothing_it_wrote_is_seen",
    ),
    Proof("files of version 1", "gone on from", "faults/coordinator/test_versions.py"),
    Proof("nodes of two programs", "none parts from the others", "simulation/test_upgrade.py"),
)


def lease_rows(rounds: int, seed: int | None) -> list[Row]:
    """Return the faults of the lease service."""
    played = [
        Row(name=each.name, goal=each.goal, rounds=rounds, run=partial(_play, each, seed))
        for each in SCENARIOS
    ]
    proved = [
        Row(name=each.name, goal=each.goal, rounds=1, run=partial(_prove, each)) for each in PROOFS
    ]
    return [*played, *proved]


def soak_rows(seconds: float, seed: int | None) -> list[Row]:
    """Return the rows that take long."""
    name, goal = f"{KILLS} SIGKILLs of the leader", "grants resume p99 <= 2 s, nothing lost"
    kills = Scenario(name, goal, partial(kill, kills=KILLS, holds_s=KILLS_HOLDING_S))
    long = Scenario(
        f"any fault of nodes for {seconds:g} s",
        "nothing lost, all equal",
        partial(soak, seconds=seconds),
    )
    return [
        Row(name=each.name, goal=each.goal, rounds=1, run=partial(_play, each, seed))
        for each in (kills, long)
    ]


def run_rows(rows: Sequence[Row], folder: Path) -> list[tuple[Row, list[str]]]:
    """Do what the rows say, and print each when it is done; return results, `LOST` what failed."""
    told = []
    for number, row in enumerate(rows):
        results = []
        for turn in range(row.rounds):
            place = folder / f"{number}-{turn}"
            place.mkdir()
            began = time.monotonic()
            try:
                figures = row.run(place)
            except Exception as error:  # noqa: BLE001 - whatever it is, the others have their turn
                results.append(LOST)
                print(f"{row.name}, round {turn + 1}: {error!r}", file=sys.stderr)
                traceback.print_exception(error)
            else:
                results.append(f"ok {time.monotonic() - began:.0f} s")
                print(f"{row.name}: {figures}", flush=True)
        told.append((row, results))
    return told


def _play(scenario: Scenario, seed: int | None, folder: Path) -> str:
    chosen = secrets.randbits(32) if seed is None else seed
    return asyncio.run(scenario.play(folder, chosen))


def _prove(proof: Proof, folder: Path) -> str:
    tests = f"tests/{proof.file}::{proof.test}".removesuffix("::")
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-m",
        "not soak",
        f"--basetemp={folder}",
        tests,
    ]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise AssertionError(done.stdout[-4_000:])
    return done.stdout.strip().splitlines()[-1]
