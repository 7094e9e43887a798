"""The agent that judges chunks: batches in, one transaction a partition out."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

import faust

from runtime.log import logger
from streams._safe import SafeApp
from streams.app import raw_message
from streams.conform.owner import Desk, Owner
from streams.errors import MarkWentBackError, OwnerLostError, StoppedError
from streams.preparation import prepare_store
from topics import AbortedTransactionError, RawMessage

CHUNKS_MAX = 50
"""Chunks of one transaction: 25 MB at the very most, and soon over, for readers wait for it."""

GATHER_S = 0.1
"""How long the first chunk of a transaction waits for others."""

_ANEW = (AbortedTransactionError, MarkWentBackError)
"""After these what is remembered of the partition is read again. The producer stays: after an end
that nobody knows, only the group can say whether the partition is still ours."""

_log = logger(__name__)


class ConformAgent:
    """The owners of this process's partitions."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._owners: dict[int, Owner] = {}

    async def place(self, committed: Mapping[int, int | None]) -> Mapping[int, int]:
        """Take partitions over; they begin at the first chunk that is not judged."""
        await self._desk.patience.until_done(
            "store", lambda: prepare_store(self._desk.store, self._desk.settings)
        )
        opened = await asyncio.gather(*(self._open(partition) for partition in committed))
        return {owner.partition: owner.next for owner in opened}

    async def release(self, partitions: frozenset[int]) -> None:
        """Let partitions go."""
        gone = [self._owners.pop(p) for p in partitions if p in self._owners]
        await asyncio.gather(*(owner.close() for owner in gone))

    async def run(self, app: SafeApp, stream: faust.Stream[Any]) -> None:
        """Judge what comes."""
        stopped = False
        async for events in stream.noack_take(CHUNKS_MAX, within=GATHER_S):
            if not stopped:
                try:
                    await self.judge([raw_message(event) for event in events])
                except StoppedError as error:
                    # Nor what follows: its watermark would pass over what was not judged here.
                    stopped = True
                    _log.info("stopped_waiting", reason=str(error))
                else:
                    app.mark_durable(events)
            for event in events:
                await stream.ack(event)  # lets the shutdown go on; decides no commit

    async def judge(self, messages: Sequence[RawMessage]) -> None:
        """Judge chunks of any partitions that are ours."""
        by_partition: dict[int, list[RawMessage]] = {}
        for message in messages:
            by_partition.setdefault(message.partition, []).append(message)
        # All of them come to an end before one that failed is told.
        ended = await asyncio.gather(
            *(self._judge(partition, own) for partition, own in by_partition.items()),
            return_exceptions=True,
        )
        raised = [each for each in ended if each is not None]
        for error in sorted(raised, key=lambda each: isinstance(each, StoppedError)):
            raise error

    async def _judge(self, partition: int, messages: Sequence[RawMessage]) -> None:
        owner = self._owners[partition]
        trusted = True

        async def attempt() -> None:
            nonlocal trusted
            if not trusted:
                await owner.reload()
            trusted = False
            try:
                await owner.judge(messages)
            except _ANEW as error:
                raise OwnerLostError(partition, str(error)) from error
            trusted = True

        await self._desk.patience.until_done("partition", attempt)

    async def _open(self, partition: int) -> Owner:
        await self.release(frozenset({partition}))  # an assignment that came to nothing
        owner = Owner(self._desk, partition)
        await owner.open()
        self._owners[partition] = owner
        return owner
