"""What was seen in one run: the raw material of the checkers. Values only."""

import math
from dataclasses import dataclass, field

from coordinator.machine import AnyCommand, Reply

NEVER = math.inf


@dataclass(frozen=True, slots=True, kw_only=True)
class Op:
    """A command as the worker that sent it has it."""

    worker: str
    request_id: str
    command: AnyCommand
    called: float
    """When it was sent for the first time."""

    returned: float = NEVER
    """When its answer came; NEVER: it did not."""

    reply: Reply | None = None
    index: int = 0
    """Place in the log, as the answer had it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Application:
    """An entry as a node applied it."""

    node: str
    index: int
    entry: int
    """Checksum of it."""

    chain: str
    """Digest of all replies up to it."""

    now: float
    clock_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """A reply to a request id, at one place in the log."""

    index: int
    request_id: str
    reply: bytes
    stale: bool
    """Whether it was refused for its term."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ending:
    """A node at the end of a run."""

    node: str
    applied: int
    digest: str
    leads: bool


@dataclass(slots=True, kw_only=True)
class History:
    """All of it, in the order in which it happened."""

    lease_ttl_s: float
    session_ttl_s: float
    ops: list[Op] = field(default_factory=list)
    applications: list[Application] = field(default_factory=list)
    restored: list[Application] = field(default_factory=list)
    """States taken from snapshots."""

    said: dict[int, Said] = field(default_factory=dict)
    """By place, as the first node applied it."""

    cancelled: dict[int, float] = field(default_factory=dict)
    """Leases that ended because nobody wanted their windows any more, and when."""

    after_failure: list[str] = field(default_factory=list)
    """Nodes that sent something after their disk had failed."""

    broken: list[str] = field(default_factory=list)
    """Nodes that stopped although nothing was done to them."""

    equal_after_s: float | None = None
    """How long after the last fault all nodes were equal; None: too long."""

    served_after_heal: bool = False
    endings: list[Ending] = field(default_factory=list)
    counts: dict[str, int] = field(default_factory=dict)
    """What happened how often: a run in which nothing happens shows nothing."""

    def count(self, what: str) -> None:
        """Count one more."""
        self.counts[what] = self.counts.get(what, 0) + 1
