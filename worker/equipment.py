"""What a fetch worker works with on the real servers, opened for as long as it works."""

import asyncio
import re
from contextlib import AsyncExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from bars.errors import SeamlessError
from runtime.clock import Clock
from runtime.log import logger
from runtime.settings import Settings
from store import Store
from topics import Codec, Producer, Registry
from worker.authority import Authority, own_authority, service_authority
from worker.company import CALL_TIMEOUT_S, without_strangers
from worker.kafka import KafkaEvidence, KafkaOutbox, StoreLedger
from worker.patience import Patience

_log = logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Equipment:
    """The servers as a worker sees them."""

    codec: Codec
    authority: Authority
    outbox: KafkaOutbox
    evidence: KafkaEvidence
    ledger: StoreLedger


def state_file(settings: Settings, kind: str) -> Path:
    """Return a file of the fetch worker for these topics: others may share the folder."""
    prefix = re.sub(r"[^a-zA-Z0-9_-]", "_", settings.kafka.prefix)
    return settings.state_dir / f"worker-{prefix}.{kind}"


async def equip(settings: Settings, patience: Patience, stack: AsyncExitStack) -> Equipment:
    """Return everything once the servers are there and no other worker is in the way.

    Args:
        settings: The configuration.
        patience: Waits for servers.
        stack: Closes what is opened.

    Raises:
        SecondWorkerError: Another worker runs that may not.
        SeamlessError: Something that waiting does not mend.
    """
    await without_strangers(settings, patience)
    codec = _open_codec(settings, patience.clock, stack)
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
    return Equipment(
        codec=codec,
        authority=authority,
        outbox=KafkaOutbox(settings.kafka, codec, producer),
        evidence=evidence,
        ledger=ledger,
    )


async def _authority(
    settings: Settings, patience: Patience, highest_token: int, stack: AsyncExitStack
) -> Authority:
    if settings.has_coordinator:
        return await service_authority(settings, patience, highest_token, stack)
    epoch_file = state_file(settings, "epoch")
    return own_authority(settings, patience.clock, epoch_file, highest_token)


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
    return StoreLedger(store.ledger, settings.kafka, codec, patience.clock)


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
