"""A node of a run: the real engine, looked at; and how long things live there."""

import json
import zlib

from pysyncobj.poller import Poller

from coordinator._service.raft.engine import Engine
from coordinator._service.raft.proposal import Applied
from coordinator.machine import MachineConfig
from tests.simulation.history import Application, History, Said
from tests.simulation.world import World

SESSION_TTL_S = 4.0
"""Life of a worker's session."""

CONFIG = MachineConfig(
    lease_ttl_ms=2_000, retry_backoff_ms=100, retry_cap_ms=1_000, max_attempts=3, ended_max=64
)


def new_history() -> History:
    """Return the history of a run in which nothing has happened yet."""
    return History(lease_ttl_s=CONFIG.lease_ttl_ms / 1_000, session_ttl_s=SESSION_TTL_S)


class IdlePoller(Poller):  # type: ignore[misc]  # the library has no types
    """There are no files to wait for: PySyncObj's own methods refuse to take one."""

    def poll(self, timeout: float) -> None:
        assert timeout == 0


class SimEngine(Engine):
    """The engine, looked at."""

    history: History
    world: World

    def apply(self, index: int, entry: bytes) -> Applied:
        applied = super().apply(index, entry)
        told = json.loads(entry)
        seen = Application(
            node=self.settings.node_id,
            index=index,
            entry=zlib.crc32(entry),
            chain=self.replica.capture()._rest.chain,
            now=self.world.now,
            clock_ms=applied.clock_ms,
        )
        self.history.applications.append(seen)
        stale = json.loads(applied.reply)["reply"]["code"] == "stale_leader"
        said = Said(index=index, request_id=told["request_id"], reply=applied.reply, stale=stale)
        self.history.said.setdefault(index, said)
        return applied
