"""Reads requests, has each served by a task of its own, and commits what is finished."""

import asyncio
from collections import deque
from functools import partial

from bars.errors import SeamlessError
from runtime.log import logger
from topics import KafkaUnavailableError, RawMessage, UnreadableRecordError
from worker.desk import Desk
from worker.offsets import OffsetBook
from worker.patience import Patience
from worker.ports import Inbox, Outbox

POLL_S = 0.5
"""A record that ended is committed after that at the latest."""

UNFINISHED_MAX = 500
"""Records being served at a time; beyond, the topic is paused and read on when some have ended."""

_log = logger(__name__)


class Intake:
    """The request topic: polled all the time, whatever a request takes."""

    def __init__(self, inbox: Inbox, outbox: Outbox, desk: Desk, patience: Patience) -> None:
        self._inbox = inbox
        self._outbox = outbox
        self._desk = desk
        self._patience = patience
        self._book = OffsetBook()
        self._unread: deque[RawMessage] = deque()
        self._some = asyncio.Event()
        self._paused = False

    async def run(self) -> None:
        """Serve requests until cancelled, then commit what is finished."""
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._poll(), name="requests are polled")
                group.create_task(self._read(group), name="requests are read")
        finally:
            try:
                await self._commit()
            except SeamlessError as error:  # those records are read again: nothing is lost
                _log.warning("not_committed", reason=str(error))

    async def _poll(self) -> None:
        while True:
            poll = partial(self._inbox.poll, POLL_S)
            for message in await self._patience.until_done("poll requests", poll):
                if self._book.begin(message.partition, message.offset):
                    self._unread.append(message)
                    self._some.set()
            await self._commit()
            await self._throttle()

    async def _throttle(self) -> None:
        full = self._book.unfinished >= UNFINISHED_MAX
        if full:
            # Again and again: a partition that comes back from a rebalance is not paused.
            await self._inbox.pause()
        elif self._paused:
            await self._inbox.resume()
        self._paused = full

    async def _commit(self) -> None:
        ready = self._book.ready()
        if not ready:
            return
        try:
            await self._inbox.commit(ready)
        except KafkaUnavailableError as error:
            _log.warning("commit_later", reason=str(error))
        else:
            self._book.committed(ready)

    async def _read(self, group: asyncio.TaskGroup) -> None:
        """Make requests of records, in their order: a cancel must not overtake what it cancels."""
        while True:
            while not self._unread:
                self._some.clear()
                await self._some.wait()
            message = self._unread.popleft()
            decode = partial(self._inbox.decode, message)
            try:
                request = await self._patience.until_done("read a request", decode)
            except UnreadableRecordError as error:
                await self._bury(message, error)
                continue
            task = group.create_task(self._desk.take(request), name=f"request {request.request_id}")
            task.add_done_callback(partial(self._finish, message))

    def _finish(self, message: RawMessage, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and task.exception() is None:
            self._book.finish(message.partition, message.offset)

    async def _bury(self, message: RawMessage, error: UnreadableRecordError) -> None:
        now_us = self._patience.clock.wall_us()
        bury = partial(self._outbox.bury, message, error.error_class, str(error), now_us)
        await self._patience.until_done("write a dead letter", bury)
        self._patience.metrics.dead_letters.add(error_class=error.error_class)
        _log.warning(
            "request_unreadable",
            partition=message.partition,
            offset=message.offset,
            error_class=error.error_class,
            reason=str(error),
        )
        self._book.finish(message.partition, message.offset)
