"""One node of the lease service as a process: its log and its API, until told to stop."""

import asyncio
import contextlib
import gc
import os
import signal
from collections.abc import Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path

from bars.errors import InvalidValueError, SeamlessError
from coordinator._service.api.api import serve_api
from coordinator._service.api.health import why_not_ready
from coordinator._service.api.metrics import ServiceMetrics
from coordinator._service.genesis import first_state
from coordinator._service.log import LogStatus, ReplicatedLog
from coordinator._service.plan import NodePlan, make_secret, plan_node
from coordinator._service.raft.node import RaftLog
from coordinator.client import machine_config
from coordinator.machine import Event, MachineConfig
from coordinator.machine.replica import Replica
from coordinator.machine.views import differences
from runtime.clock import Clock, SystemClock
from runtime.lock import FileLock
from runtime.log import logger
from runtime.settings import Settings

LOOK_S = 0.05

GC_THRESHOLDS = (20_000, 20, 100)
"""How seldom Python looks for cycles. The state has hundreds of thousands of objects and none, and
to look through them all holds up every command that is under way."""

_log = logger(__name__)


class NodeStoppedError(SeamlessError):
    """The node has stopped by itself, for a fault of its disk or of the program.

    Attributes:
        reason: What it said.
    """

    retriable = True

    def __init__(self, reason: str) -> None:
        super().__init__(f"the node has stopped: {reason}")
        self.reason = reason


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeOptions:
    """What concerns the process and not its work."""

    number: int = 1
    """Which node of the configuration, 1 for the first."""

    ready_file: Path | None = None
    """Gets the process's id when the node is of use to clients."""

    clock: Clock = field(default_factory=SystemClock)


def run_node(settings: Settings, options: NodeOptions) -> None:
    """Run a node until SIGTERM or SIGINT.

    Raises:
        InvalidValueError: The configuration does not make a node.
        LockHeldError: The node runs already.
        NodeStoppedError: It has stopped by itself.
        SeamlessError: Its files or its secret cannot be used.
    """
    if not __debug__:
        # PySyncObj refuses replayed messages by an assertion.
        raise InvalidValueError("python -O", "set", "left out: checks would be left out with it")
    gc.set_threshold(*GC_THRESHOLDS)
    plan = plan_node(settings, options.number, options.clock)
    with FileLock(plan.raft.folder / "lock"):
        if plan.makes_secret:
            make_secret(plan.raft.secret_file)
        asyncio.run(_until_signalled(settings, plan, options))


async def _until_signalled(settings: Settings, plan: NodePlan, options: NodeOptions) -> None:
    work = asyncio.create_task(_serve(settings, plan, options))
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, work.cancel)
    with contextlib.suppress(asyncio.CancelledError):
        await work


async def _serve(settings: Settings, plan: NodePlan, options: NodeOptions) -> None:
    heard: list[Event] = []
    wanted = machine_config(settings.backfill, settings.coordinator)
    first = first_state(plan.raft.folder, wanted)
    replica = Replica(first, heard.extend)
    log = RaftLog(plan.raft, replica, options.clock, heard)
    metrics = ServiceMetrics(settings.coordinator.label_nodes)
    async with AsyncExitStack() as stack:
        await log.start()
        stack.push_async_callback(log.stop)
        api = await stack.enter_async_context(serve_api(log, plan.api, metrics))
        _log.info("starting", node=plan.raft.node_id, port=api.port, peers=len(plan.raft.members))
        ready = asyncio.create_task(_until_ready(log, options))
        ended = asyncio.create_task(log.wait_ended())
        await asyncio.wait({ready, ended}, return_when=asyncio.FIRST_COMPLETED)
        if ready.done():
            # Entries that were read again from the disk are no news.
            stack.callback(metrics.observe(log, lambda: _more(log, replica, wanted)))
            _tell_differences(replica.state.config, wanted)
            gc.freeze()  # Modules and the state so far are there to stay: no cycle is among them.
            _tell_ready(plan.raft.node_id, options.ready_file)
        try:
            reason = await ended
        finally:
            ready.cancel()
            ended.cancel()
        raise NodeStoppedError(reason)


async def _until_ready(log: ReplicatedLog, options: NodeOptions) -> None:
    while not _is_ready(log.status()):
        await options.clock.sleep(LOOK_S)


def _is_ready(status: LogStatus) -> bool:
    caught_up = status.applied_index >= status.commit_index
    return caught_up and why_not_ready(status) is None


def _tell_differences(stands: MachineConfig, wanted: MachineConfig) -> None:
    for name, (found, value) in differences(stands, wanted).items():
        _log.warning("configuration_not_followed", field=name, wanted=value, stands=found)


def _tell_ready(node_id: str, ready_file: Path | None) -> None:
    _log.info("ready", node=node_id)
    if ready_file is not None:
        ready_file.write_text(f"{os.getpid()}", encoding="ascii")


def _more(log: RaftLog, replica: Replica, wanted: MachineConfig) -> Mapping[str, float]:
    counts, numbers = replica.counts, log.numbers()
    return {
        "coordinator_settings_differ": len(differences(replica.state.config, wanted)),
        "coordinator_apply_errors_total": counts.broken + counts.deaf,
        "coordinator_unreadable_entries_total": counts.unreadable,
        "coordinator_dedupe_hits_total": counts.repeated,
        "coordinator_stale_leader_total": counts.stale,
        "coordinator_raft_pending": numbers.pending,
        "coordinator_raft_syncs_total": numbers.syncs,
        "coordinator_raft_fsync_seconds": numbers.sync_s,
        "coordinator_unpickle_rejected_total": sum(numbers.refused.values()),
    }
