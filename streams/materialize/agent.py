"""The agent that brings history into the store."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import faust

from avro_schemas import BarChunk, Watermark
from bars.errors import InvalidValueError
from runtime.log import logger
from store import StoreUnavailableError, SuspendedTableError
from streams._safe import SafeApp
from streams.app import raw_message
from streams.errors import StoppedError
from streams.materialize.batch import Item
from streams.materialize.flow import Flow
from streams.materialize.partition import Office, Partition
from streams.materialize.prove import UNSTORABLE, Prover
from streams.materialize.record import bars_of
from streams.preparation import prepare_store
from topics import UnreadableRecordError

TAKE_MAX = 64
TAKE_S = 0.05
"""Records are handed on in small groups; the collector decides what is worth a flush."""

CHECK_S = 10.0
"""An older copy of the store is noticed within that time, even when nothing comes in."""

_log = logger(__name__)


class MaterializeAgent:
    """The partitions of this process, and the flow that all of them share."""

    def __init__(self, office: Office) -> None:
        self._office = office
        self._partitions: dict[int, Partition] = {}
        visible_timeout_s = office.settings.materialize.visible_timeout_s
        self._prover = Prover(office.store, office.metrics, visible_timeout_s)

    async def place(self, committed: Mapping[int, int | None]) -> Mapping[int, int]:
        """Take partitions over; each begins where the store's own proof ends, at the latest."""
        office = self._office
        await office.patience.until_done(
            "store", lambda: prepare_store(office.store, office.settings)
        )
        starts = await asyncio.gather(*(self._open(p, at) for p, at in committed.items()))
        return dict(zip(committed, starts, strict=True))

    async def release(self, partitions: frozenset[int]) -> None:
        """Let partitions go."""
        gone = [self._partitions.pop(p) for p in partitions if p in self._partitions]
        await asyncio.gather(*(partition.close() for partition in gone))

    async def run(self, app: SafeApp, stream: faust.Stream[Any]) -> None:
        """Bring in what comes."""

        async def done(items: Sequence[Item], durable: bool) -> None:
            events = [item.event for item in items if item.event is not None]
            if durable:
                app.mark_durable(events)
            for event in events:
                await stream.ack(event)  # lets the shutdown go on; decides no commit

        flow = Flow(self._office, self._prover, self._partitions, done)
        for work in (*flow.stages(), self._check_always()):
            app.add_future(work)
        stopped = False
        async for events in stream.noack_take(TAKE_MAX, within=TAKE_S):
            for event in events:
                item = None if stopped else await self._read_unless_stopped(event)
                if item is not None:
                    await flow.put(item)
                    continue
                # Nor what follows: the mark would pass over what was not read here.
                stopped = True
                await done([Item(raw_message(event), event)], False)

    async def read(self, event: faust.EventT[Any]) -> Item:
        """Return a record, decoded; one that can never be right carries its fault."""
        message = raw_message(event)
        item = Item(message, event)
        if message.value is None:
            return item
        office = self._office
        decode, history = office.codec.decode, office.catalogue.history
        try:
            record = await office.patience.until_done(
                "registry", lambda: decode(history, message.value)
            )
            if isinstance(record, BarChunk):
                item.record = record
                item.bars = bars_of(record, message)
                _let_bytes_go(item)
            elif isinstance(record, Watermark):
                item.record = record
        except UnreadableRecordError as error:
            self._give_up(item, error.error_class, str(error))
        except InvalidValueError as error:
            self._give_up(item, UNSTORABLE, str(error))
        return item

    async def _read_unless_stopped(self, event: faust.EventT[Any]) -> Item | None:
        try:
            return await self.read(event)
        except StoppedError:
            return None

    async def _open(self, number: int, committed: int | None) -> int:
        await self.release(frozenset({number}))  # an assignment that came to nothing
        partition = Partition(self._office, number)
        start = await partition.open(committed)
        self._partitions[number] = partition
        return start

    async def _check_always(self) -> None:
        while True:
            await self._office.clock.sleep(CHECK_S)
            reached = {p: partition.ledgered for p, partition in self._partitions.items()}
            try:
                await asyncio.to_thread(self._prover.check, reached)
            except (StoreUnavailableError, SuspendedTableError) as error:
                _log.warning("store_away", reason=str(error))

    def _give_up(self, item: Item, error_class: str, reason: str) -> None:
        item.fail(error_class, reason)
        self._office.metrics.dead_letters.add(error_class=error_class)
        _log.error(
            "unreadable",
            partition=item.message.partition,
            offset=item.message.offset,
            error_class=error_class,
            reason=reason,
        )


def _let_bytes_go(item: Item) -> None:
    """Keep the columns alone: with its bytes a record in flight would need twice the memory.

    Who has to put it into the dead letter topic after all reads it again.
    """
    item.message = replace(item.message, value=None)
    if item.event is not None:
        item.event.message.value = None
        item.event.value = None
