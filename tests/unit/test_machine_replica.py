"""A replica: every entry gets an answer, the same on every node, whatever the entry holds."""

import json
import re
from collections.abc import Sequence
from dataclasses import replace

import pytest

from bars.errors import InvalidValueError
from coordinator.machine import (
    Acquire,
    AnyCommand,
    Barrier,
    Code,
    Complete,
    Event,
    JobSubmitted,
    MachineConfig,
    OpenSession,
    Policy,
    Reply,
    SetPolicy,
    SubmitJob,
    Tick,
    apply,
    initial,
    replica,
    wire,
)
from coordinator.machine.replica import Replica
from tests.unit.machine_help import spec, target

SUBMIT = SubmitJob(spec=spec("job", 0, 100))
ACQUIRE = Acquire(session_id="w")


class Node:
    """A replica with a session `w`, and what goes into it."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.replica = Replica(initial(1, MachineConfig()), self.events.extend)
        self.do(OpenSession(session_id="w", ttl_ms=3_600_000))

    def bytes_of(
        self, command: AnyCommand, request_id: str = "", term: int = 1, elapsed_ms: int = 0
    ) -> bytes:
        entry = wire.Entry(term=term, elapsed_ms=elapsed_ms, request_id=request_id, command=command)
        data = self.replica.apply(wire.encode_entry(entry))
        assert self.replica.reply in {None, wire.decode_reply(data)}, "the value says the same"
        return data

    def do(
        self, command: AnyCommand, request_id: str = "", term: int = 1, elapsed_ms: int = 0
    ) -> Reply:
        return wire.decode_reply(self.bytes_of(command, request_id, term, elapsed_ms))


def test_an_entry_of_a_replaced_leader_changes_nothing_not_even_time() -> None:
    """A deposed leader that wakes must not expire what its successor has renewed."""
    node = Node()
    node.do(Tick(), term=5)
    before = node.replica.state
    reply = node.do(Tick(), term=4, elapsed_ms=4_000)
    assert (reply.code, reply.message) == (Code.STALE_LEADER, "term is 5, was 4")
    assert node.replica.state == before
    assert node.replica.counts.stale == 1
    assert node.do(Tick(), term=5, elapsed_ms=1).code is Code.OK


@pytest.mark.parametrize(("elapsed_ms", "passed_ms"), [(-9, 0), (7, 7), (10**9, 5_000)])
def test_an_entry_lets_no_more_time_pass_than_five_seconds(elapsed_ms: int, passed_ms: int) -> None:
    node = Node()
    node.do(Tick(), elapsed_ms=elapsed_ms)
    assert node.replica.state.clock_ms == passed_ms


def test_a_barrier_changes_nothing_but_time() -> None:
    node = Node()
    before = node.replica.state
    assert node.do(Barrier(), elapsed_ms=70).code is Code.OK
    assert node.replica.state == replace(before, clock_ms=70)


# Requests that come again


def test_a_request_that_comes_again_is_answered_byte_for_byte_and_not_obeyed() -> None:
    node = Node()
    node.do(SUBMIT)
    first = node.bytes_of(ACQUIRE, "r1")
    before = node.replica.state
    told = node.replica.reply
    assert node.bytes_of(ACQUIRE, "r1") == first
    assert told is not None
    assert node.replica.reply is None, "the machine has said something else this time"
    assert node.replica.state == before
    assert node.replica.counts.repeated == 1
    assert node.bytes_of(ACQUIRE, "r2") != first


def test_a_request_that_comes_again_lets_time_pass() -> None:
    node = Node()
    node.do(Tick(), "r1", elapsed_ms=10)
    node.do(Tick(), "r1", elapsed_ms=10)
    assert node.replica.state.clock_ms == 20


def test_a_refusal_is_remembered_like_every_answer() -> None:
    node = Node()
    gone = Acquire(session_id="gone")
    refusal = node.bytes_of(gone, "r1")
    node.do(OpenSession(session_id="gone", ttl_ms=10_000))
    assert node.bytes_of(gone, "r1") == refusal


def test_an_entry_without_an_id_is_obeyed_whenever_it_comes() -> None:
    node = Node()
    node.do(SUBMIT)
    assert node.do(ACQUIRE).leases != node.do(ACQUIRE).leases


def test_what_a_replaced_leader_was_told_is_not_remembered() -> None:
    node = Node()
    node.do(SUBMIT, term=5)
    assert node.do(ACQUIRE, "r1", term=4).code is Code.STALE_LEADER
    assert node.do(ACQUIRE, "r1", term=5).leases


def test_answers_are_remembered_for_ten_minutes_of_the_replicated_clock() -> None:
    node = Node()
    node.do(SUBMIT)
    first = node.bytes_of(ACQUIRE, "r1")
    for _ in range(119):
        node.do(Tick(), elapsed_ms=5_000)
    assert node.bytes_of(ACQUIRE, "r1", elapsed_ms=4_999) == first
    assert node.bytes_of(ACQUIRE, "r1", elapsed_ms=1) != first


@pytest.mark.parametrize("bound", ["number", "bytes"])
def test_answers_remembered_are_bounded_in_number_and_in_bytes(
    bound: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    node = Node()
    node.do(SUBMIT)
    size = len(node.bytes_of(Tick(), "size"))
    if bound == "number":
        monkeypatch.setattr(replica, "REMEMBERED_MAX", 3)
    else:
        monkeypatch.setattr(replica, "REMEMBERED_BYTES_MAX", 3 * size)
    for number in range(5):
        node.do(Tick(), f"r{number}")
    repeated = node.replica.counts.repeated
    for number in (4, 3, 2):
        node.do(Tick(), f"r{number}")
    assert node.replica.counts.repeated == repeated + 3
    node.do(Tick(), "r1")
    assert node.replica.counts.repeated == repeated + 3


# What nobody can read


@pytest.mark.parametrize(
    ("data", "code", "told"),
    [
        (b"", Code.INVALID, "document must be JSON in UTF-8"),
        (b"\xff", Code.INVALID, "document must be JSON in UTF-8"),
        (b"[" * 100_000, Code.INVALID, "document must be JSON in UTF-8"),
        (b"[]", Code.INVALID, "document must be an object, was []"),
        (b"{}", Code.INVALID, "v must be the version, 1, was None"),
        (b'{"v":true}', Code.INVALID, "v must be the version, 1, was True"),
        (b'{"v":1,"term":1}', Code.INVALID, "elapsed_ms must be given, was None"),
        (
            b'{"v":1,"term":1,"elapsed_ms":' + b"9" * 5_000 + b',"request_id":""}',
            Code.INVALID,
            "document must be JSON",
        ),
    ],
)
def test_an_entry_that_cannot_be_read_is_refused_and_counted(
    data: bytes, code: Code, told: str
) -> None:
    node = Node()
    before = node.replica.state
    reply = wire.decode_reply(node.replica.apply(data))
    assert reply.code is code
    assert reply.message.startswith(told)
    assert len(reply.message) < 700
    assert node.replica.state == before
    assert node.replica.counts.unreadable == 1


HEAD = b'{"v":1,"term":1,"elapsed_ms":0,"request_id":"",'
POLICY = wire.encode_entry(
    wire.Entry(
        term=1,
        elapsed_ms=0,
        command=SetPolicy(target=target(), version=0, policy=Policy.ANY, reason="x"),
    )
)


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (b'{"v":2}', "v must be 1, was 2"),
        (HEAD + b'"command":{"op":"later"}}', "command.op must be one of tick, barrier,"),
        (HEAD + b'"command":{"op":"tick","x":1}}', "command.x must be one of , was 1"),
        (HEAD + b'"more":1,"command":{"op":"tick"}}', "more must be one of term"),
        (POLICY.replace(b'"any"', b'"oldest_first"'), "command.policy must be one of any"),
    ],
)
def test_what_a_newer_program_has_written_ends_the_replica(data: bytes, told: str) -> None:
    """Others obey it: who refuses it and goes on holds another state than they do."""
    node = Node()
    with pytest.raises(wire.UnsupportedVersionError, match=re.escape(told)):
        node.replica.apply(data)


def test_a_snapshot_with_names_of_a_newer_program_is_told_from_a_damaged_one() -> None:
    snapshot = worked().replica.snapshot()
    newer = snapshot.replace(b'"counter":', b'"newer":1,"counter":')
    with pytest.raises(wire.UnsupportedVersionError, match=r"state\.newer must be one of"):
        Node().replica.restore(newer)


def test_a_request_id_is_no_longer_than_200_characters() -> None:
    node = Node()
    assert node.do(Tick(), "r" * 200).code is Code.OK
    assert node.do(Tick(), "r" * 201).code is Code.INVALID


def test_a_fault_of_the_machine_is_an_answer_and_changes_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A log that meets an exception applies the entry again, for ever."""

    def broken(*_: object) -> None:
        raise ZeroDivisionError

    node = Node()
    before = node.replica.state
    with monkeypatch.context() as patch:
        patch.setattr(replica, "apply", broken)
        reply = node.do(SUBMIT, "r1")
    assert (reply.code, reply.message) == (Code.BROKEN, "ZeroDivisionError")
    assert node.replica.state == before
    assert node.replica.counts.broken == 1
    assert node.do(SUBMIT, "r1").code is Code.OK, "it was not remembered"


def test_who_listens_badly_changes_nothing() -> None:
    def deaf(_events: Sequence[Event]) -> None:
        raise RuntimeError

    node = Node()
    deaf_one = Replica(node.replica.state, deaf)
    entry = wire.encode_entry(wire.Entry(term=1, elapsed_ms=0, command=SUBMIT))
    assert wire.decode_reply(deaf_one.apply(entry)).code is Code.OK
    assert deaf_one.counts.deaf == 1


def test_events_are_told_when_the_state_has_them() -> None:
    node = Node()
    node.do(SUBMIT)
    assert isinstance(node.events[-1], JobSubmitted)


# Snapshots


def worked() -> Node:
    node = Node()
    node.do(SUBMIT, "submit", elapsed_ms=5)
    for number in range(4):
        (lease,) = node.do(ACQUIRE, f"a{number}", elapsed_ms=10).leases
        if number % 2:
            node.do(Complete(session_id="w", token=lease.token), f"c{number}")
    return node


def test_a_replica_that_was_restored_goes_on_like_the_one_it_comes_from() -> None:
    node, other = worked(), Node()
    other.replica.restore(node.replica.snapshot())
    assert other.replica.digest() == node.replica.digest()
    assert other.bytes_of(ACQUIRE, "a3") == node.bytes_of(ACQUIRE, "a3")
    assert other.bytes_of(ACQUIRE, "new") == node.bytes_of(ACQUIRE, "new")
    assert other.do(Tick(), term=0).code is Code.STALE_LEADER
    node.do(Tick(), term=0)
    assert other.replica.snapshot() == node.replica.snapshot()
    assert other.replica.applied == node.replica.applied == 11


def test_a_replica_that_was_restored_forgets_answers_at_the_same_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    node, other = Node(), Node()
    size = len(node.bytes_of(Tick(), "r0"))
    monkeypatch.setattr(replica, "REMEMBERED_BYTES_MAX", 3 * size)
    for number in range(1, 3):
        node.do(Tick(), f"r{number}")
    other.replica.restore(node.replica.snapshot())
    for each in (node, other):
        each.do(Tick(), "r3")
    assert other.replica.snapshot() == node.replica.snapshot()


def test_a_digest_tells_replicas_apart_that_have_answered_differently() -> None:
    node, other = worked(), worked()
    assert node.replica.digest() == other.replica.digest()
    node.do(Tick(), term=0)
    other.do(Tick())
    assert node.replica.state == other.replica.state
    assert node.replica.digest() != other.replica.digest()


def test_a_digest_takes_nothing_that_has_gone_for_what_came_in_its_place() -> None:
    """Values that go give their places in memory to those that come."""
    node = Replica(initial(1, MachineConfig()))
    for number in range(100):
        command = OpenSession(session_id=f"s{number}", ttl_ms=60_000)
        node.state = initial(1, MachineConfig())  # nothing of the state before is alive now
        node.state = apply(node.state, command).state
        assert len(node.state.sessions) == 1
        assert node.digest() == Replica(node.state).digest()


def test_a_capture_stays_as_it_was() -> None:
    node = worked()
    capture = node.replica.capture()
    digest, snapshot = capture.digest(), capture.snapshot()
    node.do(ACQUIRE)
    assert (capture.digest(), capture.snapshot()) == (digest, snapshot)
    assert capture.applied == node.replica.applied - 1


def test_a_snapshot_keeps_the_configuration_that_the_replicas_began_with() -> None:
    """Defaults of a later program must not part a node that restarts from those that do not."""
    document = json.loads(Replica(initial(1, MachineConfig())).snapshot())
    assert document["state"]["config"]["lease_ttl_ms"] == 120_000
    assert len(document["state"]["config"]) == 21


@pytest.mark.parametrize(
    ("path", "value", "told"),
    [
        (("state", "clock_ms"), "x", "state.clock_ms must be a whole number of 64 bits"),
        (("state", "lanes"), [], "state.jobs must be of a lane in lanes, was 'job'"),
        (("state", "jobs"), [], "state.lanes must be a lane with jobs, was 'n|1|bf:s'"),
        (("state", "config", "max_attempts"), 0, "state.config.max_attempts must be"),
        (("rest", "said"), None, "rest.said must be a list, was None"),
        (("rest",), 3, "rest must be an object, was 3"),
    ],
)
def test_what_is_no_snapshot_is_refused_and_changes_nothing(
    path: tuple[str, ...], value: object, told: str
) -> None:
    document = json.loads(worked().replica.snapshot())
    inner = document
    for name in path[:-1]:
        inner = inner[name]
    inner[path[-1]] = value
    node = Node()
    before = node.replica.snapshot()
    with pytest.raises(InvalidValueError) as refused:
        node.replica.restore(json.dumps(document).encode())
    assert str(refused.value).startswith(told)
    assert node.replica.snapshot() == before


def test_a_snapshot_of_another_version_is_refused() -> None:
    data = worked().replica.snapshot().replace(b'"v":1}', b'"v":2}')
    with pytest.raises(wire.UnsupportedVersionError, match="v must be 1, was 2"):
        Node().replica.restore(data)


def test_every_order_of_jobs_survives_a_snapshot() -> None:
    """They are written by name, and served as they came."""
    node, other = Node(), Node()
    for name in ("b", "c", "a"):
        node.do(SubmitJob(spec=spec(name, 0, 10)))
    other.replica.restore(node.replica.snapshot())
    assert other.do(ACQUIRE).leases[0].job_ids == ("b", "c", "a")
