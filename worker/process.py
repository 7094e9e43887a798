"""The fetch worker as a process: alone or one of several, on the real servers, until told."""

import asyncio
import contextlib
import os
import signal
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path

from runtime.clock import Clock, SystemClock
from runtime.exposition import MetricsAddress
from runtime.log import logger
from runtime.metrics import Metrics
from runtime.sections import BY_PROVIDER
from runtime.settings import Settings
from sources import Source, open_source
from worker.alone import MachineLock
from worker.company import watch_group
from worker.equipment import equip, state_file
from worker.kafka import KafkaInbox
from worker.patience import Patience
from worker.service import Collaborators, FetchWorker
from worker.waiting import until_first_ends

_log = logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessOptions:
    """What concerns the process and not its work."""

    ready_file: Path | None = None
    """Gets the process's id when it does its work."""

    metrics_at: MetricsAddress | None = None
    """Where metrics are served; None: nowhere."""

    clock: Clock = field(default_factory=SystemClock)


def run_process(settings: Settings, options: ProcessOptions | None = None) -> None:
    """Run the fetch worker until SIGTERM or SIGINT.

    Raises:
        SecondWorkerError: Another one runs.
        ConfigError: A source cannot be opened.
        MetricsPortError: Somebody else listens where metrics shall be served.
        SeamlessError: Something that waiting does not mend.
    """
    options = options or ProcessOptions()
    sources = {
        name: open_source(source, settings.nodes, base=settings.base)
        for name, source in settings.sources.items()
        if source.kind != BY_PROVIDER
    }
    with MachineLock(state_file(settings, "lock"), shared=settings.has_coordinator):
        asyncio.run(_until_signalled(settings, options, sources))


async def _until_signalled(
    settings: Settings, options: ProcessOptions, sources: Mapping[str, Source]
) -> None:
    work = asyncio.create_task(_work(settings, options, sources))
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, work.cancel)
    with contextlib.suppress(asyncio.CancelledError):
        await work


async def _work(settings: Settings, options: ProcessOptions, sources: Mapping[str, Source]) -> None:
    clock, metrics = options.clock, Metrics()
    patience = Patience(clock, metrics)
    async with AsyncExitStack() as stack:
        if options.metrics_at is not None:
            stack.callback(options.metrics_at.serve(metrics).close)
        equipment = await equip(settings, patience, stack)
        authority = equipment.authority
        inbox = KafkaInbox(settings.kafka, equipment.codec, clock, shared=settings.has_coordinator)
        stack.push_async_callback(inbox.close)
        collaborators = Collaborators(
            clock=clock,
            leases=authority.leases,
            sources=sources,
            inbox=inbox,
            outbox=equipment.outbox,
            evidence=equipment.evidence,
            ledger=equipment.ledger,
            metrics=metrics,
        )
        worker = FetchWorker(settings, collaborators, epoch=authority.epoch, name=authority.name)
        _log.info("starting", epoch=authority.epoch, name=authority.name, sources=sorted(sources))
        told = _tell_ready_once(inbox, options.ready_file)
        await until_first_ends(worker.run(), watch_group(inbox, settings, patience, told))


def _tell_ready_once(inbox: KafkaInbox, ready_file: Path | None) -> Callable[[], None]:
    ready = False

    def told() -> None:
        nonlocal ready
        if ready:
            return
        ready = True
        _log.info("ready", member=inbox.member_id)
        if ready_file is not None:
            ready_file.write_text(f"{os.getpid()}", encoding="ascii")

    return told
