"""Who waits for a lease, in order of arrival, woken when the queue has something for them.

Whoever waits puts nothing into the log. The rules are pure and the state does not change, so
trying an acquire in memory tells whether one would be granted; only who would get something
proposes. It is for sparing the log: the machine alone decides who gets what.
"""

import asyncio
from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import dataclass, field

from coordinator._service.log import NotLeaderError, QueueFullError, ReplicatedLog
from coordinator.machine import Acquire, State, apply
from coordinator.waits import until
from runtime.clock import Clock
from runtime.log import logger

LOOK_EVERY_S = 0.5
"""Waiting ends that soon after this node has lost the lead."""

WAITERS_MAX = 1_000

PEEK_MAX = 16
"""Windows tried for at a time: what more there are is found when those have gone."""

_log = logger(__name__)


@dataclass(slots=True, eq=False)
class Turn:
    """An acquire that waits, or may be made."""

    asked: Acquire
    called: asyncio.Event = field(default_factory=asyncio.Event)
    promised: bool = False
    """Whether what it will get is kept from the others."""

    @property
    def limit(self) -> int:
        """How many windows it takes at most."""
        return max(self.asked.limit, 1)


class WaitingRoom:
    """The requests that wait for a lease at this node."""

    def __init__(self, log: ReplicatedLog, clock: Clock) -> None:
        self._log = log
        self._clock = clock
        self._waiters: deque[Turn] = deque()
        self._under_way: Counter[tuple[str, ...]] = Counter()
        """Windows promised, by the lanes that they were promised of."""

        self._seen = log.state()
        self._seen_s = clock.monotonic()
        self._stir = asyncio.Event()
        self._closed = False

    @property
    def waiting(self) -> int:
        """How many wait."""
        return len(self._waiters)

    async def enter(self, asked: Acquire, wait_s: float) -> Turn:
        """Return when an acquire may get something, or the time is up.

        Whoever has entered makes the acquire and leaves: until then what it will get is not
        promised to others.

        Raises:
            NotLeaderError: This node leads no longer.
            QueueFullError: Others wait already, too many of them.
        """
        turn = Turn(asked)
        try:
            if wait_s > 0 and not self._closed:
                await self._wait(turn, wait_s)
            status = self._log.status()
            if not status.is_leader:
                raise NotLeaderError(status.leader_url)
        except BaseException:
            self.leave(turn)
            raise
        self._promise(turn)
        return turn

    def leave(self, turn: Turn) -> None:
        """Make room for the next."""
        if turn in self._waiters:
            self._waiters.remove(turn)
        if turn.promised:
            self._under_way[turn.asked.lanes] -= turn.limit
            if not self._under_way[turn.asked.lanes]:
                del self._under_way[turn.asked.lanes]
        if self._waiters:
            self._stir.set()

    def close(self) -> None:
        """Let nobody wait any more: the node is about to go."""
        self._closed = True
        self._wake_all()

    async def run(self) -> None:
        """Wake those who wait; never returns."""
        unsubscribe = self._log.subscribe(lambda _index, _events: self._note())
        try:
            while True:
                if not self._waiters:
                    await self._stir.wait()
                self._stir.clear()
                await until(self._stir, self._clock, self._look_on())
        finally:
            unsubscribe()

    async def _wait(self, waiter: Turn, wait_s: float) -> None:
        if len(self._waiters) >= WAITERS_MAX:
            raise QueueFullError(len(self._waiters), WAITERS_MAX)
        self._waiters.append(waiter)
        self._stir.set()
        await until(waiter.called, self._clock, wait_s)

    def _promise(self, waiter: Turn) -> None:
        if not waiter.promised:
            waiter.promised = True
            self._under_way[waiter.asked.lanes] += waiter.limit

    def _note(self) -> None:
        """Take note of an entry; most change nothing that could make a grant possible."""
        state, before = self._log.state(), self._seen
        if state is before:
            return  # told of entries that came together, one by one
        self._seen, self._seen_s = state, self._clock.monotonic()
        if not self._waiters:
            return
        parts = zip(_decisive(state), _decisive(before), strict=True)
        if any(now is not then for now, then in parts):
            self._stir.set()

    def _look_on(self) -> float:
        """Look; whatever goes wrong, nobody waits for ever: the log decides who gets what."""
        try:
            return self._look()
        except Exception:  # noqa: BLE001 - the supervisor of all who wait
            _log.exception("waiting_room_failed", waiting=len(self._waiters))
            self._wake_all()
            return LOOK_EVERY_S

    def _look(self) -> float:
        """Wake whoever has a turn; return how long until somebody may have one by time alone."""
        state = self._log.state()
        if not self._log.status().is_leader:
            self._wake_all()
            return LOOK_EVERY_S
        for waiter in tuple(self._waiters):
            if waiter.asked.session_id not in state.sessions:
                self._wake(waiter)  # and be told so
        if not self._waiters:
            return LOOK_EVERY_S
        return min(self._serve(state, lanes) for lanes in self._asked_lanes())

    def _asked_lanes(self) -> list[tuple[str, ...]]:
        """Return the sets of lanes that somebody waits for, in the order of arrival."""
        return list(dict.fromkeys(waiter.asked.lanes for waiter in self._waiters))

    def _serve(self, state: State, lanes: tuple[str, ...]) -> float:
        """Wake whoever of those who wait for some lanes has a turn."""
        waiters = [waiter for waiter in self._waiters if waiter.asked.lanes == lanes]
        granted, due_s = self._peek(state, waiters, lanes)
        for waiter in waiters:
            if granted <= 0:
                break
            granted -= waiter.limit
            self._wake(waiter)
        return min(due_s, LOOK_EVERY_S)

    def _peek(
        self, state: State, waiters: Sequence[Turn], lanes: tuple[str, ...]
    ) -> tuple[int, float]:
        """Return how many windows are free for those who wait, and else when one may be due.

        What is promised of lanes that overlap these may be counted as free: who is woken for that
        gets nothing and waits anew.
        """
        waited_ms = int((self._clock.monotonic() - self._seen_s) * 1_000)
        wanted = sum(waiter.limit for waiter in waiters) + self._under_way[lanes]
        asked = Acquire(
            session_id=waiters[0].asked.session_id,
            limit=min(wanted, PEEK_MAX, state.config.grant_max),
            lanes=lanes,
            elapsed_ms=waited_ms,
        )
        reply = apply(state, asked).reply
        due_s = LOOK_EVERY_S if reply.wait_ms is None else (reply.wait_ms + 1) / 1_000
        return len(reply.leases) - self._under_way[lanes], due_s

    def _wake_all(self) -> None:
        for waiter in tuple(self._waiters):
            self._wake(waiter)

    def _wake(self, waiter: Turn) -> None:
        self._waiters.remove(waiter)
        self._promise(waiter)
        waiter.called.set()


def _decisive(state: State) -> tuple[object, ...]:
    """Return the parts of a state that decide whether a window can be granted.

    States share what is equal, so a part that is another object has changed.
    """
    index = state.index
    return (state.lanes, state.jobs, state.rules, state.pauses, index.asking, state.sessions)
