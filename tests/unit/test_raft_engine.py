"""The engine: what becomes an entry and when, what a proposer is told, when a node stops."""

import errno
import json
from collections.abc import Iterator

import pytest

from coordinator._service.log import NotLeaderError, StoppedLogError, UnknownOutcomeError
from coordinator._service.raft.engine import BATCH_MAX
from coordinator._service.raft.pace import SLOW_PAUSE_S, SLOW_SYNCS, Elapsed, SlowDisk
from coordinator._service.raft.proposal import Applied
from coordinator.machine import Code, OpenSession
from coordinator.machine.wire import decode_entry, decode_reply
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
