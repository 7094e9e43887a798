"""What a worker makes of the calls of its consumer group."""

from topics import Member, Places
from worker.groups import SHARED, GroupMoves, shares
from worker.ports import Moved

NOBODY: frozenset[int] = frozenset()


def places(*partitions: int) -> Places:
    return tuple(("requests", partition) for partition in partitions)


def moved(gained: set[int], lost: set[int]) -> Moved:
    return Moved(frozenset(gained), frozenset(lost))


def held(*partitions: int) -> GroupMoves:
    group = GroupMoves()
    group.assigned(places(*partitions))
    assert group.moved() == moved(set(partitions), set())
    return group


def test_what_comes_back_in_a_rebalance_has_not_moved() -> None:
    """All are revoked in every rebalance; requests need not begin anew for that."""
    group = held(0, 1, 2)
    group.revoked(places(0, 1, 2))
    assert group.moved() == moved(set(), set())
    group.assigned(places(0, 1))
    assert group.moved() == moved(set(), {2})
    assert group.moved() == moved(set(), set())


def test_what_was_lost_has_been_somebody_elses_though_it_comes_back() -> None:
    """A worker that slept: others may have served and ended its requests."""
    group = held(0, 1)
    group.lost(places(0, 1))
    group.assigned(places(1))
    assert group.moved() == moved({1}, {0, 1})
    assert group.moved() == moved(set(), set())


def test_what_was_lost_and_is_not_back_yet_is_told_at_once() -> None:
    group = held(0)
    group.lost(places(0))
    assert group.moved() == moved(set(), {0})
    group.assigned(places(0))
    assert group.moved() == moved({0}, set())


def test_a_member_that_gets_nothing_has_lost_all() -> None:
    group = held(0, 1)
    group.revoked(places(0, 1))
    group.assigned(())
    assert group.moved() == moved(set(), {0, 1})


def test_a_member_is_known_by_its_kind() -> None:
    assert shares(Member("m", f"seamless.worker{SHARED}@host:1", "/127.0.0.1"))
    assert not shares(Member("m", "seamless.worker@host:1", "/127.0.0.1"))
    assert not shares(Member("m", f"seamless.worker@host{SHARED}:1", "/127.0.0.1"))
