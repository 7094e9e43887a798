"""A fetch worker inside a process that asks for bars itself, for that process and nobody else.

It takes leases and publishes chunks like every other one. What it serves is in no topic of
requests: its lane has no other source, so a fleet could only wait for it.

Without a lease service there is one fetch worker in the system, which grants leases to itself.
Then this is it: it has the machine's lock and stays in the workers' group, where it reads nothing.
"""

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import AsyncExitStack
from functools import partial
from typing import Any, NoReturn

from avro_schemas import BackfillRequest, BackfillStatus, BarChunk, RequestKind
from runtime.clock import Clock
from runtime.log import logger
from runtime.metrics import Metrics
from runtime.settings import Settings
from sources import Source
from topics import RawMessage
from worker.alone import MachineLock
from worker.company import watch_group
from worker.equipment import Equipment, equip, state_file
from worker.errors import StoppedError
from worker.kafka import KafkaInbox
from worker.patience import Patience
from worker.ports import Outbox, Place
from worker.service import Collaborators, FetchWorker
from worker.waiting import until_first_ends

POLL_S = 0.5

TAKEN_BACK_S = 5.0
"""A worker that goes waits no longer for what is being taken back: its session ends anyway."""

_log = logger(__name__)

Told = Callable[[BackfillStatus], None]
"""Called with each status of a request."""


class OwnWorker:
    """Serves the requests of one event loop, with one source."""

    def __init__(self, settings: Settings, source: Source, clock: Clock, metrics: Metrics) -> None:
        """Begin to work in the running loop; who serves waits until it does."""
        self._settings = settings
        self._source = source
        self._patience = Patience(clock, metrics)
        self._told: dict[str, Told] = {}
        self._taking_back: set[asyncio.Task[None]] = set()
        self.loop = asyncio.get_running_loop()
        self._working: asyncio.Future[FetchWorker] = self.loop.create_future()
        self._work = self.loop.create_task(self._until_closed(), name="a fetch worker of our own")

    @property
    def alive(self) -> bool:
        """Whether it can be asked."""
        return self.loop.is_running() and not self._work.done()

    async def serve(self, request: BackfillRequest, told: Told) -> BackfillStatus:
        """Return the final status of a request; who is cancelled meanwhile takes it back.

        Args:
            request: Its source is ours, whatever it says.
            told: Called with each status in this loop, the final one included.

        Raises:
            SeamlessError: The worker cannot work, or has ended.
        """
        final: list[BackfillStatus] = []

        def note(status: BackfillStatus) -> None:
            told(status)
            if status.state.final:
                final.append(status)

        worker = await self._once_working()
        self._told[request.request_id] = note
        taking = self.loop.create_task(worker.take(request))
        try:
            await asyncio.wait((taking, self._work), return_when=asyncio.FIRST_COMPLETED)
            if not taking.done():
                self._raise_why("serve a request")
            await taking
            return final[-1]
        finally:
            if taking.done():
                del self._told[request.request_id]
            else:
                back = self.loop.create_task(self._take_back(worker, request, taking))
                self._taking_back.add(back)
                back.add_done_callback(self._taking_back.discard)

    async def close(self) -> None:
        """Give back what is held; harmless when repeated."""
        if self._taking_back:
            await asyncio.wait(tuple(self._taking_back), timeout=TAKEN_BACK_S)
        self._work.cancel()
        await asyncio.wait((self._work,))

    async def _once_working(self) -> FetchWorker:
        await asyncio.wait((self._working, self._work), return_when=asyncio.FIRST_COMPLETED)
        if self._work.done():
            self._raise_why("start")
        return self._working.result()

    def _raise_why(self, what: str) -> NoReturn:
        """Raise what has ended the worker."""
        if not self._work.cancelled() and (error := self._work.exception()) is not None:
            raise error
        raise StoppedError(what)

    async def _take_back(
        self, worker: FetchWorker, request: BackfillRequest, taking: "asyncio.Task[None]"
    ) -> None:
        cancel = BackfillRequest(request_id=request.request_id, kind=RequestKind.CANCEL)
        ending = self.loop.create_task(worker.take(cancel))
        await asyncio.wait((ending, self._work), return_when=asyncio.FIRST_COMPLETED)
        for task in (ending, taking):
            task.cancel()
        await asyncio.wait((ending, taking))
        self._told.pop(request.request_id, None)

    async def _until_closed(self) -> None:
        settings, clock = self._settings, self._patience.clock
        async with AsyncExitStack() as stack:
            lock = MachineLock(state_file(settings, "lock"), shared=settings.has_coordinator)
            stack.enter_context(lock)
            equipment = await equip(settings, self._patience, stack)
            authority = equipment.authority
            collaborators = Collaborators(
                clock=clock,
                leases=authority.leases,
                sources={self._source.name: self._source},
                inbox=None,
                outbox=_Listened(equipment.outbox, self._tell),
                evidence=equipment.evidence,
                ledger=equipment.ledger,
                metrics=self._patience.metrics,
            )
            name, epoch = authority.name, authority.epoch
            worker = FetchWorker(settings, collaborators, epoch=epoch, name=name)
            _log.info("own_worker", epoch=epoch, name=name, source=self._source.name)
            works: list[Coroutine[Any, Any, None]] = [worker.run()]
            if settings.has_coordinator:
                self._working.set_result(worker)
            else:
                works += self._membership(equipment, worker, stack)
            await until_first_ends(*works)

    def _membership(
        self, equipment: Equipment, worker: FetchWorker, stack: AsyncExitStack
    ) -> list[Coroutine[Any, Any, None]]:
        """Return what keeps us in the group of fetch workers, so that no other one starts."""
        inbox = KafkaInbox(self._settings.kafka, equipment.codec, self._patience.clock)
        stack.push_async_callback(inbox.close)

        def settled() -> None:
            if not self._working.done():
                self._working.set_result(worker)

        async def stay() -> None:
            # What is read is never committed: it is for the next worker that reads requests.
            while True:
                poll = partial(inbox.poll, POLL_S)
                await self._patience.until_done("stay in the group", poll)
                await inbox.pause()

        return [stay(), watch_group(inbox, self._settings, self._patience, settled)]

    def _tell(self, status: BackfillStatus) -> None:
        told = self._told.get(status.request_id)
        if told is not None:
            told(status)


class _Listened:
    """An outbox whose statuses are heard in this process too."""

    def __init__(self, inner: Outbox, told: Told) -> None:
        self._inner = inner
        self._told = told

    async def tell(self, status: BackfillStatus) -> None:
        await self._inner.tell(status)
        self._told(status)

    async def publish(self, chunk: BarChunk) -> Place:
        return await self._inner.publish(chunk)

    async def bury(
        self, message: RawMessage, error_class: str, reason: str, first_seen_us: int
    ) -> None:
        await self._inner.bury(message, error_class, reason, first_seen_us)
