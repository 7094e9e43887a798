"""Reads requests, has each served by a task of its own, and commits what is finished.

A request is served by whoever has its partition. When the group gives a partition to somebody
else, what is served of it here is let go without a word: the other one reads it from the committed
offset on, and finds the jobs as they are in the lease service.
"""

import asyncio
from collections import deque
from functools import partial
from typing import NamedTuple

from bars.errors import SeamlessError
from runtime.log import logger
from topics import KafkaUnavailableError, NotOwnerError, RawMessage, UnreadableRecordError
from worker.desk import Desk
from worker.offsets import OffsetBook
from worker.patience import Patience
from worker.ports import Inbox, Outbox

POLL_S = 0.5
"""A record that ended is committed after that at the latest."""

UNFINISHED_MAX = 500
"""Records being served at a time; beyond, the topic is paused and read on when some have ended."""

_log = logger(__name__)


class _Unread(NamedTuple):
    """A record, and which time the partition was ours when it came."""

    message: RawMessage
    tenure: int


class Intake:
    """The request topic: polled all the time, whatever a request takes."""

    def __init__(self, inbox: Inbox, outbox: Outbox, desk: Desk, patience: Patience) -> None:
        self._inbox = inbox
        self._outbox = outbox
        self._desk = desk
        self._patience = patience
        self._book = OffsetBook()
        self._unread: deque[_Unread] = deque()
        self._some = asyncio.Event()
        self._paused = False
        self._serving: dict[asyncio.Task[None], int] = {}
        """Tasks that serve a request, and its partition."""

        self._strange: set[int] = set()
        """Partitions of which is not known yet what was answered in them."""

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
            messages = await self._patience.until_done("poll requests", poll)
            await self._follow_group()
            for message in messages:
                if self._book.begin(message.partition, message.offset):
                    tenure = self._book.tenure(message.partition)
                    self._unread.append(_Unread(message, tenure))
                    self._some.set()
            await self._commit()
            await self._throttle()

    async def _follow_group(self) -> None:
        """Let go what is somebody else's now."""
        moved = self._inbox.moved()
        for partition in moved.lost:
            self._book.forget(partition)
        self._strange = (self._strange - moved.lost) | moved.gained
        ended = [task for task, partition in self._serving.items() if partition in moved.lost]
        for task in ended:
            task.cancel()
        if ended:
            _log.info("requests_let_go", requests=len(ended), partitions=sorted(moved.lost))
            await asyncio.wait(ended)

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
        except (KafkaUnavailableError, NotOwnerError) as error:
            _log.warning("commit_later", reason=str(error))
        else:
            self._book.committed(ready)

    async def _read(self, group: asyncio.TaskGroup) -> None:
        """Make requests of records, in their order: a cancel must not overtake what it cancels."""
        while True:
            while not self._unread:
                self._some.clear()
                await self._some.wait()
            unread = self._unread.popleft()
            decode = partial(self._inbox.decode, unread.message)
            try:
                request = await self._patience.until_done("read a request", decode)
            except UnreadableRecordError as error:
                await self._bury(unread, error)
                continue
            await self._get_acquainted()
            partition = unread.message.partition
            if unread.tenure != self._book.tenure(partition):
                continue
            task = group.create_task(self._desk.take(request), name=f"request {request.request_id}")
            self._serving[task] = partition
            task.add_done_callback(partial(self._finish, unread))

    async def _get_acquainted(self) -> None:
        """Learn what others have answered in partitions that have become ours."""
        while self._strange:
            partitions, self._strange = frozenset(self._strange), set()
            answered = partial(self._inbox.answered, partitions)
            statuses = await self._patience.until_done("read what was answered", answered)
            self._desk.remember(statuses)

    def _finish(self, unread: _Unread, task: asyncio.Task[None]) -> None:
        del self._serving[task]
        if not task.cancelled() and task.exception() is None:
            self._done(unread)

    async def _bury(self, unread: _Unread, error: UnreadableRecordError) -> None:
        message = unread.message
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
        self._done(unread)

    def _done(self, unread: _Unread) -> None:
        self._book.finish(unread.message.partition, unread.message.offset, unread.tenure)
