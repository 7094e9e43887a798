"""The table of what is done to the lease service, and what has to hold all the while.

Afterwards every scenario proves the same: nothing acknowledged is lost, no token was granted twice
or out of order, no window had two holders, and all nodes hold the same within five seconds.
"""

from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.faults.coordinator import clocks, disks, leaders, partitions, strangers, upgrade

Play = Callable[[Path, int], Coroutine[Any, Any, str]]
"""Plays it in a folder, with a seed; returns what was measured."""


@dataclass(frozen=True, slots=True)
class Scenario:
    """One row of the table."""

    name: str
    goal: str
    play: Play
    quick: bool = True
    """Whether `make test` runs it, for its kind."""


SCENARIOS = (
    Scenario("SIGKILL of the leader", "grants resume p99 <= 2 s, nothing lost", leaders.kill),
    Scenario("SIGSTOP of the leader", "it grants nothing when it wakes", leaders.stop),
    Scenario("fsync gives EIO", "the node stops, the others serve", disks.broken),
    Scenario("a full disk", "the node stops, the others serve", disks.full),
    Scenario("a disk takes 200 ms", "no lease lost, the lead handed over <= 5 s", disks.slow),
    Scenario("the leader is cut off", "it grants nothing after 1 s", partitions.leader),
    Scenario("the leader is not heard", "it grants nothing after 1 s", partitions.mute, False),
    Scenario("the leader hears nobody", "it grants nothing after 1 s", partitions.deaf),
    Scenario(
        "a follower is cut off", "it grants nothing, grants go on", partitions.follower, False
    ),
    Scenario(
        "a follower is not heard",
        "it grants nothing, grants go on",
        partitions.mute_follower,
        False,
    ),
    Scenario(
        "a follower hears nobody", "it grants nothing, grants go on", partitions.deaf_follower
    ),
    Scenario("the leader reaches one of two", "grants go on", partitions.bridge),
    Scenario(
        "wall clocks moved by 2 h, rates by 5 %", "no early expiry, no double holder", clocks.moved
    ),
    Scenario("strangers at both ports", "they get nothing, others are served", strangers.knock),
    Scenario("requests doubled, lost, late", "no state change, same reply", strangers.repeat),
    Scenario(
        "an older program replaced node by node",
        "the new level after the last, nothing lost",
        upgrade.one_by_one,
    ),
)
