"""A log that has grown gives way to a snapshot, and what is applied meanwhile comes in parts."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import pairwise

import pytest

from coordinator._service.raft import folder, snapshot
from coordinator._service.raft.core import APPLY_MAX
from coordinator.machine import OpenSession
from tests.simulation.disk import SimDisk
from tests.simulation.world import World
from tests.unit.raft_help import FIRST, Bench, bench_world, entries, leader_of


@pytest.fixture
def world() -> Iterator[World]:
    """Time that only the test moves."""
    with bench_world() as made:
        yield made


@pytest.fixture
def leader(world: World) -> Bench:
    """A leader of three whose log is acknowledged."""
    return leader_of(world)


def test_a_log_that_has_grown_gives_way_to_a_snapshot(world: World) -> None:
    """And the node starts from it."""
    bench = Bench(world, nodes=1, compact_entries=20)
    bench.lead()
    bench.turn()
    bench.propose("s", OpenSession(session_id="s", ttl_ms=60_000))
    bench.grow(40)
    assert bench.engine.journal.first_index > 20
    before = bench.engine.replica.digest(), bench.core.raftLastApplied
    assert bench.disk.read(folder.SNAPSHOT) is not None
    bench.start()
    bench.lead()
    bench.turn()
    assert "s" in bench.engine.replica.state.sessions
    assert bench.core.raftLastApplied >= before[1]


def test_a_log_gives_way_to_one_snapshot_at_a_time(world: World) -> None:
    """While one is written down the log goes on to grow: that is no reason for another."""
    tasks: list[Callable[[], None]] = []
    bench = Bench(world, nodes=1, compact_entries=20)
    bench.lead()
    bench.core._store.spawn = tasks.append
    bench.grow(50)
    assert len(tasks) == 1
    tasks[0]()
    bench.grow(5)
    assert len(tasks) == 2, "what has come meanwhile is enough for the next one"
    tasks[1]()
    bench.grow(5)
    assert len(tasks) == 2
    assert bench.engine.journal.last_index - bench.engine.journal.first_index < 20


def test_a_log_as_configured_by_itself_never_holds_much_more_than_five_thousand(
    world: World,
) -> None:
    """What is in it is read and applied again at every start, before the node is of use."""
    bench = Bench(world, nodes=1)
    bench.lead()
    bench.grow(5_050)
    assert bench.disk.read(folder.SNAPSHOT) is not None
    assert bench.engine.journal.last_index - bench.engine.journal.first_index < 100


def test_the_nodes_of_a_cluster_give_their_logs_way_one_after_the_other(world: World) -> None:
    """Each is slow while it does; and none keeps much longer a log than the others."""
    settings = Bench(world).settings
    found = [replace(settings, node_id=m.node_id).compact_at for m in settings.members]
    assert found == sorted(set(found))
    assert found[0] == 5_000
    assert found[-1] < 7_500


def test_a_follower_with_much_to_apply_answers_its_leader_in_between(world: World) -> None:
    """Applied in one turn, a log of some seconds would make the node silent for as long."""
    bench = Bench(world)
    bench.connect()
    last = 1 + 2 * APPLY_MAX + 10
    much = entries(2, last - 1, 1)
    bench.hear_append(FIRST, much, term=1, commit=last)
    applied = []
    while bench.core.raftLastApplied < last:
        bench.turn(0.01)
        applied.append(bench.core.raftLastApplied)
        bench.said("")
        bench.hear_append(much[-1], [], term=1, commit=last)
        assert len(bench.said("next_node_idx")) == 1
        assert bench.engine.status.commit_index == last, "what is committed stays so"
    assert applied == [1 + APPLY_MAX, 1 + 2 * APPLY_MAX, last]


def test_a_node_that_starts_applies_its_log_in_parts_and_makes_one_snapshot_of_it(
    world: World,
) -> None:
    """A snapshot of each part would be as many rewritten journals, before it is of use."""
    bench = Bench(world, nodes=1)
    bench.lead()
    bench.grow(4 * APPLY_MAX)
    before = bench.core.raftLastApplied
    bench.settings = replace(bench.settings, compact_entries=20)
    bench.start()
    tasks: list[Callable[[], None]] = []
    bench.core._store.spawn = tasks.append
    parts = [bench.core.raftLastApplied]
    while bench.core.behind:
        bench.turn(0.001)
        parts.append(bench.core.raftLastApplied)
        assert not (tasks and bench.core.behind)
    assert len(parts) >= 4
    assert max(b - a for a, b in pairwise(parts)) <= APPLY_MAX
    bench.lead()
    bench.turn()
    assert len(tasks) == 1
    assert bench.core.raftLastApplied == bench.core.raftCommitIndex >= before


def test_the_document_of_a_node_is_a_snapshot_that_another_can_start_from(leader: Bench) -> None:
    """What a person takes for a backup."""
    leader.propose("s", OpenSession(session_id="s", ttl_ms=60_000))
    leader.turn()
    leader.acknowledge()
    taken = snapshot.decode(leader.engine.document()())
    assert taken.index == leader.core.raftLastApplied
    disk = SimDisk(leader.world.chance("other"))
    folder.seed(disk, "n0:1", taken)
    other = Bench(leader.world, disk=disk)
    assert other.engine.replica.digest() == leader.engine.replica.digest()
    assert other.core.raftLastApplied == taken.index


def test_even_a_node_that_has_applied_nothing_has_a_document(world: World) -> None:
    """A folder that is made from it begins like a new one."""
    bench = Bench(world)
    taken = snapshot.decode(bench.engine.document()())
    disk = SimDisk(world.chance("other"))
    folder.seed(disk, "n0:1", taken)
    assert Bench(world, disk=disk).log[-1] == (1, 0)


def test_digests_are_taken_at_the_same_entries_everywhere(world: World) -> None:
    """Two nodes can be compared only at an index that both have a digest of."""
    bench = Bench(world, nodes=1, digest_every=10)
    bench.lead()
    bench.grow(25)
    index, digest = bench.engine.digest
    assert index == 20
    assert digest != bench.engine.replica.digest()


def test_a_digest_that_took_longer_does_not_undo_a_later_one(world: World) -> None:
    """The first one after a restart writes everything down, those behind it do not."""
    bench = Bench(world, nodes=1, digest_every=10)
    bench.lead()
    early = bench.engine.replica.digest()
    bench.grow(25)
    before = bench.engine.digest
    bench.engine._publish_digest(10, early)
    assert bench.engine.digest == before
