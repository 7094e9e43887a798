"""The rules of Raft that PySyncObj leaves out, each as the message after which it would be broken.

Sections are those of Ongaro and Ousterhout, "In Search of an Understandable Consensus Algorithm"
(extended version, 2014).
"""

import pickle
from collections.abc import Iterator

import pytest

from coordinator._service.raft.core import HEARD_S, UnsafeLogError
from tests.unit.raft_help import FIRST, Bench, bench_world, command, entries


@pytest.fixture
def bench() -> Iterator[Bench]:
    """A follower of three that has heard of nobody."""
    with bench_world() as world:
        made = Bench(world)
        made.connect()
        yield made


def test_entries_that_come_again_take_nothing_back(bench: Bench) -> None:
    """Section 5.3: entries are dropped when they contradict; those behind may be acknowledged."""
    bench.hear_append(FIRST, entries(2, 9, 1), term=1, commit=1)
    bench.hear_append(FIRST, entries(2, 3, 1), term=1, commit=1)
    assert bench.log[-1] == (10, 1)


def test_a_heartbeat_takes_nothing_back(bench: Bench) -> None:
    """It carries no entry that could contradict."""
    bench.hear_append(FIRST, entries(2, 9, 1), term=1, commit=1)
    bench.hear_append(entries(4, 1, 1)[0], [], term=1, commit=1)
    assert bench.log[-1] == (10, 1)


def test_entries_that_contradict_take_back_what_they_contradict(bench: Bench) -> None:
    """Section 5.3: the entry and all that follow it."""
    bench.hear_append(FIRST, entries(2, 9, 1), term=1, commit=1)
    bench.hear_append(FIRST, [*entries(2, 2, 1), *entries(4, 2, 3)], term=3, commit=1, peer="n2:1")
    assert bench.log == [(1, 0), (2, 1), (3, 1), (4, 3), (5, 3)]


def test_a_tail_that_was_not_compared_is_not_committed(bench: Bench) -> None:
    """Section 5.3: commit up to the last *new* entry; the tail may be of a leader that lost."""
    bench.hear_append(FIRST, entries(2, 9, 1), term=1, commit=1)
    bench.hear_append(entries(3, 1, 1)[0], [], term=2, commit=9, peer="n2:1")
    assert bench.core.raftCommitIndex == 3


def test_an_acknowledgement_says_what_was_compared(bench: Bench) -> None:
    """A leader counts it for commitment: the tail behind is not its own."""
    bench.hear_append(FIRST, entries(2, 9, 1), term=1, commit=1)
    bench.said("")
    bench.hear_append(FIRST, entries(2, 3, 1), term=1, commit=1)
    (answer,) = bench.said("next_node_idx")
    assert answer["success"]
    assert answer["next_node_idx"] == 5


def test_a_refusal_names_the_first_entry_of_the_contradicting_term(bench: Bench) -> None:
    """Section 5.3: one message for each term, not for each entry: 1,000 entries took 64 s."""
    bench.hear_append(FIRST, [*entries(2, 3, 1), *entries(5, 1_000, 2)], term=2, commit=1)
    bench.said("")
    bench.hear_append(entries(1_004, 1, 3)[0], [], term=3, commit=1, peer="n2:1")
    (answer,) = bench.said("next_node_idx")
    assert answer["reset"]
    assert answer["next_node_idx"] == 5


def test_a_refusal_never_goes_behind_what_was_applied(bench: Bench) -> None:
    """What was applied every leader has."""
    bench.hear_append(FIRST, entries(2, 9, 1), term=1, commit=6)
    bench.turn()
    bench.said("")
    bench.hear_append(entries(10, 1, 3)[0], [], term=3, commit=6, peer="n2:1")
    (answer,) = bench.said("next_node_idx")
    assert answer["next_node_idx"] == 7


def test_a_leader_that_contradicts_what_was_applied_stops_the_node(bench: Bench) -> None:
    """One of the two is broken: to go on would answer from a state that nobody else has."""
    bench.hear_append(FIRST, entries(2, 9, 1), term=1, commit=6)
    bench.turn()
    with pytest.raises(UnsafeLogError, match="entry 4 was applied"):
        bench.hear_append(FIRST, entries(2, 2, 1) + entries(4, 1, 2), term=2, commit=6)


def test_an_acknowledgement_of_an_earlier_term_does_not_count() -> None:
    """It may be about entries that were taken back since; PySyncObj's carry no term."""
    with bench_world() as world:
        bench = Bench(world)
        bench.lead()
        bench.propose("a")
        bench.turn()
        last, term = bench.engine.journal.last_index, bench.core.raftCurrentTerm
        late = {"next_node_idx": last + 1, "reset": False, "success": True, "term": term - 1}
        bench.hear("n1:1", type="next_node_idx", **late)
        bench.turn()
        assert bench.core.raftCommitIndex == 1
        bench.hear("n1:1", type="next_node_idx", **{**late, "term": term})
        bench.turn()
        assert bench.core.raftCommitIndex == last


def test_a_follower_that_says_no_level_is_of_the_first_until_it_says_one_or_is_silent() -> None:
    """Programs from before levels say none; and nobody waits for ever for one that is away."""
    with bench_world() as world:
        bench = Bench(world)
        bench.lead()
        last = bench.engine.journal.last_index + 1
        said = {"next_node_idx": last, "reset": False, "success": True}
        said["term"] = bench.core.raftCurrentTerm
        assert bench.core.older(2) == (), "nobody has said anything"
        bench.hear("n1:1", type="next_node_idx", **said)
        bench.hear("n2:1", type="next_node_idx", **said, level=2)
        assert (bench.core.older(1), bench.core.older(2)) == ((), ("n1:1",))
        assert bench.core.older(3) == ("n1:1", "n2:1")
        bench.hear("n1:1", type="next_node_idx", **said, level=2)
        assert bench.core.older(2) == ()
        world.now += HEARD_S + 0.1
        assert bench.core.older(3) == ()


def test_a_follower_with_a_longer_log_does_not_lead_its_leader_astray() -> None:
    """PySyncObj would ask for entries that it does not have, for ever."""
    with bench_world() as world:
        bench = Bench(world)
        bench.lead()
        bench.said("")
        bench.hear(
            "n1:1",
            type="next_node_idx",
            next_node_idx=500,
            reset=True,
            success=False,
            term=bench.core.raftCurrentTerm,
        )
        bench.turn(0.2)
        sent = bench.said("append_entries")
        assert sent
        assert all(type(message["prevLogIdx"]) is int for message in sent)


def test_a_refusal_of_what_came_behind_a_refused_message_undoes_nothing() -> None:
    """It names the gap, which is another place; leader and follower went round in circles."""
    with bench_world() as world:
        bench = Bench(world)
        bench.lead()
        for _ in range(5):
            bench.propose("x")
            bench.turn(0.01)
            bench.outcomes.clear()
        for following in (3, 6):
            bench.hear(
                "n1:1",
                type="next_node_idx",
                next_node_idx=following,
                reset=True,
                success=False,
                term=bench.core.raftCurrentTerm,
            )
        bench.said("")
        bench.turn(0.2)
        before = [message["prevLogIdx"] for message in bench.said("append_entries")]
        assert 2 in before


def test_a_node_that_has_slept_listens_before_it_wants_to_lead(bench: Bench) -> None:
    """What its leader has sent lies in its sockets: it would depose him who is well."""
    bench.hear_append(FIRST, entries(2, 1, 1), term=1, commit=1)
    bench.said("")
    bench.turn(5.0)
    assert bench.said("request_vote") == []
    for _ in range(10):
        bench.turn(0.1)
    assert bench.said("request_vote") != []


def test_a_node_that_is_told_to_lead_does_so_however_long_it_has_slept(bench: Bench) -> None:
    """A leader that hands over waits for it."""
    bench.hear_append(FIRST, entries(2, 1, 1), term=1, commit=1)
    bench.hear("n1:1", type="timeout_now", term=1)
    bench.turn(5.0)
    assert bench.said("request_vote") != []


@pytest.mark.parametrize(
    ("reason", "message"),
    [
        ("message_command", {"type": "apply_command", "command": command("x")}),
        ("message_kind", {"type": "status"}),
        ("message_kind", {"type": ["append_entries"]}),
        ("message_shape", {"type": "request_vote", "term": "5"}),
        ("message_shape", {"type": "response_vote", "term": True}),
        ("message_shape", {"type": "response_vote", "term": -1}),
        ("message_shape", {"type": "next_node_idx", "next_node_idx": 3, "term": 1}),
        (
            "message_shape",
            {
                "type": "next_node_idx",
                "next_node_idx": 3,
                "term": 1,
                "reset": False,
                "success": True,
                "level": "2",
            },
        ),
        ("message_shape", {"type": "append_entries", "term": 1, "commit_index": 1}),
        (
            "message_shape",
            {
                "type": "append_entries",
                "term": 1,
                "commit_index": 1,
                "prevLogIdx": 1,
                "prevLogTerm": 0,
                "entries": [(b"\x00", 3, 1)],
            },
        ),
        (
            "message_shape",
            {
                "type": "append_entries",
                "term": 1,
                "commit_index": 1,
                "prevLogIdx": 1,
                "prevLogTerm": 0,
                "transmission": "finish",
                "data": b"",
            },
        ),
        (
            "message_shape",
            {"type": "append_entries", "term": 1, "commit_index": 1, "serialized": (b"", 1, 0)},
        ),
    ],
)
def test_what_is_no_message_of_raft_is_counted_and_changes_nothing(
    bench: Bench, reason: str, message: dict[str, object]
) -> None:
    """A peer may be of another version, or broken: that is no reason to break."""
    bench.hear("n1:1", **message)
    bench.turn()
    assert bench.engine.refusals.by_reason() == {reason: 1}
    assert bench.log == [(1, 0)]
    assert bench.transport.sent == []


@pytest.mark.parametrize("kind", [1, 2, 3, 9])
def test_entries_that_are_no_commands_of_ours_are_air(bench: Bench, kind: int) -> None:
    """PySyncObj's own would add members and switch versions, and are pickles."""
    before = bench.engine.replica.digest()
    entry = (bytes((kind,)) + pickle.dumps(["add", "evil:1"]), 2, 1)
    bench.hear_append(FIRST, [entry], term=1, commit=2)
    bench.turn()
    assert bench.core.raftLastApplied == 2
    assert bench.engine.replica.digest() == before
    assert len(bench.core.otherNodes) == 2
