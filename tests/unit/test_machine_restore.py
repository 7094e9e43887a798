"""Snapshots of a replica: who starts from one goes on as the one that it comes from."""

import json

import pytest

from bars.errors import InvalidValueError
from coordinator.machine import (
    Code,
    MachineConfig,
    OpenSession,
    SubmitJob,
    Tick,
    apply,
    initial,
    replica,
    wire,
)
from coordinator.machine.replica import Replica
from tests.unit.machine_help import spec
from tests.unit.replica_help import ACQUIRE, Node, worked


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
