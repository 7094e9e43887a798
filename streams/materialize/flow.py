"""Three stages side by side: gather records, write them, prove and tell.

While one flush is waited for and read back, the next is being written and the one after that is
being gathered: three at most, in the order in which their records were read. (To prove two at
once saves queries and costs memory; measured, it was no faster.)
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence

from bars.errors import SeamlessError
from runtime.log import logger
from store import StoreUnavailableError, SuspendedTableError
from streams.errors import StoppedError, TableSuspendedError
from streams.materialize.batch import Batch, Collector, Item
from streams.materialize.partition import Office, Partition
from streams.materialize.prove import Prover

Done = Callable[[Sequence[Item], bool], Awaitable[None]]
"""Told of records that are through: durable, or let go because the process stops."""

_log = logger(__name__)


class Flow:
    """Takes history records in and tells when they are durable."""

    def __init__(
        self, office: Office, prover: Prover, partitions: Mapping[int, Partition], done: Done
    ) -> None:
        """Make the stages; `write_all` and `prove_all` run them.

        Args:
            office: What the process shares.
            prover: Does the work on the store.
            partitions: Those of this process, by number; changes while this runs.
            done: Told of records that are through.
        """
        self._office = office
        self._prover = prover
        self._partitions = partitions
        self._done = done
        self._collector = Collector(office.settings.materialize, office.clock)
        self._written: asyncio.Queue[tuple[Batch, frozenset[str]]] = asyncio.Queue(1)

    async def put(self, item: Item) -> None:
        """Take a record in; waits while the stages are full."""
        await self._collector.put(item)

    async def write_all(self) -> None:
        """Write batch after batch, without end."""
        stopped: StoppedError | None = None
        while True:
            batch = await self._collector.take()
            if stopped is None:
                try:
                    tables = await self._write(batch)
                except StoppedError as error:
                    stopped = error
                else:
                    await self._written.put((batch, tables))
                    await self._written.join()
                    continue
            await self._let_go(batch.items, stopped)

    async def _write(self, batch: Batch) -> frozenset[str]:
        async def attempt() -> frozenset[str]:
            return await asyncio.to_thread(self._prover.write, batch.items)

        return await self._office.patience.until_done("store_write", attempt)

    async def prove_all(self) -> None:
        """Prove and tell what was written, without end."""
        stopped: StoppedError | None = None
        while True:
            batch, tables = await self._written.get()
            self._written.task_done()
            if stopped is None:
                try:
                    await self._settle(batch.items, tables)
                except StoppedError as error:
                    stopped = error
                else:
                    self._tell(batch)
                    await self._done(batch.items, True)
                    continue
            await self._let_go(batch.items, stopped)

    async def _settle(self, items: Sequence[Item], tables: frozenset[str]) -> None:
        written: frozenset[str] | None = tables

        async def attempt() -> None:
            nonlocal written
            try:
                if written is None:  # what became of the rows is not known
                    written = await asyncio.to_thread(self._prover.write, items)
                await asyncio.to_thread(self._prover.prove, items, written)
                await asyncio.to_thread(self._prover.enter, items, self._reached(items))
            except StoreUnavailableError:
                written = None
                raise
            except SuspendedTableError as error:
                self._office.metrics.store_suspended.set(1)
                _log.error("store_suspended", table=error.table, reason=error.reason)
                raise TableSuspendedError(error.table) from error
            self._office.metrics.store_suspended.set(0)

        await self._office.patience.until_done("store", attempt)
        by_partition: dict[int, list[Item]] = {}
        for item in items:
            by_partition.setdefault(item.message.partition, []).append(item)
        await asyncio.gather(*(self._partitions[p].tell(own) for p, own in by_partition.items()))

    def _reached(self, items: Iterable[Item]) -> dict[int, int]:
        partitions = {item.message.partition for item in items}
        return {p: self._partitions[p].ledgered for p in partitions}

    def _tell(self, batch: Batch) -> None:
        rows = sum(len(item.stored.rows.bars) for item in batch.items if item.stored is not None)
        seconds = self._office.clock.monotonic() - batch.since_s
        self._office.metrics.bars_stored.add(rows)
        self._office.metrics.flush_seconds.observe(seconds)
        _log.info("stored", records=len(batch.items), rows=rows, seconds=round(seconds, 3))

    async def _let_go(self, items: Sequence[Item], error: SeamlessError) -> None:
        """The process stops: what is not proved will be read again by whoever comes next.

        So is all that follows it, even if it could be proved: the mark would pass over the gap.
        """
        _log.info("let_go", records=len(items), reason=str(error))
        await self._done(items, False)
