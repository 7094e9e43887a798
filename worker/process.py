"""The fetch worker as a process: alone, with a fresh epoch, on the real servers, until told."""

import asyncio
import contextlib
import os
import re
import signal
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from random import SystemRandom

from bars.errors import SeamlessError
from coordinator.client import LocalCoordinator, machine_config
from runtime.clock import Clock, SystemClock
from runtime.log import logger
from runtime.metrics import Metrics
from runtime.settings import Settings
from sources import Source, open_source
from store import Store
from topics import Codec, Member, Producer, Registry, members
from worker.alone import MachineLock, check_alone, wait_alone
from worker.epoch import next_epoch
from worker.kafka import (
    KafkaEvidence,
    KafkaInbox,
    KafkaOutbox,
    StoreLedger,
    final_statuses,
    group_of,
)
from worker.patience import Patience
from worker.service import Collaborators, FetchWorker
from worker.waiting import until_first_ends

CALL_TIMEOUT_S = 5.0
"""Calls at the start and the end are short: who asks to stop is not kept waiting."""

_log = logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessOptions:
    """What concerns the process and not its work."""

    ready_file: Path | None = None
    """Gets the process's id when it does its work."""

    metrics_port: int | None = None
    """Where metrics are served; None: nowhere."""

    clock: Clock = field(default_factory=SystemClock)


def run_process(settings: Settings, options: ProcessOptions | None = None) -> None:
    """Run the fetch worker until SIGTERM or SIGINT.

    Raises:
        SecondWorkerError: Another one runs.
        ConfigError: A source cannot be opened.
        SeamlessError: Something that waiting does not mend.
    """
    options = options or ProcessOptions()
    sources = {
        name: open_source(source, settings.nodes, base=settings.base)
        for name, source in settings.sources.items()
    }
    with MachineLock(_state_file(settings, "lock")):
        asyncio.run(_until_signalled(settings, options, sources))


def _state_file(settings: Settings, kind: str) -> Path:
    """Return a file of the fetch worker for these topics: others may share the folder."""
    prefix = re.sub(r"[^a-zA-Z0-9_-]", "_", settings.kafka.prefix)
    return settings.state_dir / f"worker-{prefix}.{kind}"


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
        if options.metrics_port is not None:
            served = metrics.serve(options.metrics_port)
            stack.callback(served.close)
        await _alone_in_group(settings, patience)
        ledger = await _open_ledger(settings, stack, patience)
        token = await patience.until_done("read the highest token", ledger.highest_token)
        epoch = next_epoch(_state_file(settings, "epoch"), token)
        codec = _open_codec(settings, clock, stack)
        # Evidence before the first request: no verdict on a chunk of ours can be missed.
        evidence = await patience.until_done(
            "find the ends of the topics",
            partial(asyncio.to_thread, KafkaEvidence, settings.kafka, codec),
        )
        stack.push_async_callback(evidence.close)
        answered = await patience.until_done(
            "read what was answered", partial(final_statuses, settings.kafka, codec)
        )
        producer = Producer(settings.kafka, "seamless-worker")
        stack.push_async_callback(_flush, producer)
        inbox = KafkaInbox(settings.kafka, codec)
        stack.push_async_callback(inbox.close)
        config = machine_config(settings.backfill)
        collaborators = Collaborators(
            clock=clock,
            leases=LocalCoordinator(clock, epoch, SystemRandom(), config),
            sources=sources,
            inbox=inbox,
            outbox=KafkaOutbox(settings.kafka, codec, producer),
            evidence=evidence,
            ledger=ledger,
            metrics=metrics,
        )
        worker = FetchWorker(settings, collaborators, epoch=epoch, answered=answered)
        _log.info("starting", epoch=epoch, answered=len(answered), sources=sorted(sources))
        await until_first_ends(
            worker.run(), _watch_group(inbox, settings, options.ready_file, patience)
        )


def _members(settings: Settings) -> Callable[[], Awaitable[tuple[Member, ...]]]:
    kafka = settings.kafka
    return partial(asyncio.to_thread, members, kafka, group_of(kafka), CALL_TIMEOUT_S)


async def _alone_in_group(settings: Settings, patience: Patience) -> None:
    async def ask() -> tuple[Member, ...]:
        return await patience.until_done("ask for other workers", _members(settings))

    await wait_alone(ask, patience.clock, settings.kafka.session_timeout_ms / 1_000)


async def _watch_group(
    inbox: KafkaInbox, settings: Settings, ready_file: Path | None, patience: Patience
) -> None:
    """Look who else is there whenever partitions come; the first time, say that we are ready."""
    ready = False
    while True:
        await inbox.assigned.wait()
        inbox.assigned.clear()
        found = await patience.until_done("ask for other workers", _members(settings))
        check_alone(found, inbox.member_id)
        if not ready:
            ready = True
            _tell_ready(inbox.member_id, ready_file)


def _tell_ready(member_id: str, ready_file: Path | None) -> None:
    _log.info("ready", member=member_id)
    if ready_file is not None:
        ready_file.write_text(f"{os.getpid()}", encoding="ascii")


async def _open_ledger(
    settings: Settings, stack: AsyncExitStack, patience: Patience
) -> StoreLedger:
    """Return the ledger once the store is there, with its tables."""
    store = Store(settings.store)
    stack.callback(store.close)
    intervals = sorted({series.interval for series in settings.nodes})
    await patience.until_done(
        "look for the store's tables",
        partial(asyncio.to_thread, store.ensure_tables, intervals, CALL_TIMEOUT_S),
    )
    return StoreLedger(store.ledger)


def _open_codec(settings: Settings, clock: Clock, stack: AsyncExitStack) -> Codec:
    registry = Registry(settings.registry)
    stack.push_async_callback(registry.close)
    return Codec(registry, clock)


async def _flush(producer: Producer) -> None:
    """End the producer; what is not acknowledged by then is made again after the next start."""
    try:
        await asyncio.to_thread(producer.close, CALL_TIMEOUT_S)
    except SeamlessError as error:
        _log.warning("not_flushed", reason=str(error))
