"""The machine against a model, under every order of commands that Hypothesis thinks of."""

from dataclasses import replace
from hashlib import sha256

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import invariant, precondition, rule

from bars.window import Window
from coordinator.machine import (
    Acquire,
    AnyCommand,
    BumpEpoch,
    ClaimWindow,
    CloseSession,
    Code,
    Complete,
    Configure,
    EndClaim,
    ForceComplete,
    LeaseEnd,
    OpenSession,
    PauseLane,
    Policy,
    QueryJob,
    Requeue,
    ResumeLane,
    Resync,
    Revoke,
    SeriesLane,
    SetPolicy,
    SubmitJob,
    Tick,
    Unpoison,
    apply,
    epoch_of,
    wire,
)
from coordinator.machine._apply import indexed
from coordinator.machine._codec import codec_of
from coordinator.machine.replica import _Rest
from coordinator.machine.views import completion, poisoned_in, total, window_token
from tests.property.machine_holders import (
    CONFIG,
    SLOTS,
    WINDOW_BARS,
    Holders,
    ranges,
    targets,
    windows,
)
from tests.property.machine_model import claims_of, slots_of

WHOLE = Window(0, SLOTS)


class Coordinator(Holders):
    """Jobs come and go, holders are clumsy, people meddle; the model follows the events."""

    def order(self, command: AnyCommand, *, stands: bool) -> Code:
        """Do what a person orders; what does not expect what stands changes nothing."""
        before = self.state
        reply = self.do(command)
        if not stands:
            assert reply.code is Code.CONFLICT
            assert self.state == before
        return reply.code

    @precondition(lambda self: self.wanted)
    @rule(data=st.data(), parts=ranges)
    def its_author_submits_a_job_again(
        self, data: st.DataObject, parts: list[tuple[int, int]]
    ) -> None:
        """The answer was lost: whatever has happened since, and whatever it lacks now."""
        known = self.state.jobs[data.draw(st.sampled_from(sorted(self.wanted)))]
        missing = tuple(Window(*part) for part in parts)
        reply = self.do(SubmitJob(spec=replace(known.spec, missing=missing)))
        assert reply.code is Code.OK
        assert self.state.jobs[known.spec.job_id] == known

    @precondition(lambda self: self.live)
    @rule(data=st.data(), known=st.booleans())
    def revoke(self, data: st.DataObject, known: bool) -> None:
        lease = self.live[data.draw(st.sampled_from(sorted(self.live)))]
        window = lease.window if known else Window(lease.window.start, lease.window.end + 1)
        self.order(Revoke(token=lease.token, window=window, reason="x"), stands=known)
        assert (lease.token in self.live) != known

    @rule(where=targets, window=windows, known=st.booleans())
    def requeue(self, where: SeriesLane, window: Window, known: bool) -> None:
        token = window_token(self.state, where, window) + (not known)
        self.order(Requeue(target=where, window=window, token=token, reason="x"), stands=known)

    @rule(where=targets, window=windows, known=st.booleans())
    def unpoison(self, where: SeriesLane, window: Window, known: bool) -> None:
        token = window_token(self.state, where, window) + (not known)
        command = Unpoison(target=where, window=window, token=token, reason="x")
        if self.order(command, stands=known) is not Code.OK:
            return
        assert not poisoned_in(self.state, where, window)
        for job in self._jobs(where):
            job.slots |= job.failed & slots_of(window)
            job.failed -= slots_of(window)

    @rule(where=targets, window=windows, known=st.booleans())
    def force_complete(self, where: SeriesLane, window: Window, known: bool) -> None:
        command = ForceComplete(
            target=where,
            window=window,
            token=window_token(self.state, where, window) + (not known),
            evidence="seen",
            reason="x",
        )
        if self.order(command, stands=known) is not Code.OK:
            return
        if where.key in self.state.lanes:
            self.lanes[where].forced |= slots_of(window)
        for lease in self.live.values():
            assert lease.target != where or not lease.window.intersect(window)

    @rule(
        where=targets,
        covered=st.lists(windows, max_size=3),
        judged=st.one_of(st.just(2**40), st.integers(-1, 40)),
    )
    def resync(self, where: SeriesLane, covered: list[Window], judged: int) -> None:
        lane = self.lanes.get(where)
        before = dict(lane.offsets) if lane else {}
        command = Resync(target=where, covered=tuple(covered), judged=judged)
        assert self.do(command).code is Code.OK
        undone = set(before) - set(lane.offsets if lane else ())
        spared = slots_of(*covered) | (lane.forced if lane else set())
        assert not undone & spared
        assert all(before[ts] < judged for ts in undone), "its chunk has been judged"
        if judged == 2**40:
            assert undone == set(before) - spared

    @rule(where=targets, known=st.booleans(), what=st.sampled_from([*Policy, "pause", "resume"]))
    def lane_rule(self, where: SeriesLane, known: bool, what: str) -> None:
        rule = self.state.rules.get(where.key)
        version = (rule.version if rule else 0) + (not known)
        command: AnyCommand
        if what == "pause":
            command = PauseLane(target=where, version=version, reason="x")
        elif what == "resume":
            command = ResumeLane(target=where, version=version, reason="x")
        else:
            policy = Policy(what)
            command = SetPolicy(target=where, version=version, policy=policy, reason="x")
        self.order(command, stands=known)

    @rule(
        known=st.booleans(),
        ttl_ms=st.sampled_from([500, 1_000, 3_000]),
        few=st.sampled_from([2, 5]),
    )
    def configure(self, known: bool, ttl_ms: int, few: int) -> None:
        config = replace(CONFIG, lease_ttl_ms=ttl_ms, ageing_ms=3 * ttl_ms, ended_max=few)
        version = self.state.config_version + (not known)
        self.order(Configure(config=config, version=version, reason="x"), stands=known)
        assert (self.state.config == config) or not known

    # The older protocol

    @rule(where=targets, window=windows, name=st.sampled_from(["old 1", "old 2", "old 3"]))
    def claim(self, where: SeriesLane, window: Window, name: str) -> None:
        series, before = where.series, self.state
        held = [lease.window for lease in self.live.values() if lease.target.series == series]
        taken = slots_of(*held, *claims_of(before, series))
        command = ClaimWindow(session_id=name, ttl_ms=2_000, series=series, window=window)
        reply = self.do(command)
        if name in before.sessions or taken & slots_of(window):
            assert reply.code is Code.CONFLICT
            assert self.state == before
            return
        assert reply.code is Code.OK
        assert reply.found is not None
        assert reply.found > self.last_token, "tokens only grow, over both protocols"
        self.last_token = reply.found

    @precondition(lambda self: any(s.claim for s in self.state.sessions.values()))
    @rule(data=st.data(), known=st.booleans(), keeps=st.booleans())
    def end_claim(self, data: st.DataObject, known: bool, keeps: bool) -> None:
        claims = {name: s.claim for name, s in self.state.sessions.items() if s.claim}
        name = data.draw(st.sampled_from(sorted(claims)))
        if keeps:  # As nobody does by that protocol: the claim is kept as well.
            self.do(OpenSession(session_id=name, ttl_ms=2_000))
        before, token = self.state, claims[name].token + (not known)
        reply = self.do(EndClaim(session_id=name, token=token))
        assert reply.code is (Code.OK if known else Code.UNKNOWN_TOKEN)
        assert (self.state == before) != known
        assert (name in self.state.sessions) != known

    @rule(more=st.integers(1, 3), known=st.booleans())
    def bump_epoch(self, more: int, known: bool) -> None:
        epoch = self.state.epoch
        expected = epoch if known else epoch + 1
        self.order(BumpEpoch(epoch=epoch + more, expected=expected, reason="x"), stands=known)
        if known:
            assert not self.live
            assert not any(session.claim for session in self.state.sessions.values())
            assert epoch_of(self.state.last_token) == epoch + more

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
            assert 0 <= told.bars_done <= told.bars
        assert dict(self.state.leases).keys() == self.live.keys()
        for target, lane in self.lanes.items():
            assert slots_of(*self.state.lanes[target.key].done) == set(lane.offsets)

    @invariant()
    def live_windows_are_disjoint_wanted_and_few(self) -> None:
        if not hasattr(self, "wanted"):
            return
        for lane in self.state.lanes.values():
            assert lane.job_ids, "a lane without jobs is forgotten"
            live = [entry.window for entry in lane.waiting]
            live += [self.state.leases[token].window for token in lane.tokens]
            slots = [ts for window in live for ts in slots_of(window)]
            assert len(slots) == len(set(slots))
            # A window that was cut into pieces may pass the limit by the pieces.
            assert len(live) <= CONFIG.live_windows_max * WINDOW_BARS
        assert len(self.state.ended) <= CONFIG.ended_max
        assert len(self.state.poisoned) <= CONFIG.poisoned_max

    @invariant()
    def the_index_follows_from_the_facts(self) -> None:
        if hasattr(self, "wanted"):
            assert self.state.index == indexed(self.state).index

    @invariant()
    def a_digest_is_that_of_the_whole_text_whatever_was_written_before(self) -> None:
        """Nodes that digest at other places, or were restored lately, must be comparable."""
        if not hasattr(self, "wanted"):
            return
        captured = self.replica.capture()
        state = wire.state_document(self.state)
        whole = wire.pack({"chain": self.replica._chain, "state": state})
        assert captured.digest() == sha256(whole).hexdigest()
        document = wire.unpack(captured.snapshot())
        rest: _Rest = codec_of(_Rest).decode(document["rest"], "rest")
        assert replace(rest, said=()) == captured._rest
        kept = self.replica._said.items()
        told = [(said.request_id, said.clock_ms, len(said.text)) for said in rest.said]
        assert told == [(name, each.clock_ms, each.chars) for name, each in kept]
        written = codec_of(_Rest).encode(rest)
        assert captured.snapshot() == wire.pack({"state": state, "rest": written})

    @invariant()
    def watermarks_only_move_forward(self) -> None:
        if not hasattr(self, "wanted"):
            return
        marks = {key: lane.watermark for key, lane in self.state.lanes.items()}
        for key, mark in getattr(self, "marks", {}).items():
            now = marks.get(key)
            assert mark is None or now is None or now >= mark
        self.marks = marks

    def teardown(self) -> None:
        """Whatever happened: one patient worker ends every job."""
        if not hasattr(self, "wanted"):
            return
        for known in tuple(self.state.rules.values()):
            self.do(ResumeLane(target=known.target, version=known.version, reason="the end"))
        for session in tuple(self.state.sessions.values()):
            if session.claim is not None:
                self.do(CloseSession(session_id=session.session_id))
        self.do(OpenSession(session_id="patient", ttl_ms=3_600_000))
        for _ in range(SLOTS * len(self.wanted) + 50):
            reply = self.do(Acquire(session_id="patient", limit=6))
            for lease in reply.leases:
                self.do(Complete(session_id="patient", token=lease.token))
            if all(not job.slots for job in self.wanted.values()):
                break
            self.do(Tick(elapsed_ms=0 if reply.leases else (reply.wait_ms or 1_000)))
        assert all(not job.slots for job in self.wanted.values())
        if not any(job.failed for job in self.wanted.values()):
            assert total(completion(self.state).values()).ratio == 1.0
        ends = {each.end for each in self.state.ended.values()}
        assert ends <= set(LeaseEnd)


TestCoordinator = Coordinator.TestCase
TestCoordinator.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
