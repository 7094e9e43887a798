"""A leader's snapshot in the place of a log, as Raft's section 7 has it."""

from collections.abc import Iterator

import pytest

from coordinator._service.raft import snapshot
from coordinator._service.raft.snapshot import Snapshot
from coordinator.machine import MachineConfig, initial
from coordinator.machine.replica import Replica
from tests.unit.raft_help import FIRST, Bench, bench_world, entries


@pytest.fixture
def bench() -> Iterator[Bench]:
    """A follower of three that has heard of nobody."""
    with bench_world() as world:
        made = Bench(world)
        made.connect()
        yield made


def _snapshot_at(index: int, term: int) -> Snapshot:
    """Return what a node has after barriers up to an index."""
    replica = Replica(initial(1, MachineConfig()))
    before, last = entries(index - 1, 2, term)
    for entry in entries(2, index - 1, term):
        replica.apply(entry[0][1:])
    return Snapshot(previous=before, last=last, state=replica.snapshot())


def _install(bench: Bench, taken: Snapshot, *, term: int, commit: int) -> None:
    chunk = (snapshot.encode(taken), True, True)
    bench.hear("n1:1", type="append_entries", term=term, commit_index=commit, serialized=chunk)


def test_nothing_is_committed_while_a_snapshot_is_on_its_way(bench: Bench) -> None:
    """The log has not been compared: its tail was of a leader that lost."""
    bench.hear_append(FIRST, entries(2, 9, 1), term=1, commit=1)
    data = snapshot.encode(_snapshot_at(30, 2))
    bench.hear(
        "n2:1",
        type="append_entries",
        term=2,
        commit_index=30,
        serialized=(data[:100], True, False),
    )
    bench.turn()
    assert bench.core.raftCommitIndex == 1


def test_a_snapshot_takes_the_place_of_a_log_that_is_behind(bench: Bench) -> None:
    """Section 7; and what follows it is what the leader has, nothing is guessed."""
    bench.hear_append(FIRST, entries(2, 3, 1), term=1, commit=1)
    taken = _snapshot_at(30, 2)
    _install(bench, taken, term=2, commit=31)
    assert bench.log == [(29, 2), (30, 2)]
    assert bench.core.raftLastApplied == 30
    (answer,) = bench.said("next_node_idx")[-1:]
    assert (answer["success"], answer["next_node_idx"]) == (True, 31)
    bench.start()
    assert bench.core.raftLastApplied == 30
    assert bench.engine.replica.snapshot() == taken.state


def test_a_snapshot_keeps_entries_behind_it_that_agree(bench: Bench) -> None:
    """Section 7: they may be acknowledged, and some leader may have counted them."""
    bench.hear_append(FIRST, entries(2, 39, 1), term=1, commit=1)
    bench.said("")
    _install(bench, _snapshot_at(30, 1), term=1, commit=40)
    assert bench.log[0] == (29, 1)
    assert bench.log[-1] == (40, 1)
    (answer,) = bench.said("next_node_idx")
    assert answer["next_node_idx"] == 31, "the tail was not compared"


def test_a_snapshot_drops_entries_behind_it_that_contradict_it(bench: Bench) -> None:
    """Section 7: the log is another leader's."""
    bench.hear_append(FIRST, entries(2, 39, 1), term=1, commit=1)
    _install(bench, _snapshot_at(30, 2), term=2, commit=40)
    assert bench.log == [(29, 2), (30, 2)]


def test_an_old_snapshot_takes_nothing_back(bench: Bench) -> None:
    """It was sent for a refusal that is long past."""
    bench.hear_append(FIRST, entries(2, 39, 1), term=1, commit=40)
    bench.turn()
    before = bench.engine.replica.digest()
    _install(bench, _snapshot_at(30, 1), term=1, commit=40)
    assert bench.core.raftLastApplied == 40
    assert bench.log[-1] == (40, 1)
    assert bench.engine.replica.digest() == before


def test_a_damaged_snapshot_changes_nothing(bench: Bench) -> None:
    """It is asked for again; the log that stands is still good."""
    bench.hear_append(FIRST, entries(2, 9, 1), term=1, commit=10)
    bench.turn()
    bench.said("")
    data = bytearray(snapshot.encode(_snapshot_at(30, 1)))
    data[-1] ^= 1
    chunk = (bytes(data), True, True)
    bench.hear("n1:1", type="append_entries", term=1, commit_index=30, serialized=chunk)
    assert bench.core.raftLastApplied == 10
    assert bench.said("next_node_idx") == []
    assert bench.engine.refusals.by_reason() == {"snapshot_damaged": 1}
