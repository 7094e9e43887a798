"""What an agent makes sure of before its first partition."""

import asyncio

from runtime import Settings
from store import Store


async def prepare_store(store: Store, settings: Settings) -> None:
    """Make the tables that the configured nodes need, and claim the store for the topics.

    Raises:
        StoreUnavailableError: It did not answer.
        StoreOwnedError: Writers of other topics own it.
        TableMismatchError: A table is not as we would make it.
    """
    intervals = sorted({series.interval for series in settings.nodes})
    await asyncio.to_thread(store.ensure_tables, intervals)
    await asyncio.to_thread(store.meta.claim, "kafka", settings.kafka.prefix)
