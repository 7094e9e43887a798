"""Workers who hold leases, one who wants windows, one who chooses them: clients as they are.

A worker counts the life of its lease from before it asked, asks again with the same request id
until it knows, and knows its leader from what nodes answer. Some of them stop for a while and
come back believing what is no longer so.
"""

import itertools
from collections.abc import Generator
from dataclasses import dataclass
from typing import TypeAlias

from bars.series import Series
from bars.window import Grid, Window
from coordinator._service.log import LogError, NotLeaderError
from coordinator._service.raft.proposal import Applied, Outcome, Proposal
from coordinator.machine import (
    Acquire,
    AnyCommand,
    Barrier,
    CancelJob,
    ClaimWindow,
    Code,
    Complete,
    EndClaim,
    Fail,
    JobSpec,
    KeepSession,
    Lease,
    OpenSession,
    Progress,
    Release,
    Renew,
    Reply,
    SeriesLane,
    SubmitJob,
)
from coordinator.machine.wire import decode_reply
from tests.simulation.checkers import LANE
from tests.simulation.cluster import Cluster
from tests.simulation.history import NEVER, History, Op
from tests.simulation.nodes import SESSION_TTL_S

PATIENCE_S = 6.0
"""How long a command is tried."""

ATTEMPT_S = 0.5
"""How long one node is waited for."""

LOSS = 0.02
"""Part of requests, and of answers, that never arrive."""

BARS = 10

_SESSION_TTL_MS = int(SESSION_TTL_S * 1_000)

Life: TypeAlias = Generator[AnyCommand | float, Reply | None, None]
"""Yields a command, and is given its reply or None; or seconds to wait."""


@dataclass(slots=True)
class _Call:
    """A command that is being tried."""

    request_id: str
    command: AnyCommand
    called: float
    attempt: int = 0
    over: bool = False


class Client:
    """One process outside of the cluster that sends one command at a time."""

    def __init__(self, cluster: Cluster, name: str, history: History) -> None:
        self.name = name
        self.chance = cluster.world.chance(f"client {name}")
        self._cluster = cluster
        self._world = cluster.world
        self._history = history
        self._numbers = itertools.count()
        self._target = self.chance.choice(cluster.names)
        self._life: Life | None = None
        self._now: _Call | None = None

    def live(self, life: Life) -> None:
        """Begin to do what a life says."""
        self._life = life
        self._go_on(None)

    def _go_on(self, reply: Reply | None) -> None:
        assert self._life is not None
        try:
            wish = self._life.send(reply)
        except StopIteration:
            return
        if isinstance(wish, float):
            self._world.after(wish, lambda: self._go_on(None))
        else:
            self._call(wish)

    def _call(self, command: AnyCommand) -> None:
        request_id = f"{self.name}-{next(self._numbers)}"
        self._now = _Call(request_id, command, self._world.now)
        self._try(self._now)

    def _try(self, call: _Call) -> None:
        if call.over:
            return
        if self._world.now - call.called > PATIENCE_S:
            self._end(call, None, 0)
            return
        call.attempt += 1
        attempt, target = call.attempt, self._target

        def ended(outcome: Outcome) -> None:
            if self.chance.random() >= LOSS:
                self._world.after(self._delay(), lambda: self._told(call, attempt, outcome))

        proposal = Proposal.of(call.command, call.request_id, ended)
        if self.chance.random() >= LOSS:
            self._world.after(self._delay(), lambda: self._cluster.propose(target, proposal))

        def missed() -> None:
            if not call.over and call.attempt == attempt:
                self._target = self.chance.choice(self._cluster.names)
                self._try(call)

        self._world.after(ATTEMPT_S, missed)

    def _told(self, call: _Call, attempt: int, outcome: Outcome) -> None:
        # An answer to an earlier attempt is as good, an error of one is not.
        if call.over or (isinstance(outcome, LogError) and attempt != call.attempt):
            return
        if isinstance(outcome, Applied):
            reply = decode_reply(outcome.reply)
            if reply.code is not Code.STALE_LEADER:
                self._end(call, reply, outcome.index)
                return
        if isinstance(outcome, NotLeaderError) and outcome.leader_url is not None:
            self._target = outcome.leader_url.removeprefix("http://")
        else:
            self._target = self.chance.choice(self._cluster.names)
        call.attempt += 1
        self._world.after(self.chance.uniform(0.01, 0.05), lambda: self._try(call))

    def _end(self, call: _Call, reply: Reply | None, index: int) -> None:
        call.over = True
        self._history.count("answered" if reply else "given up")
        returned = NEVER if reply is None else self._world.now
        self._history.ops.append(self._op(call, returned, reply, index))
        self._go_on(reply)

    def _op(self, call: _Call, returned: float, reply: Reply | None, index: int) -> Op:
        return Op(
            worker=self.name,
            request_id=call.request_id,
            command=call.command,
            called=call.called,
            returned=returned,
            reply=reply,
            index=index,
        )

    def stop(self) -> None:
        """Write down what it waits for: it may have happened."""
        if self._now is not None and not self._now.over:
            self._history.ops.append(self._op(self._now, NEVER, None, 0))

    def _delay(self) -> float:
        return self.chance.uniform(0.0005, 0.01)


class Burst:
    """Commands that nobody tries again, so that faults find many on their way."""

    def __init__(self, cluster: Cluster, history: History) -> None:
        self._cluster = cluster
        self._history = history
        self._numbers = itertools.count()

    def send(self, name: str, count: int) -> None:
        """Have a node take in some commands at once."""
        for _ in range(count):
            self._send(name, f"burst-{next(self._numbers)}")

    def _send(self, name: str, request_id: str) -> None:
        world, called = self._cluster.world, self._cluster.world.now

        def done(outcome: Outcome) -> None:
            if isinstance(outcome, Applied):
                self._history.count("burst answered")
                op = Op(
                    worker="burst",
                    request_id=request_id,
                    command=Barrier(),
                    called=called,
                    returned=world.now,
                    reply=decode_reply(outcome.reply),
                    index=outcome.index,
                )
                self._history.ops.append(op)

        self._cluster.propose(name, Proposal.of(Barrier(), request_id, done))


def worker_life(client: Client, cluster: Cluster, until: float) -> Life:
    """Hold leases until a time."""
    session = client.name
    chance = client.chance
    yield OpenSession(session_id=session, ttl_ms=_SESSION_TTL_MS)
    while cluster.world.now < until:
        reply = yield Acquire(session_id=session, limit=chance.choice((1, 1, 2)))
        if reply is None or reply.code is Code.UNKNOWN_SESSION:
            yield OpenSession(session_id=session, ttl_ms=_SESSION_TTL_MS)
            continue
        for lease in reply.leases:
            yield from _hold(client, lease)
        if not reply.leases:
            yield chance.uniform(0.05, 0.3)
            yield KeepSession(session_id=session)


def _hold(client: Client, lease: Lease) -> Life:
    chance, session, token = client.chance, client.name, lease.token
    yield chance.uniform(0.01, 0.4)
    way = chance.random()
    if way < 0.06:
        yield chance.uniform(2.0, 5.0)  # It was stopped, and does not know for how long.
    if way < 0.25:
        yield Renew(session_id=session, token=token)
        yield chance.uniform(0.05, 0.5)
    if 0.25 <= way < 0.35 and lease.window.end - lease.window.start > 1:
        first = Window(lease.window.start, lease.window.start + 1)
        yield Progress(session_id=session, token=token, done=(first,))
    end = chance.random()
    if end < 0.7:
        yield Complete(session_id=session, token=token)
    elif end < 0.85:
        retriable = chance.random() < 0.9
        yield Fail(session_id=session, token=token, error_class="source", retriable=retriable)
    elif end < 0.92:
        yield Release(session_id=session, token=token)


def planner_life(client: Client, cluster: Cluster, until: float) -> Life:
    """Want new windows until a time, and think better of some."""
    chance = client.chance
    for number in itertools.count():
        if cluster.world.now >= until:
            return
        lane = SeriesLane(Series(f"node{number % 2}", 1), LANE)
        # Ranges overlap with the one before: a window belongs to all that want it.
        start = number // 2 * 60
        window = Window(start, start + 100)
        spec = JobSpec(
            job_id=f"job{number}",
            target=lane,
            window=window,
            missing=(window,),
            grid=Grid(1),
            window_bars=BARS,
            priority=chance.choice((0, 0, 5)),
        )
        yield SubmitJob(spec=spec)
        if chance.random() < 0.2:
            yield CancelJob(job_id=f"job{chance.randrange(number + 1)}")
        yield Barrier()
        yield chance.uniform(0.3, 1.5)


def older_life(client: Client, cluster: Cluster, until: float) -> Life:
    """Claim windows of one's own choice until a time, as clients of the older protocol do."""
    chance = client.chance
    for number in itertools.count():
        now = cluster.world.now
        if now >= until:
            return
        session = f"{client.name}-{number}"
        start = chance.randrange(60 * (int(now / 1.8) + 2))
        window = Window(start, start + chance.randrange(5, 40))
        reply = yield ClaimWindow(
            session_id=session,
            ttl_ms=_SESSION_TTL_MS,
            series=Series(f"node{chance.randrange(2)}", 1),
            window=window,
        )
        if reply is not None and reply.code is Code.OK and reply.found is not None:
            cluster.history.count("claimed")
            yield chance.uniform(0.05, 1.0) if chance.random() < 0.9 else 5.0
            yield EndClaim(session_id=session, token=reply.found)
        yield chance.uniform(0.05, 0.3)
