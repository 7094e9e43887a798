"""What people change: only what they know, with a reason, and told."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from bars.window import Window
from coordinator.machine import (
    BumpEpoch,
    Code,
    ForceComplete,
    LeaseEnd,
    MachineConfig,
    Ordered,
    PauseLane,
    Policy,
    Reply,
    Requeue,
    Revoke,
    SetPolicy,
    Unpoison,
    epoch_of,
)
from coordinator.machine.views import poisoned_in, window_token
from tests.unit.machine_help import Bench, spec, target

WHOLE = Window(0, 100)


def order(bench: Bench, kind: Callable[..., Any], window: Window, **values: object) -> Reply:
    """Order something of a window as somebody does who knows what stands."""
    known = {"token": window_token(bench.state, target(), window), "reason": "a test"}
    return bench.do(kind(target=target(), window=window, **{**known, **values}))


def given_up(count: int = 1, **config: int) -> Bench:
    """Return a bench whose job wants [0, 20) and of which windows were given up."""
    bench = Bench(MachineConfig(**config))
    bench.submit(spec("job", 0, 20))
    for _ in range(count):
        bench.fail(bench.grant(), error_class="blocked", retriable=False)
    return bench


# Revoke


def test_a_revoked_lease_ends_and_its_window_is_free_at_once_without_an_attempt() -> None:
    bench = Bench()
    bench.submit(spec("job", 0, 10))
    lease = bench.grant()
    assert bench.do(Revoke(token=lease.token, window=lease.window, reason="x")).code is Code.OK
    assert bench.complete(lease).end is LeaseEnd.REVOKED
    assert bench.grant().attempts == 0


def test_a_lease_is_revoked_only_as_it_was_seen() -> None:
    bench = Bench()
    bench.submit(spec("job", 0, 10))
    lease = bench.grant()
    before = bench.state
    reply = bench.do(Revoke(token=lease.token, window=Window(0, 9), reason="x"))
    assert (reply.code, reply.found) == (Code.CONFLICT, lease.token)
    assert "[0, 9)" in reply.message
    reply = bench.do(Revoke(token=lease.token + 1, window=lease.window, reason="x"))
    assert reply.code is Code.CONFLICT
    assert bench.state == before


# Requeue


def test_a_window_that_waits_is_due_at_once_when_requeued_its_attempts_forgotten() -> None:
    bench = Bench()
    bench.submit(spec("job", 0, 10))
    bench.fail(bench.grant())
    assert order(bench, Requeue, Window(0, 10)).code is Code.OK
    assert bench.grant().attempts == 0


def test_only_what_overlaps_is_requeued() -> None:
    bench = Bench()
    bench.submit(spec("job", 0, 20))
    for lease in bench.acquire(limit=2):
        bench.fail(lease)
    order(bench, Requeue, Window(0, 5))
    assert [lease.window for lease in bench.acquire(limit=2)] == [Window(0, 10)]


def test_requeueing_where_nothing_waits_is_refused() -> None:
    bench = Bench()
    bench.submit(spec("job", 0, 10))
    assert order(bench, Requeue, Window(0, 10)).code is Code.INVALID
    assert bench.do(Requeue(target=target("x"), window=WHOLE, token=0, reason="x")).code is (
        Code.INVALID
    )


# What was given up


def test_a_window_that_was_given_up_is_remembered_when_its_job_has_gone() -> None:
    bench = given_up()
    bench.cancel("job")
    (known,) = poisoned_in(bench.state, target(), WHOLE)
    assert (known.failure.window, known.failure.error_class) == (Window(0, 10), "blocked")
    assert known.token == window_token(bench.state, target(), Window(3, 4))


def test_unpoisoning_gives_the_window_back_to_the_jobs_that_are_there() -> None:
    bench = given_up(2)
    assert bench.job("job").failed == (Window(0, 20),)
    assert order(bench, Unpoison, Window(0, 10)).code is Code.OK
    job = bench.job("job")
    assert (job.todo, job.failed) == ((Window(0, 10),), (Window(10, 20),))
    assert [failure.window for failure in job.failures] == [Window(10, 20)]
    assert bench.complete_next().window == Window(0, 10)
    assert [p.failure.window for p in poisoned_in(bench.state, target(), WHOLE)] == [Window(10, 20)]


def test_unpoisoning_without_a_job_forgets_and_the_next_job_tries_anyway() -> None:
    bench = given_up()
    bench.cancel("job")
    assert order(bench, Unpoison, Window(0, 10)).code is Code.OK
    assert len(bench.state.poisoned) == 0
    assert order(bench, Unpoison, Window(0, 10)).code is Code.INVALID


def test_a_window_that_is_brought_later_is_no_longer_remembered_as_given_up() -> None:
    bench = given_up()
    bench.submit(spec("part", 4, 6, priority=1))
    bench.complete_next()
    left = [p.failure.window for p in poisoned_in(bench.state, target(), WHOLE)]
    assert left == [Window(0, 4), Window(6, 10)]


def test_what_is_remembered_as_given_up_is_bounded_and_the_oldest_goes_first() -> None:
    bench = given_up(2, poisoned_max=1)
    (known,) = poisoned_in(bench.state, target(), WHOLE)
    assert known.failure.window == Window(10, 20)
    assert order(bench, Unpoison, Window(0, 10)).code is Code.OK, "the job still knows it"


def test_what_is_given_up_of_another_lane_is_another_matter() -> None:
    bench = given_up()
    assert window_token(bench.state, target(), Window(10, 20)) == 0
    assert poisoned_in(bench.state, target("m"), WHOLE) == ()
    assert poisoned_in(bench.state, target("o"), WHOLE) == ()
    assert window_token(bench.state, target(lane="bf:t"), WHOLE) == 0


# Force complete


def test_a_window_is_done_when_somebody_says_so_with_evidence() -> None:
    bench = given_up()
    lease = bench.grant()
    reply = order(bench, ForceComplete, Window(0, 15), evidence="read from the vendor's file")
    assert reply.code is Code.OK
    job = bench.job("job")
    assert (job.todo, job.failed, job.failures) == ((Window(15, 20),), (), ())
    assert bench.complete(lease).end is LeaseEnd.REVOKED
    assert bench.grant().window == Window(15, 20)
    assert not bench.state.poisoned
    assert bench.submit(spec("later", 0, 15)).todo == ()


def test_nobody_completes_a_window_without_evidence() -> None:
    bench = given_up()
    before = bench.state
    reply = order(bench, ForceComplete, Window(0, 10), evidence="")
    assert reply.code is Code.INVALID
    assert "evidence" in reply.message
    assert bench.state == before


def test_what_waits_is_cut_to_what_is_not_forced() -> None:
    bench = Bench(MachineConfig(jitter_ppm=0))
    bench.submit(spec("job", 0, 10))
    bench.fail(bench.grant())
    order(bench, ForceComplete, Window(3, 6), evidence="x")
    bench.pass_ms(500)
    assert [lease.window for lease in bench.acquire(limit=3)] == [Window(0, 3), Window(6, 10)]


def test_what_is_left_of_a_lease_that_was_forced_in_part_keeps_its_attempts() -> None:
    bench = Bench(MachineConfig(jitter_ppm=0))
    bench.submit(spec("job", 0, 10))
    bench.fail(bench.grant())
    bench.pass_ms(500)
    bench.grant()
    order(bench, ForceComplete, Window(0, 4), evidence="x")
    again = bench.grant()
    assert (again.window, again.attempts) == (Window(4, 10), 1)


def test_what_was_forced_is_forgotten_with_the_jobs_that_are_about_it() -> None:
    bench = Bench()
    bench.submit(spec("long", 0, 30))
    bench.submit(spec("short", 10, 20))
    order(bench, ForceComplete, Window(0, 30), evidence="x")
    bench.cancel("long")
    (lane,) = bench.state.lanes.values()
    assert lane.forced == lane.done == (Window(10, 20),)


def test_forcing_a_lane_that_no_job_wants_forgets_what_was_given_up() -> None:
    bench = given_up()
    bench.cancel("job")
    assert order(bench, ForceComplete, Window(0, 10), evidence="x").code is Code.OK
    assert not bench.state.poisoned


# Compare and set


@pytest.mark.parametrize(
    ("kind", "more"), [(Requeue, {}), (Unpoison, {}), (ForceComplete, {"evidence": "x"})]
)
def test_a_change_by_who_knows_less_than_what_stands_is_refused(
    kind: Callable[..., Any], more: dict[str, str]
) -> None:
    bench = given_up()
    seen = window_token(bench.state, target(), Window(0, 20))
    bench.fail(bench.grant())
    before = bench.state
    reply = order(bench, kind, Window(0, 20), token=seen, **more)
    assert (reply.code, reply.found) == (Code.CONFLICT, seen + 1)
    assert reply.message == f"token must be {seen} as expected, was {seen + 1}"
    assert bench.state == before


def test_a_rule_is_changed_only_by_who_knows_the_last_change() -> None:
    bench = Bench()
    first = bench.set_policy(Policy.NEWEST_FIRST)
    before = bench.state
    reply = bench.do(PauseLane(target=target(), version=0, reason="x"))
    assert (reply.code, reply.found) == (Code.CONFLICT, first.found)
    assert bench.state == before
    assert first.found is not None
    second = bench.do(PauseLane(target=target(), version=first.found, reason="x"))
    assert second.code is Code.OK
    assert second.found not in {0, first.found}


@pytest.mark.parametrize("reason", ["", "  "])
def test_nothing_is_changed_without_a_reason(reason: str) -> None:
    bench = given_up()
    before = bench.state
    reply = order(bench, Unpoison, Window(0, 10), reason=reason)
    assert reply.code is Code.INVALID
    assert reply.message.startswith("reason must be given")
    assert bench.state == before


# Epochs


def test_an_epoch_ends_every_lease_and_begins_above_every_token() -> None:
    """What the leases were about may have been granted again in what a restore has lost."""
    bench = Bench(epoch=3)
    bench.submit(spec("job", 0, 20))
    old = bench.grant()
    assert bench.do(BumpEpoch(epoch=9, expected=3, reason="restored")).code is Code.OK
    assert bench.complete(old).end is LeaseEnd.REVOKED
    again = bench.grant()
    assert (again.window, again.attempts, epoch_of(again.token)) == (old.window, 0, 9)


@pytest.mark.parametrize(
    ("epoch", "expected", "code"),
    [(9, 2, Code.CONFLICT), (3, 3, Code.INVALID), (2**23, 3, Code.INVALID)],
)
def test_an_epoch_must_be_expected_and_higher(epoch: int, expected: int, code: Code) -> None:
    bench = Bench(epoch=3)
    before = bench.state
    assert bench.do(BumpEpoch(epoch=epoch, expected=expected, reason="x")).code is code
    assert bench.state == before


# Audit


def test_every_order_is_told_with_its_reason() -> None:
    bench = given_up()
    lease = bench.grant()
    bench.do(Revoke(token=lease.token, window=lease.window, reason="hangs"))
    order(bench, Unpoison, Window(0, 10), reason="the vendor has repaired it")
    order(bench, ForceComplete, Window(0, 10), reason="checked", evidence="file 7")
    bench.do(SetPolicy(target=target(), version=0, policy=Policy.NEWEST_FIRST, reason="live"))
    bench.do(BumpEpoch(epoch=2, expected=1, reason="restored"))
    told = [event for event in bench.events if isinstance(event, Ordered)]
    assert [(event.op, event.reason, event.detail) for event in told] == [
        ("revoke", "hangs", ""),
        ("unpoison", "the vendor has repaired it", ""),
        ("force_complete", "checked", "file 7"),
        ("set_policy", "live", "newest_first"),
        ("bump_epoch", "restored", "2"),
    ]
    assert told[0].token == lease.token
    assert replace(told[2], token=0).target == target()


def test_what_is_refused_is_not_told() -> None:
    bench = given_up()
    bench.events.clear()
    order(bench, Unpoison, Window(0, 10), token=7)
    assert bench.events == []
