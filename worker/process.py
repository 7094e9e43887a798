"""The fetch worker as a process: alone or one of several, on the real servers, until told."""

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

from bars.errors import SeamlessError
from runtime.clock import Clock, SystemClock
from runtime.log import logger
from runtime.metrics import Metrics
from runtime.settings import Settings
from sources import Source, open_source
from store import Store
from topics import Codec, Member, Producer, Registry, members
from worker.alone import MachineLock, check_alone, wait_alone
from worker.authority import Authority, own_authority, service_authority
from worker.groups import shares
from worker.kafka import (
    KafkaEvidence,
    KafkaInbox,
    KafkaOutbox,
    StoreLedger,
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
    with MachineLock(_state_file(settings, "lock"), shared=settings.has_coordinator):
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
        await _without_strangers(settings, patience)
        codec = _open_codec(settings, clock, stack)
        ledger = await _open_ledger(settings, codec, stack, patience)
        token = await patience.until_done("read the highest token", ledger.highest_token)
        authority = await _authority(settings, patience, token, stack)
        # Evidence before the first request: no verdict on a chunk of ours can be missed.
        evidence = await patience.until_done(
            "find the ends of the topics",
            partial(asyncio.to_thread, KafkaEvidence, settings.kafka, codec),
        )
        stack.push_async_callback(evidence.close)
        producer = Producer(settings.kafka, "seamless-worker")
        stack.push_async_callback(_flush, producer)
        inbox = KafkaInbox(settings.kafka, codec, shared=settings.has_coordinator)
        stack.push_async_callback(inbox.close)
        collaborators = Collaborators(
            clock=clock,
            leases=authority.leases,
            sources=sources,
            inbox=inbox,
            outbox=KafkaOutbox(settings.kafka, codec, producer),
            evidence=evidence,
            ledger=ledger,
            metrics=metrics,
        )
        worker = FetchWorker(settings, collaborators, epoch=authority.epoch, name=authority.name)
        _log.info("starting", epoch=authority.epoch, name=authority.name, sources=sorted(sources))
        await until_first_ends(
            worker.run(), _watch_group(inbox, settings, options.ready_file, patience)
        )


async def _authority(
    settings: Settings, patience: Patience, highest_token: int, stack: AsyncExitStack
) -> Authority:
    if settings.has_coordinator:
        return await service_authority(settings, patience, highest_token, stack)
    epoch_file = _state_file(settings, "epoch")
    return own_authority(settings, patience.clock, epoch_file, highest_token)


def _members(settings: Settings) -> Callable[[], Awaitable[tuple[Member, ...]]]:
    kafka = settings.kafka
    return partial(asyncio.to_thread, members, kafka, group_of(kafka), CALL_TIMEOUT_S)


async def _without_strangers(settings: Settings, patience: Patience) -> None:
    """Return when there is no worker that grants leases, or if we do: no other worker at all."""

    async def ask() -> list[Member]:
        found = await patience.until_done("ask for other workers", _members(settings))
        return [each for each in found if not (settings.has_coordinator and shares(each))]

    await wait_alone(ask, patience.clock, settings.kafka.session_timeout_ms / 1_000)


async def _watch_group(
    inbox: KafkaInbox, settings: Settings, ready_file: Path | None, patience: Patience
) -> None:
    """Look who else is there whenever the group changes; the first time, say that we are ready."""
    ready = False
    while True:
        await inbox.assigned.wait()
        inbox.assigned.clear()
        if not settings.has_coordinator:
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
    settings: Settings, codec: Codec, stack: AsyncExitStack, patience: Patience
) -> StoreLedger:
    """Return the ledger once the store is there, with its tables."""
    store = Store(settings.store)
    stack.callback(store.close)
    intervals = sorted({series.interval for series in settings.nodes})
    await patience.until_done(
        "look for the store's tables",
        partial(asyncio.to_thread, store.ensure_tables, intervals, CALL_TIMEOUT_S),
    )
    return StoreLedger(store.ledger, settings.kafka, codec)


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
