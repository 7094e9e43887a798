"""Each checker refuses a history that was made bad for it, and lets the same one pass when good."""

import math
from collections.abc import Callable, Iterable
from dataclasses import replace

import pytest

from bars.series import Series
from bars.window import Grid, Window
from coordinator.machine import (
    Acquire,
    AnyCommand,
    ClaimWindow,
    Code,
    Complete,
    KeepSession,
    Lease,
    OpenSession,
    Renew,
    Reply,
    SeriesLane,
)
from tests.simulation import checkers
from tests.simulation.history import NEVER, Application, Ending, Op, Said
from tests.simulation.nodes import CONFIG, new_history
from tests.simulation.wgl import Call, linearizable

OK = Reply(code=Code.OK)
TTL_S = CONFIG.lease_ttl_ms / 1_000


def _lease(token: int, start: int = 0, session: str = "w1") -> Lease:
    return Lease(
        token=token,
        session_id=session,
        target=SeriesLane(Series("n", 1), "bf:s"),
        window=Window(start, start + 10),
        job_ids=("j",),
        grid=Grid(1),
        attempts=0,
        granted_ms=0,
        expires_ms=0,
        moved_ms=0,
    )


class _Writer:
    """Writes a history down, a line for each thing that happens."""

    def __init__(self) -> None:
        self.history = new_history()
        self.history.equal_after_s, self.history.served_after_heal = 1.0, True
        self.history.endings = [
            Ending(node=name, applied=100, digest="d", leads=name == "a") for name in "abc"
        ]

    def op(
        self,
        worker: str,
        command: AnyCommand,
        called: float,
        returned: float = NEVER,
        reply: Reply | None = OK,
    ) -> Op:
        index = len(self.history.ops) + 2
        op = Op(
            worker=worker,
            request_id=f"r{index}",
            command=command,
            called=called,
            returned=returned,
            reply=reply if returned < math.inf else None,
            index=index,
        )
        self.history.ops.append(op)
        said = Said(index=index, request_id=op.request_id, reply=b"reply", stale=False)
        self.history.said[index] = said
        for node in "abc":
            self.applied(node, index)
        return op

    def applied(self, node: str, index: int, entry: int = 7, chain: str = "") -> None:
        seen = Application(
            node=node,
            index=index,
            entry=entry,
            chain=chain or f"chain {index}",
            now=float(index),
            clock_ms=index * 1_000,
        )
        self.history.applications.append(seen)

    def opened(self, worker: str, called: float = 0.0) -> None:
        self.op(worker, OpenSession(session_id=worker, ttl_ms=4_000), called, called + 0.01)

    def acquired(self, worker: str, called: float, returned: float, *leases: Lease) -> None:
        reply = Reply(code=Code.OK, leases=leases)
        self.op(worker, Acquire(session_id=worker), called, returned, reply)


@pytest.fixture
def writer() -> _Writer:
    """Two workers, one after the other on one window: nothing is wrong with that."""
    made = _Writer()
    made.opened("w1")
    made.opened("w2")
    made.acquired("w1", 1.0, 1.1, _lease(1))
    made.op("w1", Renew(session_id="w1", token=1), 1.5, 1.6)
    made.op("w1", Complete(session_id="w1", token=1), 1.8, 1.9)
    made.acquired("w2", 2.0, 2.1, _lease(2, session="w2"))
    return made


def test_a_good_history_passes_every_checker(writer: _Writer) -> None:
    """Else a checker that refuses everything would look as good as any."""
    assert checkers.violations(writer.history) == []


def _another_entry(writer: _Writer) -> None:
    writer.applied("b", 3, entry=8)


def _another_reply(writer: _Writer) -> None:
    writer.applied("b", 3, chain="other")


def _another_state_restored(writer: _Writer) -> None:
    seen = replace(writer.history.applications[-1], chain="other", index=50)
    writer.history.restored.append(seen)


def _answered_from_another_entry(writer: _Writer) -> None:
    op = writer.history.ops[2]
    writer.history.said[op.index] = replace(writer.history.said[op.index], request_id="other")


def _answered_and_not_there(writer: _Writer) -> None:
    writer.history.endings[1] = replace(writer.history.endings[1], applied=3)


def _obeyed_twice(writer: _Writer) -> None:
    said = writer.history.said[4]
    writer.history.said[90] = replace(said, index=90, reply=b"another")


def _granted_twice(writer: _Writer) -> None:
    writer.acquired("w2", 3.0, 3.1, _lease(1, start=50, session="w2"))


def _granted_below(writer: _Writer) -> None:
    writer.acquired("w2", 3.0, 3.1, _lease(0, start=50, session="w2"))


def _two_holders(writer: _Writer) -> None:
    writer.acquired("w1", 2.0 + TTL_S / 2, 2.2 + TTL_S / 2, _lease(3))


def _renewed_and_granted(writer: _Writer) -> None:
    late = 2.0 + TTL_S * 0.8
    for worker in ("w1", "w2"):
        writer.op(worker, KeepSession(session_id=worker), 2.2, 2.3)
    writer.op("w2", Renew(session_id="w2", token=2), late, late + 0.01)
    writer.acquired("w1", late + TTL_S * 0.5, late + TTL_S * 0.5 + 0.1, _lease(3))


def _claimed(writer: _Writer, token: int, start: int) -> None:
    series, window = Series("n", 1), Window(start, start + 10)
    command = ClaimWindow(session_id="old", ttl_ms=4_000, series=series, window=window)
    writer.op("old", command, 2.2, 2.3, Reply(code=Code.OK, found=token))


def _claimed_below(writer: _Writer) -> None:
    _claimed(writer, token=0, start=50)


def _claimed_what_is_held(writer: _Writer) -> None:
    _claimed(writer, token=3, start=9)


def _clock_ahead(writer: _Writer) -> None:
    seen = writer.history.applications[-1]
    writer.history.applications.append(replace(seen, clock_ms=int(seen.now * 1_100)))


def _spoke_after_failure(writer: _Writer) -> None:
    writer.history.after_failure.append("a")


def _stopped_by_itself(writer: _Writer) -> None:
    writer.history.broken.append("a: KeyError: 7")


def _never_equal(writer: _Writer) -> None:
    writer.history.equal_after_s = None


def _never_served(writer: _Writer) -> None:
    writer.history.served_after_heal = False


def _other_digest(writer: _Writer) -> None:
    writer.history.endings[2] = replace(writer.history.endings[2], digest="e")


def _two_leaders(writer: _Writer) -> None:
    writer.history.endings[2] = replace(writer.history.endings[2], leads=True)


def _came_back_to_life(writer: _Writer) -> None:
    writer.op("w1", Complete(session_id="w1", token=1), 3.0, 3.1)


@pytest.mark.parametrize(
    ("checker", "spoil"),
    [
        (checkers.no_divergence, _another_entry),
        (checkers.no_divergence, _another_reply),
        (checkers.no_divergence, _another_state_restored),
        (checkers.nothing_acknowledged_is_lost, _answered_from_another_entry),
        (checkers.nothing_acknowledged_is_lost, _answered_and_not_there),
        (checkers.a_request_has_one_reply, _obeyed_twice),
        (checkers.tokens_only_grow, _granted_twice),
        (checkers.tokens_only_grow, _granted_below),
        (checkers.tokens_only_grow, _claimed_below),
        (checkers.one_live_lease_a_window, _claimed_what_is_held),
        (checkers.one_live_lease_a_window, _two_holders),
        (checkers.one_live_lease_a_window, _renewed_and_granted),
        (checkers.time_never_runs_ahead, _clock_ahead),
        (checkers.a_failed_disk_is_silent, _spoke_after_failure),
        (checkers.nodes_stop_for_a_reason, _stopped_by_itself),
        (checkers.all_are_equal_after_healing, _never_equal),
        (checkers.all_are_equal_after_healing, _never_served),
        (checkers.all_are_equal_after_healing, _other_digest),
        (checkers.all_are_equal_after_healing, _two_leaders),
        (checkers.leases_are_linearizable, _came_back_to_life),
    ],
    ids=lambda part: part.__name__.strip("_"),
)
def test_a_bad_history_is_refused(
    writer: _Writer, checker: checkers.Checker, spoil: Callable[[_Writer], None]
) -> None:
    """By the checker that it is made for."""
    spoil(writer)
    assert list(checker(writer.history)) != []


def test_a_lease_that_was_cancelled_is_nobody_s_any_more(writer: _Writer) -> None:
    """Its holder learns it late, which its token takes care of."""
    _two_holders(writer)
    writer.history.cancelled[2] = 2.15
    assert list(checkers.one_live_lease_a_window(writer.history)) == []


def _register(state: int, call: Call) -> Iterable[int]:
    kind, value = call.what
    if kind == "write":
        yield value
    elif call.result in {None, state}:
        yield state


def _write(value: int, called: float, returned: float) -> Call:
    return Call(called=called, returned=returned, what=("write", value), result="ok")


def _read(value: int | None, called: float, returned: float) -> Call:
    return Call(called=called, returned=returned, what=("read", 0), result=value)


def test_the_search_finds_an_order_where_there_is_one() -> None:
    """Operations that overlap may take effect either way round."""
    overlapping = [_write(1, 0, 10), _read(0, 1, 2), _read(1, 3, 4)]
    assert linearizable(overlapping, _register, 0)
    unknown = [_write(1, 0, NEVER), _read(0, 1, 2), _read(1, 3, 4)]
    assert linearizable(unknown, _register, 0)
    assert linearizable([_write(1, 0, NEVER), _read(0, 5, 6)], _register, 0)


def test_the_search_refutes_what_no_order_explains() -> None:
    """A value that is read again after another was seen; and one that was never written."""
    back = [_write(1, 0, 10), _read(1, 1, 2), _read(0, 3, 4)]
    assert not linearizable(back, _register, 0)
    assert not linearizable([_write(1, 0, 1), _read(0, 2, 3)], _register, 0)
    assert not linearizable([_read(7, 0, 1)], _register, 0)


def test_two_hundred_operations_of_many_clients_are_searched_in_no_time() -> None:
    """Histories are cut to that length; half of it refuted is harder than all of it found."""
    calls = [_write(n, n - 3.5, n + 0.5) for n in range(1, 100)]
    calls += [_read(n, n - 0.6, n + 0.6) for n in range(1, 100)]
    assert linearizable(calls, _register, 0)
    assert not linearizable([*calls, _read(3, 99.7, 99.8)], _register, 0)
