"""The machine against a model, under every order of commands that Hypothesis thinks of."""

import itertools
from dataclasses import dataclass, field

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from bars.series import Series
from bars.window import Grid, Window
from coordinator.machine import (
    Acquire,
    AnyCommand,
    CancelJob,
    CloseSession,
    Code,
    Complete,
    Fail,
    JobSpec,
    KeepSession,
    Lease,
    LeaseEnded,
    LeaseGranted,
    MachineConfig,
    OpenSession,
    QueryJob,
    Release,
    Renew,
    Reply,
    SeriesLane,
    State,
    SubmitJob,
    Tick,
    WindowDone,
    WindowFailed,
    apply,
    initial,
)

CONFIG = MachineConfig(
    lease_ttl_ms=1_000,
    max_attempts=3,
    retry_backoff_ms=100,
    retry_cap_ms=400,
    live_windows_max=4,
    grant_max=6,
    ended_max=5,
    ageing_ms=3_000,
)
SLOTS = 60
WINDOW_BARS = 8
SESSIONS = ("a", "b")
TARGETS = tuple(
    SeriesLane(Series(node, 1), lane)
    for node, lane in (("x", "bf:p"), ("x", "bf:q"), ("y", "bf:p"))
)

edges = st.tuples(st.integers(0, SLOTS), st.integers(0, SLOTS)).filter(lambda e: e[0] < e[1])
ranges = st.lists(edges, max_size=4)


def slots_of(*windows: Window) -> set[int]:
    return {ts for window in windows for ts in range(window.start, window.end)}


@dataclass
class Wanted:
    """What the model knows of a job: the slots it still wants, and which fetches count."""

    target: SeriesLane
    slots: set[int]
    since: int = 0
    failed: set[int] = field(default_factory=set)


class Coordinator(RuleBasedStateMachine):
    """Jobs come and go, holders are clumsy, time passes; the model follows the events."""

    @initialize()
    def begin(self) -> None:
        self.state: State = initial(3, CONFIG)
        self.numbers = itertools.count()
        self.last_token = self.state.last_token
        self.live: dict[int, Lease] = {}
        self.ended: list[Lease] = []
        self.wanted: dict[str, Wanted] = {}
        for session in SESSIONS:
            self.open(session)

    def do(self, command: AnyCommand) -> Reply:
        before = self.state
        applied = apply(before, command)
        assert applied == apply(before, command), "a function of state and command"
        self.state = applied.state
        for event in applied.events:
            if isinstance(event, LeaseGranted):
                self._granted(event.lease)
            elif isinstance(event, LeaseEnded):
                self.ended.append(self.live.pop(event.lease.token))
            elif isinstance(event, WindowDone):
                self._settled(event.target, event.window, event.token, failed=False)
            elif isinstance(event, WindowFailed):
                self._settled(event.target, event.failure.window, event.token, failed=True)
        return applied.reply

    def _granted(self, lease: Lease) -> None:
        assert lease.token > self.last_token, "tokens only grow"
        self.last_token = lease.token
        slots = slots_of(lease.window)
        assert lease.window.start // WINDOW_BARS == (lease.window.end - 1) // WINDOW_BARS
        for other in self.live.values():
            assert other.target != lease.target or not slots & slots_of(other.window)
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

    def _settled(self, target: SeriesLane, window: Window, token: int, *, failed: bool) -> None:
        for job in self.wanted.values():
            if job.target == target and token > job.since:
                if failed:
                    job.failed |= job.slots & slots_of(window)
                job.slots -= slots_of(window)

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

    @rule(
        where=st.sampled_from(TARGETS),
        parts=ranges,
        priority=st.integers(-2, 2),
        refetch=st.booleans(),
    )
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
        assert todo == asked if refetch else todo <= asked
        self.wanted[job_id] = Wanted(where, todo, self.last_token if refetch else 0)

    @precondition(lambda self: self.wanted)
    @rule(data=st.data())
    def cancel(self, data: st.DataObject) -> None:
        job_id = data.draw(st.sampled_from(sorted(self.wanted)))
        del self.wanted[job_id]
        assert self.do(CancelJob(job_id=job_id)).code is Code.OK

    @rule(session=st.sampled_from(SESSIONS), limit=st.integers(1, 8))
    def acquire(self, session: str, limit: int) -> None:
        known = session in self.state.sessions
        reply = self.do(Acquire(session_id=session, limit=limit))
        assert reply.code is (Code.OK if known else Code.UNKNOWN_SESSION)

    @precondition(lambda self: self.live)
    @rule(
        data=st.data(),
        what=st.sampled_from(["complete", "fail", "limited", "permanent", "release", "renew"]),
    )
    def holder(self, data: st.DataObject, what: str) -> None:
        lease = self.live[data.draw(st.sampled_from(sorted(self.live)))]
        self._act(lease, what)

    @precondition(lambda self: self.ended)
    @rule(
        data=st.data(),
        what=st.sampled_from(["complete", "fail", "permanent", "release", "renew"]),
    )
    def late_holder(self, data: st.DataObject, what: str) -> None:
        lease = data.draw(st.sampled_from(self.ended))
        before = self.state
        reply = self._act(lease, what)
        assert reply.code in {Code.LATE, Code.UNKNOWN_TOKEN}
        assert self.state == before, "answered, not obeyed"

    def _act(self, lease: Lease, what: str) -> Reply:
        session, token = lease.session_id, lease.token
        commands: dict[str, AnyCommand] = {
            "complete": Complete(session_id=session, token=token),
            "fail": Fail(session_id=session, token=token, error_class="x", chance_ppm=500_000),
            "limited": Fail(
                session_id=session,
                token=token,
                error_class="x",
                rate_limited=True,
                retry_after_ms=700,
            ),
            "permanent": Fail(session_id=session, token=token, error_class="x", retriable=False),
            "release": Release(session_id=session, token=token),
            "renew": Renew(session_id=session, token=token),
        }
        return self.do(commands[what])

    @rule(elapsed_ms=st.sampled_from([-5, 0, 99, 100, 999, 1_000, 2_500]))
    def time_passes(self, elapsed_ms: int) -> None:
        self.do(Tick(elapsed_ms=elapsed_ms))

    @invariant()
    def the_machine_knows_what_the_model_knows(self) -> None:
        if not hasattr(self, "wanted"):
            return
        assert set(self.state.jobs) == set(self.wanted)
        for job_id, job in self.wanted.items():
            told = apply(self.state, QueryJob(job_id=job_id)).reply.job
            assert told is not None
            assert slots_of(*told.todo) == job.slots
            assert slots_of(*told.failed) == job.failed
        assert dict(self.state.leases).keys() == self.live.keys()

    @invariant()
    def live_windows_are_disjoint_wanted_and_few(self) -> None:
        if not hasattr(self, "state"):
            return
        for lane in self.state.lanes.values():
            assert lane.job_ids, "a lane without jobs is forgotten"
            live = [entry.window for entry in lane.waiting]
            live += [self.state.leases[token].window for token in lane.tokens]
            slots = [ts for window in live for ts in slots_of(window)]
            assert len(slots) == len(set(slots))
            # A retry that was cut into pieces may pass the limit by the pieces of its window.
            assert len(live) <= CONFIG.live_windows_max + WINDOW_BARS
        assert len(self.state.ended) <= CONFIG.ended_max

    def teardown(self) -> None:
        """Whatever happened: one patient worker ends every job."""
        if not hasattr(self, "state"):
            return
        self.do(OpenSession(session_id="patient", ttl_ms=3_600_000))
        for _ in range(SLOTS * len(self.wanted) + 50):
            reply = self.do(Acquire(session_id="patient", limit=6))
            for lease in reply.leases:
                self.do(Complete(session_id="patient", token=lease.token))
            if all(not job.slots for job in self.wanted.values()):
                break
            self.do(Tick(elapsed_ms=0 if reply.leases else (reply.wait_ms or 1_000)))
        assert all(not job.slots for job in self.wanted.values())


TestCoordinator = Coordinator.TestCase
TestCoordinator.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
