"""Four stages side by side: gather records, write them, prove them, enter them and tell.

While one flush enters the ledger and its receipts are published, the next is waited for and read
back, the one after that is being written, and a fourth is being gathered: in the order in which
their records were read. The two waits at the end are short; done by the stage before, they held
up the reading back of every flush. (To prove two at once saves queries and costs memory;
measured, it was no faster.)
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

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


@dataclass(slots=True, eq=False)
class _Flush:
    """A batch on its way from stage to stage."""

    batch: Batch
    written_to: frozenset[str] | None = None
    """The tables that hold its rows; None: nobody knows what became of them."""


class Flow:
    """Takes history records in and tells when they are durable."""

    def __init__(
        self, office: Office, prover: Prover, partitions: Mapping[int, Partition], done: Done
    ) -> None:
        """Make the stages; `run` runs them.

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
        self._written: asyncio.Queue[_Flush] = asyncio.Queue(1)
        self._proved: asyncio.Queue[_Flush] = asyncio.Queue(1)

    async def put(self, item: Item) -> None:
        """Take a record in; waits while the stages are full."""
        await self._collector.put(item)

    def stages(self) -> tuple[Awaitable[None], ...]:
        """Return what has to run, without end, for records to come through."""
        return (
            self._run(self._gathered, self._write),
            self._run(lambda: _taken(self._written), self._prove),
            self._run(lambda: _taken(self._proved), self._enter_and_tell),
        )

    async def _run(
        self, take: Callable[[], Awaitable[_Flush]], work: Callable[[_Flush], Awaitable[None]]
    ) -> None:
        """Do one stage's work on flush after flush; once the process stops, let all go."""
        stopped: StoppedError | None = None
        while True:
            flush = await take()
            if stopped is None:
                try:
                    await work(flush)
                except StoppedError as error:
                    stopped = error
                else:
                    continue
            await self._let_go(flush.batch.items, stopped)

    async def _gathered(self) -> _Flush:
        return _Flush(await self._collector.take())

    async def _write(self, flush: _Flush) -> None:
        async def attempt() -> None:
            flush.written_to = await asyncio.to_thread(self._prover.write, flush.batch.items)

        await self._office.patience.until_done("store_write", attempt)
        await _hand_on(flush, self._written)

    async def _prove(self, flush: _Flush) -> None:
        await self._with_store(flush, lambda: asyncio.to_thread(self._sure, flush))
        await _hand_on(flush, self._proved)

    async def _enter_and_tell(self, flush: _Flush) -> None:
        items = flush.batch.items

        def enter() -> None:
            if flush.written_to is None:  # the store went away after the proof
                self._sure(flush)
            self._prover.enter(items, self._reached(items))

        await self._with_store(flush, lambda: asyncio.to_thread(enter))
        by_partition: dict[int, list[Item]] = {}
        for item in items:
            by_partition.setdefault(item.message.partition, []).append(item)
        await asyncio.gather(*(self._partitions[p].tell(own) for p, own in by_partition.items()))
        self._tell(flush.batch)
        await self._done(items, True)

    def _sure(self, flush: _Flush) -> None:
        """Return once the rows are proved to be there. Blocking."""
        items = flush.batch.items
        if flush.written_to is None:
            flush.written_to = self._prover.write(items)
        self._prover.prove(items, flush.written_to)

    async def _with_store(self, flush: _Flush, work: Callable[[], Awaitable[None]]) -> None:
        """Work on the store until it is done; whenever the store was away, write again first."""

        async def attempt() -> None:
            try:
                await work()
            except StoreUnavailableError:
                flush.written_to = None
                raise
            except SuspendedTableError as error:
                self._office.metrics.store_suspended.set(1)
                _log.error("store_suspended", table=error.table, reason=error.reason)
                raise TableSuspendedError(error.table) from error
            self._office.metrics.store_suspended.set(0)

        await self._office.patience.until_done("store", attempt)

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


async def _hand_on(flush: _Flush, queue: asyncio.Queue[_Flush]) -> None:
    """Give a flush to the next stage, and wait until it is taken: no more are under way."""
    await queue.put(flush)
    await queue.join()


async def _taken(queue: asyncio.Queue[_Flush]) -> _Flush:
    flush = await queue.get()
    queue.task_done()
    return flush
