"""One partition of history, from the moment it is assigned until it is revoked.

Receipts, marks and dead letters come from a producer that fences the partition's former owner.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace

from avro_schemas import BarChunk, Record, VisibleMark
from runtime import Clock, Settings
from runtime.log import logger
from runtime.metrics import Metrics
from store import Store
from streams.materialize.batch import Item
from streams.materialize.prove import UNSTORABLE
from streams.materialize.record import failure_of, receipt_of
from streams.materialize.reread import record_at
from streams.materialize.seam import Seam
from streams.patience import Patience, in_thread, transaction_max_s
from topics import (
    Catalogue,
    Codec,
    FencedProducer,
    Headers,
    MarkReader,
    RawMessage,
    Topic,
    deadletter_headers,
    history_key,
    report_key,
    visible_key,
)

_log = logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Office:
    """What all partitions of a process share."""

    settings: Settings
    catalogue: Catalogue
    codec: Codec
    store: Store
    clock: Clock
    metrics: Metrics
    patience: Patience


@dataclass(frozen=True, slots=True)
class Letter:
    """One record of a transaction."""

    topic: str
    key: str | bytes | None
    value: bytes | None
    headers: Headers = ()


class Partition:
    """Tells what of one partition is visible."""

    def __init__(self, office: Office, partition: int) -> None:
        self.partition = partition
        self._office = office
        kafka = office.settings.kafka
        self._producer = FencedProducer(kafka, f"{kafka.prefix}materialize-{partition}")
        self._published = VisibleMark(partition=partition, history_offset=0)
        self._seam = Seam(self._published)
        self.ledgered = -1
        """The highest offset that is in the ledger."""

    async def open(self, committed: int | None) -> int:
        """Take the partition over and return where to begin.

        It begins at the lower of what the group committed and what the ledger proves: a store
        that was put back from an older copy is filled again.

        Raises:
            TopicsError: Kafka or the registry did not serve.
            StoreUnavailableError: The store did not.
        """
        await asyncio.to_thread(self._producer.start)
        await self._office.patience.until_done("partition", self._load)
        start = min(committed or 0, self.ledgered + 1)
        if self.ledgered < self._published.ledger_offset:
            await self._go_back(start)
        return start

    async def close(self) -> None:
        """Let the partition go."""
        await asyncio.to_thread(self._producer.close)

    async def tell(self, items: Sequence[Item]) -> None:
        """Publish receipts, dead letters and the mark; records that are in the ledger or given up.

        Args:
            items: Of this partition, in the order they were read.

        Raises:
            FencedError: Somebody else owns the partition now.
        """
        letters: list[Letter] = []
        for item in items:
            letters += await self._about(item)
            proved = item.stored is not None and bool(item.stored.entries)
            offset = item.message.offset
            self._seam.pass_over(offset, item.message.key, item.record, in_ledger=proved)
            if proved:
                self.ledgered = max(self.ledgered, offset)
        mark = self._seam.mark
        if mark != self._published:
            letters.append(await self._letter(self._office.catalogue.visible, *_keyed(mark)))
        if letters:
            await self._publish(letters)
        self._published = mark

    async def _load(self) -> None:
        """Read how far the store has come, and what is told of it."""
        office = self._office
        kafka, visible = office.settings.kafka, office.catalogue.visible
        marks = MarkReader(kafka, visible, self.partition, office.codec, office.clock)
        try:
            self._published = await marks.read()
        finally:
            await marks.close()
        self.ledgered = await asyncio.to_thread(office.store.ledger.highest_offset, self.partition)
        self._seam = Seam(self._published)

    async def _go_back(self, start: int) -> None:
        """Say that less is visible than before: readers and conformance have to know at once."""
        lower = replace(
            self._published,
            history_offset=min(start, self._published.history_offset),
            ledger_offset=self.ledgered,
        )
        _log.error(
            "store_went_back",
            partition=self.partition,
            proved=self._published.ledger_offset,
            found=self.ledgered,
            start=start,
        )
        await self._publish([await self._letter(self._office.catalogue.visible, *_keyed(lower))])
        self._published = lower
        self._seam = Seam(lower)

    async def _about(self, item: Item) -> list[Letter]:
        catalogue, message = self._office.catalogue, item.message
        if item.fault is None:
            if item.bars is None or not item.bars.entries:
                return []
            receipt = receipt_of(item.bars, message)
            key = history_key(
                receipt.node_id, receipt.interval, receipt.lane, receipt.start, receipt.end
            )
            return [await self._letter(catalogue.coverage, key, receipt)]
        error_class, told = item.fault
        message = await self._whole(item)
        attempts = max(1, item.mismatches)
        headers = deadletter_headers(
            message, error_class, told, attempts, self._office.clock.wall_us()
        )
        letters = [Letter(catalogue.deadletter.name, message.key, message.value, headers)]
        if isinstance(item.record, BarChunk) and error_class == UNSTORABLE:
            report = failure_of(item.record, told)
            key = report_key(report.node_id, report.interval, report.start, report.end)
            letters.append(await self._letter(catalogue.reports, key, report))
        return letters

    async def _whole(self, item: Item) -> RawMessage:
        """Return the record as it stands in history; the bytes of a decoded one were let go."""
        if item.message.value is not None:
            return item.message
        office, where = self._office, item.message

        async def read() -> RawMessage:
            return await asyncio.to_thread(record_at, office.settings.kafka, where)

        return await office.patience.until_done("history", read)

    async def _letter(self, topic: Topic, key: str, record: Record) -> Letter:
        encode = self._office.codec.encode
        value = await self._office.patience.until_done("registry", lambda: encode(topic, record))
        return Letter(topic.name, key, value)

    async def _publish(self, letters: Sequence[Letter]) -> None:
        async def attempt() -> None:
            limit_s = transaction_max_s(self._office.settings.kafka.transaction_timeout_ms)
            await in_thread("transaction", limit_s, lambda: self._transact(letters))

        await self._office.patience.until_done("transaction", attempt)

    def _transact(self, letters: Sequence[Letter]) -> None:
        """Publish everything or nothing; an aborted transaction is begun again by the caller."""
        self._producer.begin()
        for each in letters:
            self._producer.produce(
                each.topic, each.key, each.value, each.headers, partition=self.partition
            )
        self._producer.commit()


def _keyed(mark: VisibleMark) -> tuple[str, VisibleMark]:
    return visible_key(mark.partition), mark
