"""The engine: what becomes an entry and when, what a proposer is told, when a node stops."""

import errno
import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import pairwise

import pytest

from coordinator._service.log import (
    NotLeaderError,
    StoppedLogError,
    UnknownOutcomeError,
)
from coordinator._service.raft import folder, snapshot
from coordinator._service.raft.core import APPLY_MAX
from coordinator._service.raft.engine import BATCH_MAX
from coordinator._service.raft.pace import SLOW_PAUSE_S, SLOW_SYNCS, Elapsed, SlowDisk
from coordinator._service.raft.proposal import Applied
from coordinator.machine import Code, OpenSession
from coordinator.machine.wire import decode_entry, decode_reply
from tests.simulation.disk import SimDisk
from tests.simulation.world import World
from tests.unit.raft_help import FIRST, Bench, bench_world, entries


@pytest.fixture
def world() -> Iterator[World]:
    """Time that only the test moves."""
    with bench_world() as made:
        yield made


@pytest.fixture
def leader(world: World) -> Bench:
    """A leader of three whose log is acknowledged."""
    bench = Bench(world)
    bench.lead()
    bench.turn()
    bench.acknowledge()
    return bench


def _commands(bench: Bench, after: int) -> list[tuple[str, str, int]]:
    """Return op, request id and time of the entries behind an index."""
    found = []
    for command, index, _ in bench.engine.journal[:]:
        if index > after and command[:1] == b"\x00":
            entry = decode_entry(command[1:])
            op = json.loads(command[1:])["command"]["op"]
            found.append((op, entry.request_id, entry.elapsed_ms))
    return found


def test_a_term_begins_with_a_tick_that_lets_no_time_pass(world: World) -> None:
    """Behind it nothing of an earlier leader counts; the time before is in others' entries."""
    bench = Bench(world)
    world.now = 500.0
    bench.lead()
    bench.propose("a")
    bench.turn(0.4)
    first, second = _commands(bench, 1)
    assert first == ("tick", "", 0)
    assert second[:2] == ("barrier", "a")
    assert second[2] < 1_000


def test_entries_carry_the_time_since_the_one_before(leader: Bench) -> None:
    """By the leader's own clock, to the millisecond, and nothing is counted twice."""
    last = leader.engine.journal.last_index
    leader.propose("a")
    leader.turn(0.1234)
    leader.propose("b")
    leader.propose("c")
    leader.turn(0.1)
    (_, a, first), (_, b, second), (_, c, third) = _commands(leader, last)
    assert (a, b, c, third) == ("a", "b", "c", 0)
    assert first >= 123
    assert 222 <= first + second <= 400


def test_a_command_is_answered_when_a_majority_holds_it(leader: Bench) -> None:
    """Not before; and the answer says where it stands and what the clock shows."""
    leader.propose("a", OpenSession(session_id="s", ttl_ms=5_000))
    leader.turn()
    assert leader.outcomes == {}
    leader.acknowledge()
    outcome = leader.outcomes["a"]
    assert isinstance(outcome, Applied)
    assert decode_reply(outcome.reply).code is Code.OK
    assert outcome.index == leader.engine.journal.last_index
    assert outcome.term == leader.core.raftCurrentTerm


def test_commands_that_come_together_wait_for_the_disk_once(leader: Bench) -> None:
    """Group commit: the disk is the slowest of all."""
    syncs = leader.engine.journal.syncs
    for number in range(50):
        leader.propose(f"c{number}")
    leader.turn()
    leader.acknowledge()
    assert len(leader.outcomes) == 50
    assert leader.engine.journal.syncs == syncs + 1


def test_what_is_committed_is_told_with_the_next_entries_or_at_once(leader: Bench) -> None:
    """Under load a message of its own for it would be every second one."""
    leader.propose("a")
    leader.turn()
    leader.said("")
    last = leader.engine.journal.last_index
    leader.propose("b")
    leader.acknowledge(last)
    told = leader.said("append_entries")
    assert [(m["commit_index"], len(m["entries"])) for m in told] == [(last, 1)] * 2
    leader.acknowledge(last + 1)
    told = leader.said("append_entries")
    assert [(m["commit_index"], len(m["entries"])) for m in told] == [(last + 1, 0)] * 2


def test_nothing_is_sent_before_the_journal_is_safe(leader: Bench) -> None:
    """What a peer is told must still be true after a power cut."""
    leader.transport.sent.clear()
    leader.propose("a")
    leader.disk.error_at = leader.disk.steps + 2
    with pytest.raises(StoppedLogError):
        leader.turn()
    assert leader.transport.sent == []


def test_a_node_alone_answers_for_nothing_that_is_not_safe(world: World) -> None:
    """It is its own majority, but only once the disk says so."""
    bench = Bench(world, nodes=1)
    bench.lead()
    bench.turn()
    bench.propose("a")
    bench.turn()
    assert bench.outcomes == {}
    assert bench.woken > 0, "nobody's answer would end the wait"
    syncs = bench.engine.journal.syncs
    bench.turn()
    assert isinstance(bench.outcomes["a"], Applied)
    assert bench.engine.journal.syncs > syncs


def test_a_turn_takes_so_many_commands_and_leaves_the_rest(leader: Bench) -> None:
    """A heartbeat must not wait for a thousand commands."""
    for number in range(BATCH_MAX + 5):
        leader.propose(f"c{number}")
    leader.turn()
    assert len(leader.engine.queue) == 5
    assert leader.engine.pending == BATCH_MAX + 5


def test_a_follower_names_the_leader(world: World) -> None:
    """By the address of its API."""
    bench = Bench(world)
    bench.connect()
    bench.hear_append(FIRST, entries(2, 1, 4), term=4, commit=1)
    bench.propose("a")
    bench.turn()
    outcome = bench.outcomes["a"]
    assert isinstance(outcome, NotLeaderError)
    assert outcome.leader_url == "http://n1:1"
    assert bench.engine.status.leader_url == "http://n1:1"
    assert bench.engine.status.leader_changes == 1


def test_a_leader_that_has_lost_its_majority_takes_nothing_in(leader: Bench) -> None:
    """It would only grow a tail that is taken back."""
    leader.disconnect()
    leader.propose("a")
    leader.turn()
    outcome = leader.outcomes["a"]
    assert isinstance(outcome, NotLeaderError)
    assert outcome.leader_url is None
    assert not leader.engine.status.is_leader


def test_who_waits_when_the_lead_is_lost_is_told_that_nobody_knows(leader: Bench) -> None:
    """The next leader may have the command, or not."""
    leader.propose("a")
    leader.turn()
    leader.hear_append(FIRST, [], term=leader.core.raftCurrentTerm + 1, commit=1)
    outcome = leader.outcomes["a"]
    assert isinstance(outcome, UnknownOutcomeError)
    assert outcome.request_id == "a"


def test_time_passes_by_itself_only_while_somebody_waits_for_it(leader: Bench) -> None:
    """Two entries a second for nothing would fill the disk of an idle cluster."""
    last = leader.engine.journal.last_index
    for _ in range(20):
        leader.turn(0.1)
        leader.acknowledge()
    assert _commands(leader, last) == []
    leader.propose("a", OpenSession(session_id="s", ttl_ms=60_000))
    leader.turn()
    leader.acknowledge()
    last = leader.engine.journal.last_index
    for _ in range(20):
        leader.turn(0.1)
        leader.acknowledge()
    ticks = [op for op, _, _ in _commands(leader, last)]
    assert ticks == ["tick"] * len(ticks)
    assert 3 <= len(ticks) <= 4


@pytest.mark.parametrize("code", [errno.EIO, errno.ENOSPC])
def test_a_failed_disk_stops_the_node_at_once(leader: Bench, code: int) -> None:
    """Those who wait are told, and it never turns again."""
    leader.propose("a")
    leader.turn()
    leader.propose("b")
    leader.disk.error, leader.disk.error_at = code, 0
    with pytest.raises(StoppedLogError, match="disk"):
        leader.turn()
    assert isinstance(leader.outcomes["a"], UnknownOutcomeError)
    leader.propose("c")
    with pytest.raises(StoppedLogError, match="disk"):
        leader.turn()
    assert leader.engine.failure is not None


def test_any_other_fault_stops_the_node_too(leader: Bench) -> None:
    """A node that goes on after it knows not what is worse than none."""
    leader.engine.replica.apply = None  # type: ignore[method-assign, assignment]
    leader.propose("a")
    leader.turn()
    with pytest.raises(TypeError):
        leader.acknowledge()
    assert leader.engine.failure is not None
    assert isinstance(leader.outcomes["a"], UnknownOutcomeError)


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
    early = bench.engine.replica.capture()
    bench.grow(25)
    before = bench.engine.digest
    bench.engine._publish_digest(10, early)
    assert bench.engine.digest == before


def test_a_leader_that_is_asked_to_gives_the_lead_away(leader: Bench) -> None:
    """To who has all of the log; commands wait a second for the new leader, and no longer."""
    leader.acknowledge(peers=("n1:1", "n2:1"))
    leader.said("")
    leader.engine.hand_over()
    leader.propose("a")
    leader.turn()
    assert leader.said("timeout_now") != []
    assert len(leader.engine.queue) == 1
    for _ in range(6):
        leader.turn(0.2)
        leader.acknowledge()
    assert len(leader.engine.queue) == 0, "nobody took the lead: it goes on"


def test_a_disk_that_is_slow_for_long_gives_the_lead_away_once_in_a_while() -> None:
    """One slow write is nothing; where all disks are slow, somebody has to lead."""
    slow = SlowDisk()
    asked = [slow.should_hand_over(number, 0.2, 100.0 + number) for number in range(1, 30)]
    assert asked.index(True) == SLOW_SYNCS - 1
    assert asked.count(True) == 1
    assert not slow.should_hand_over(29, 0.2, 200.0), "the same write twice is one"
    later = 100.0 + SLOW_SYNCS + SLOW_PAUSE_S
    again = [slow.should_hand_over(30 + n, 0.2, later + n) for n in range(SLOW_SYNCS + 1)]
    assert again.count(True) == 1
    quick = SlowDisk()
    times = [0.2, 0.2, 0.2, 0.2, 0.01] * 4
    assert not any(quick.should_hand_over(n, s, float(n)) for n, s in enumerate(times, 1))


def test_elapsed_time_loses_no_part_of_a_millisecond_and_never_runs_ahead() -> None:
    """A thousand entries a second must not stop the clock."""
    elapsed = Elapsed()
    elapsed.begin(10.0)
    total = sum(elapsed.take(10.0 + n * 0.0003) for n in range(1, 10_001))
    assert total == 3_000
