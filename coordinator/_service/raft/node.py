"""One node of the lease service for an event loop: the engine turns in a thread of its own.

The thread owns the log, the disk and the state; the loop gets results and looks at values that
never change. A node that stops, for a fault of its disk or any other, does not come back: its
process ends and is started anew.
"""

import asyncio
import threading
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Final

from pysyncobj import SyncObjException

from coordinator._service.log import (
    Answer,
    Listener,
    LogError,
    LogStatus,
    NotLeaderError,
    QueueFullError,
    StoppedLogError,
    UnknownOutcomeError,
)
from coordinator._service.raft.budgets import Budgets
from coordinator._service.raft.engine import Engine
from coordinator._service.raft.errors import EntryTooLargeError
from coordinator._service.raft.proposal import Outcome, Proposal
from coordinator._service.raft.real import real_outside
from coordinator._service.raft.settings import COMMAND_BYTES_MAX, RaftSettings
from coordinator.machine import AnyCommand, Code, Event, State
from coordinator.machine.replica import Replica
from coordinator.machine.wire import decode_reply
from runtime.clock import Clock
from runtime.log import logger

WAIT_S: Final = 0.02
"""Longest wait of a turn: less than half a heartbeat, so that timers keep their time."""

HAND_OVER_TRY_S: Final = 0.5
"""Between two attempts to give the lead away."""

LOOK_S: Final = 0.01

_Results = list[tuple["asyncio.Future[Any]", Any]]

_log = logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class RaftNumbers:
    """What a node has counted since it was started."""

    pending: int
    """Commands whose outcome is not known yet."""

    syncs: int
    """Times that the journal's disk was waited for."""

    sync_s: float
    """How long it took last time."""

    refused: dict[str, int]
    """What was refused from peers and strangers, by reason."""


class RaftLog:
    """A `ReplicatedLog` on PySyncObj. Belongs to one event loop."""

    def __init__(
        self,
        settings: RaftSettings,
        replica: Replica,
        clock: Clock,
        heard: list[Event] | None = None,
    ) -> None:
        """Prepare a node; nothing is opened before `start`.

        Args:
            settings: Who it is.
            replica: Its copy of the machine, as it was before the first entry. Its events come
                from the node's thread.
            clock: Of this machine.
            heard: What the replica's events are put into, so that listeners may be told; None:
                they are told of entries without events.
        """
        self._heard = [] if heard is None else heard
        self._listeners: list[Listener] = []
        self._news: list[tuple[int, tuple[Event, ...] | None]] = []
        self._settings = settings
        self._replica = replica
        self._clock = clock
        self._tasks: deque[Callable[[Engine], None]] = deque()
        self._results: _Results = []
        self._waking = False
        self._told_to_stop = False
        self._ended: str | None = None
        self._end = asyncio.Event()
        self._thread: threading.Thread | None = None

    async def start(self) -> None:
        """Open the files, listen, and take part.

        Raises:
            SecretError: The nodes' secret cannot be used.
            IncompatibleLibraryError: PySyncObj is not as this program needs it.
            LogError: The files are damaged, or the address is taken.
            OSError: The disk failed.
        """
        self._loop = asyncio.get_running_loop()
        self._budgets = Budgets(self._loop)
        self._outside = real_outside(self._settings, self._clock)
        ready: asyncio.Future[Engine] = self._loop.create_future()
        name = f"raft-{self._settings.node_id}"
        self._thread = threading.Thread(target=self._run, args=(ready,), name=name, daemon=True)
        self._thread.start()
        self._engine = await ready

    async def stop(self) -> None:
        """Take part no more and close everything; nothing if it was never started."""
        if self._thread is None:
            return
        self._told_to_stop = True
        self._outside.wake()
        await self._end.wait()
        await asyncio.to_thread(self._thread.join)

    async def wait_ended(self) -> str:
        """Return why the node has stopped, when it has."""
        await self._end.wait()
        return self._ended or ""

    async def propose(self, command: AnyCommand, request_id: str, timeout_s: float) -> Answer:
        """Have a command applied on every node; at the leader only."""
        self._must_run()
        status = self.status()
        if not status.is_leader:
            raise NotLeaderError(self._other_leader(status))
        if self._engine.pending >= self._settings.pending_max:
            raise QueueFullError(self._engine.pending, self._settings.pending_max)
        answer: asyncio.Future[Outcome] = self._loop.create_future()
        proposal = Proposal.of(command, request_id, partial(self._put_by, answer))
        size = len(proposal.command)
        if size > COMMAND_BYTES_MAX:
            raise EntryTooLargeError(size, COMMAND_BYTES_MAX)
        self._engine.queue.append(proposal)
        self._must_run()
        self._wake_soon()
        self._budgets.begin(answer, request_id, timeout_s)
        try:
            outcome = await answer
        finally:
            self._budgets.end(answer)
        if isinstance(outcome, LogError):
            raise outcome
        reply = outcome.told or decode_reply(outcome.reply)
        if reply.code is Code.STALE_LEADER:
            raise NotLeaderError(self._other_leader(self.status()))
        return Answer(
            reply=reply,
            text=outcome.reply,
            index=outcome.index,
            term=outcome.term,
            clock_ms=outcome.clock_ms,
        )

    def state(self) -> State:
        """Return the state as this node has applied it."""
        return self._replica.state

    def subscribe(self, listener: Listener) -> Callable[[], None]:
        """Have a listener called on the loop for every entry; return what ends that."""
        self._listeners.append(listener)

        def end() -> None:
            if listener in self._listeners:
                self._listeners.remove(listener)

        return end

    def digest(self) -> tuple[int, str]:
        """Return a raft index and the digest of the state at that index."""
        return self._engine.digest

    def status(self) -> LogStatus:
        """Return how this node sees the cluster."""
        status = self._engine.status
        if self._ended is None:
            return status
        return replace(status, is_leader=False, has_quorum=False, leader_url=None)

    def numbers(self) -> RaftNumbers:
        """Return what this node has counted."""
        return RaftNumbers(
            pending=self._engine.pending,
            syncs=self._engine.journal.syncs,
            sync_s=self._engine.journal.sync_s,
            refused=self._engine.refusals.by_reason(),
        )

    async def transfer_leadership(self, timeout_s: float) -> None:
        """Let another node lead; at the leader only."""
        self._must_run()
        if not self.status().is_leader:
            raise NotLeaderError(self._other_leader(self.status()))
        now = self._clock.monotonic()
        until, again = now + timeout_s, now
        while now < until:
            if now >= again and self.status().is_leader:
                self._have_done(Engine.hand_over)
                again = now + HAND_OVER_TRY_S
            await self._clock.sleep(LOOK_S)
            self._must_run()
            if self._other_leader(self.status()) is not None:
                return
            now = self._clock.monotonic()
        raise UnknownOutcomeError("transfer", f"no other node leads after {timeout_s} s")

    async def snapshot(self, timeout_s: float) -> bytes:
        """Return this node's state as a snapshot document."""
        self._must_run()
        taken: asyncio.Future[Callable[[], bytes]] = self._loop.create_future()
        self._have_done(lambda engine: self._put_by(taken, engine.document()))
        try:
            async with asyncio.timeout(timeout_s):
                return await asyncio.to_thread(await taken)
        except TimeoutError:
            raise UnknownOutcomeError("snapshot", f"no answer within {timeout_s} s") from None

    def _wake_soon(self) -> None:
        """Wake the thread once for all that is proposed in this turn of the loop.

        What comes together then shares one write to the disk, and the two threads do not take
        the interpreter from each other for every command.
        """
        if not self._waking:
            self._waking = True
            self._loop.call_soon(self._wake)

    def _wake(self) -> None:
        self._waking = False
        self._outside.wake()

    def _must_run(self) -> None:
        if self._ended is not None:
            raise StoppedLogError(self._ended)

    def _other_leader(self, status: LogStatus) -> str | None:
        return None if status.leader_url == self._settings.me.url else status.leader_url

    def _have_done(self, task: Callable[[Engine], None]) -> None:
        self._tasks.append(task)
        self._outside.wake()

    # The node's thread.

    def _run(self, ready: "asyncio.Future[Engine]") -> None:
        try:
            engine = Engine(self._settings, self._replica, self._outside)
        except SyncObjException:
            self._fail(ready, LogError(f"cannot listen on {self._settings.bind}"))
        except BaseException as error:  # noqa: BLE001 - raised by `start`, where somebody waits
            self._fail(ready, error)
        else:
            engine.before_wait = self._deliver
            engine.applied = self._on_applied
            self._put_by(ready, engine)
            self._deliver()
            self._turn(engine)

    def _turn(self, engine: Engine) -> None:
        try:
            while not self._told_to_stop:
                engine.turn(WAIT_S)
                while self._tasks:
                    self._tasks.popleft()(engine)
                self._deliver()
            engine.stop("it was told to stop")
        except StoppedLogError:
            _log.exception("the node has stopped")
        except Exception as error:  # noqa: BLE001 - the supervisor: nothing goes on after it
            _log.exception("the node has failed")
            engine.stop(f"{type(error).__name__}: {error}")
        finally:
            self._ended = engine.failure or "its thread has ended"
            while engine.queue:
                engine.queue.popleft().done(StoppedLogError(self._ended))
            self._deliver()
            self._outside.poller.close()
            self._soon(self._end.set)

    def _fail(self, ready: "asyncio.Future[Engine]", error: BaseException) -> None:
        self._ended = str(error)
        self._outside.poller.close()

        def told() -> None:
            ready.set_exception(error)
            self._end.set()

        self._soon(told)

    def _put_by(self, future: "asyncio.Future[Any]", result: object) -> None:
        self._results.append((future, result))

    def _on_applied(self, index: int, skipped: bool) -> None:
        if skipped:
            self._news.append((index - 1, None))
        self._news.append((index, tuple(self._heard)))
        self._heard.clear()

    def _deliver(self) -> None:
        if self._news or self._results:
            news, self._news = self._news, []
            results, self._results = self._results, []
            self._soon(partial(self._tell, news, results))

    def _soon(self, what: Callable[[], object]) -> None:
        with suppress(RuntimeError):  # The loop is closed: nobody is left to be told.
            self._loop.call_soon_threadsafe(what)

    def _tell(self, news: list[tuple[int, tuple[Event, ...] | None]], results: _Results) -> None:
        listeners = tuple(self._listeners)
        for index, events in news:
            for listener in listeners:
                listener(index, events)
        for future, result in results:
            if not future.done():
                future.set_result(result)
