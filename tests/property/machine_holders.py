"""Jobs and holders as Hypothesis thinks of them, and a model that follows the events.

Every command goes through a replica as bytes; now and then it comes twice, and now and then the
replica is thrown away and another goes on from its snapshot.
"""

import itertools
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TypeAlias

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from bars.series import Series
from bars.window import Grid, Window
from coordinator.machine import (
    Acquire,
    AnyCommand,
    CancelJob,
    CloseSession,
    Code,
    Complete,
    Event,
    Fail,
    JobSpec,
    KeepSession,
    Lease,
    LeaseEnded,
    LeaseGranted,
    MachineConfig,
    OpenSession,
    Progress,
    Release,
    Renew,
    Reply,
    SeriesLane,
    State,
    SubmitJob,
    Tick,
    WindowDone,
    WindowFailed,
    WindowsUndone,
    apply,
    initial,
    wire,
)
from coordinator.machine.replica import Replica
from tests.property.machine_model import LaneModel, Wanted, claims_of, plain_next, slots_of

CONFIG = MachineConfig(
    lease_ttl_ms=1_000,
    max_attempts=3,
    retry_backoff_ms=100,
    retry_cap_ms=400,
    live_windows_max=4,
    grant_max=6,
    ended_max=5,
    ageing_ms=3_000,
    poisoned_max=6,
    source_requests_max=5,
    session_leases_max=7,
)
SLOTS = 60
WINDOW_BARS = 8
SESSIONS = ("a", "b")
TARGETS = tuple(
    SeriesLane(Series(node, 1), lane)
    for node, lane in (("x", "bf:p"), ("x", "bf:q"), ("y", "bf:p"))
)

edges = st.tuples(st.integers(0, SLOTS), st.integers(0, SLOTS)).filter(lambda e: e[0] < e[1])
ranges = st.lists(edges, max_size=8)
windows = edges.map(lambda edge: Window(*edge))
targets = st.sampled_from(TARGETS)


Act: TypeAlias = Callable[[Lease, int], AnyCommand]

ACTS: Mapping[str, Act] = {
    "complete": lambda lease, offset: Complete(
        session_id=lease.session_id, token=lease.token, chunk_offset=offset
    ),
    "fail": lambda lease, _: Fail(
        session_id=lease.session_id, token=lease.token, error_class="x", chance_ppm=500_000
    ),
    "fail whole": lambda lease, _: Fail(
        session_id=lease.session_id, token=lease.token, error_class="x", divisible=False
    ),
    "limited": lambda lease, _: Fail(
        session_id=lease.session_id,
        token=lease.token,
        error_class="x",
        rate_limited=True,
        retry_after_ms=700,
    ),
    "permanent": lambda lease, _: Fail(
        session_id=lease.session_id, token=lease.token, error_class="x", retriable=False
    ),
    "published": lambda lease, _: Renew(
        session_id=lease.session_id, token=lease.token, published=True
    ),
    "release": lambda lease, _: Release(session_id=lease.session_id, token=lease.token),
    "renew": lambda lease, _: Renew(session_id=lease.session_id, token=lease.token),
}
"""What a holder may do with a whole lease, given where its chunk would stand."""


class Holders(RuleBasedStateMachine):
    """Jobs come and go, holders are clumsy, people meddle; the model follows the events."""

    @initialize()
    def begin(self) -> None:
        self.replica = Replica(initial(3, CONFIG), self._happened)
        self.numbers = itertools.count()
        self.last_token = self.state.last_token
        self.live: dict[int, Lease] = {}
        self.ended: list[Lease] = []
        self.wanted: dict[str, Wanted] = {}
        self.lanes: dict[SeriesLane, LaneModel] = defaultdict(LaneModel)
        self.offset = 0
        for session in SESSIONS:
            self.open(session)

    @property
    def state(self) -> State:
        return self.replica.state

    def do(self, command: AnyCommand) -> Reply:
        before = self.state
        entry = wire.Entry(
            term=1,
            elapsed_ms=command.elapsed_ms,
            command=command,
            request_id=f"r{next(self.numbers)}",
        )
        data = self.replica.apply(wire.encode_entry(entry))
        self.last = (entry, data)
        # What the model asserts while it listens is swallowed there, and counted.
        assert (self.replica.counts.deaf, self.replica.counts.broken) == (0, 0)
        reply = wire.decode_reply(data)
        applied = apply(before, command)
        assert (applied.state, applied.reply) == (self.state, reply), "a function of both"
        return reply

    # What happens

    def _happened(self, events: Sequence[Event]) -> None:
        for event in events:
            if isinstance(event, LeaseGranted):
                self._granted(event.lease)
            elif isinstance(event, LeaseEnded):
                self.ended.append(self.live.pop(event.lease.token))
            elif isinstance(event, WindowDone):
                self._done(event)
            elif isinstance(event, WindowFailed):
                self._failed(event)
            elif isinstance(event, WindowsUndone):
                self._undone(event)

    def _granted(self, lease: Lease) -> None:
        assert lease.token > self.last_token, "tokens only grow"
        self.last_token = lease.token
        slots = slots_of(lease.window)
        assert lease.window.start // WINDOW_BARS == (lease.window.end - 1) // WINDOW_BARS
        for other in self.live.values():
            assert other.target != lease.target or not slots & slots_of(other.window)
        for claimed in claims_of(self.state, lease.target.series):
            assert not slots & slots_of(claimed), "one live lease a window over both protocols"
        takers = {
            job_id
            for job_id, job in self.wanted.items()
            if job.target == lease.target and job.slots & slots
        }
        assert set(lease.job_ids) == takers
        assert slots <= set().union(*(self.wanted[job_id].slots for job_id in takers)), (
            "nothing is fetched that no job wants: no bar twice"
        )
        self.live[lease.token] = lease

    def _jobs(self, target: SeriesLane) -> list[Wanted]:
        return [job for job in self.wanted.values() if job.target == target]

    def _done(self, event: WindowDone) -> None:
        slots = slots_of(event.window)
        for job in self._jobs(event.target):
            if not event.token or event.token > job.since:
                job.slots -= slots
            if not event.token:
                job.failed -= slots
        offset = self.offset if event.token else -1
        self.lanes[event.target].offsets.update(dict.fromkeys(slots, offset))

    def _failed(self, event: WindowFailed) -> None:
        for job in self._jobs(event.target):
            if event.token > job.since:
                job.failed |= job.slots & slots_of(event.failure.window)
                job.slots -= slots_of(event.failure.window)

    def _undone(self, event: WindowsUndone) -> None:
        slots = slots_of(*event.windows)
        for job in self._jobs(event.target):
            job.slots |= slots - job.failed
        for ts in slots:
            del self.lanes[event.target].offsets[ts]

    # Sessions and time

    @rule(session=st.sampled_from(SESSIONS))
    def open(self, session: str) -> None:
        self.do(OpenSession(session_id=session, ttl_ms=2_000))

    @rule(session=st.sampled_from(SESSIONS))
    def keep(self, session: str) -> None:
        known = session in self.state.sessions
        reply = self.do(KeepSession(session_id=session))
        assert reply.code is (Code.OK if known else Code.UNKNOWN_SESSION)

    @rule(session=st.sampled_from(SESSIONS))
    def close(self, session: str) -> None:
        self.do(CloseSession(session_id=session))
        assert not [lease for lease in self.live.values() if lease.session_id == session]

    @rule(elapsed_ms=st.sampled_from([-5, 0, 99, 100, 999, 1_000, 2_500]))
    def time_passes(self, elapsed_ms: int) -> None:
        self.do(Tick(elapsed_ms=elapsed_ms))

    # Replicas

    @rule()
    def another_replica_goes_on(self) -> None:
        old = self.replica
        self.replica = Replica(initial(1, MachineConfig()), self._happened)
        self.replica.restore(old.snapshot())
        assert self.replica.state == old.state
        assert self.replica.state.index == old.state.index
        assert self.replica.snapshot() == old.snapshot()
        assert self.replica.digest() == old.digest()

    @rule()
    def an_entry_comes_twice(self) -> None:
        before, (entry, reply) = self.state, self.last
        again = wire.encode_entry(replace(entry, elapsed_ms=0))
        assert self.replica.apply(again) == reply
        assert self.state == before

    # Jobs

    @rule(where=targets, parts=ranges, priority=st.integers(-2, 2), refetch=st.booleans())
    def submit(
        self, where: SeriesLane, parts: list[tuple[int, int]], priority: int, refetch: bool
    ) -> None:
        job_id = f"job{next(self.numbers)}"
        reply = self.do(
            SubmitJob(
                spec=JobSpec(
                    job_id=job_id,
                    target=where,
                    window=Window(0, SLOTS),
                    missing=tuple(Window(*part) for part in parts),
                    grid=Grid(1),
                    window_bars=WINDOW_BARS,
                    priority=priority,
                    refetch=refetch,
                )
            )
        )
        assert reply.job is not None
        asked, todo = slots_of(*(Window(*part) for part in parts)), slots_of(*reply.job.todo)
        assert todo == (asked if refetch else asked - set(self.lanes[where].offsets))
        self.wanted[job_id] = Wanted(where, todo, self.last_token if refetch else 0)

    @precondition(lambda self: self.wanted)
    @rule(data=st.data())
    def cancel(self, data: st.DataObject) -> None:
        job_id = data.draw(st.sampled_from(sorted(self.wanted)))
        target = self.wanted.pop(job_id).target
        assert self.do(CancelJob(job_id=job_id)).code is Code.OK
        if not self._jobs(target):
            self.lanes.pop(target, None)

    # Holders

    @rule(
        session=st.sampled_from(SESSIONS),
        limit=st.integers(1, 8),
        lanes=st.sampled_from(((), (), ("bf:p",), ("bf:q", "bf:unheard-of"))),
    )
    def acquire(self, session: str, limit: int, lanes: tuple[str, ...]) -> None:
        if session not in self.state.sessions:
            assert self.do(Acquire(session_id=session)).code is Code.UNKNOWN_SESSION
            return
        state, expected = self.state, list[Lease]()
        held = sum(lease.session_id == session for lease in self.live.values())
        for _ in range(min(limit, CONFIG.grant_max, CONFIG.session_leases_max - held)):
            one = apply(state, Acquire(session_id=session, lanes=lanes))
            found = [(e.target, e.window, e.attempts) for e in one.reply.leases]
            assert found == [plain for plain in (plain_next(state, lanes),) if plain], "the order"
            state = one.state
            expected += one.reply.leases
        reply = self.do(Acquire(session_id=session, limit=limit, lanes=lanes))
        assert reply.leases == tuple(expected), "many at once are one after another"

    @precondition(lambda self: self.live)
    @rule(data=st.data(), what=st.sampled_from(sorted(ACTS)))
    def holder(self, data: st.DataObject, what: str) -> None:
        lease = self.live[data.draw(st.sampled_from(sorted(self.live)))]
        self.offset += 1
        self.do(ACTS[what](lease, self.offset))

    @precondition(lambda self: self.live)
    @rule(data=st.data())
    def progress(self, data: st.DataObject) -> None:
        lease = self.live[data.draw(st.sampled_from(sorted(self.live)))]
        inside = st.integers(lease.window.start, lease.window.end)
        start, end = sorted(data.draw(st.tuples(inside, inside)))
        if start < end:
            self.offset += 1
            done = (Window(start, end),)
            reply = self.do(
                Progress(
                    session_id=lease.session_id,
                    token=lease.token,
                    done=done,
                    chunk_offset=self.offset,
                )
            )
            assert reply.code is Code.OK
            assert (lease.token in self.live) == bool(reply.leases)

    @precondition(lambda self: self.ended)
    @rule(data=st.data(), what=st.sampled_from(sorted(ACTS)))
    def late_holder(self, data: st.DataObject, what: str) -> None:
        lease = data.draw(st.sampled_from(self.ended))
        before = self.state
        reply = self.do(ACTS[what](lease, 0))
        assert reply.code in {Code.LATE, Code.UNKNOWN_TOKEN}
        assert self.state == before, "answered, not obeyed"
