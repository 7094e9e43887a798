"""Leases: tokens, life, late holders, retries, sessions."""

from dataclasses import replace

import pytest

from bars.errors import InvalidValueError
from bars.window import Window
from coordinator.machine import (
    CloseSession,
    Code,
    Complete,
    Fail,
    KeepSession,
    LeaseEnd,
    MachineConfig,
    OpenSession,
    Release,
    Renew,
    Tick,
    WindowFailed,
    apply,
    epoch_of,
    initial,
    token_of,
)
from tests.unit.machine_help import Bench, spec

HOUR_MS = 3_600_000


def test_tokens_grow_and_begin_with_the_epoch() -> None:
    bench = Bench(epoch=7)
    bench.submit(spec("job", 0, 30))
    tokens = [bench.grant().token for _ in range(3)]
    assert tokens == [token_of(7, 1), token_of(7, 2), token_of(7, 3)]
    assert {epoch_of(token) for token in tokens} == {7}


def test_every_token_of_a_later_epoch_is_above_all_of_an_earlier_one() -> None:
    assert token_of(3, 0) > token_of(2, 2**40 - 1)


def test_a_leased_window_is_granted_to_nobody_else() -> None:
    bench = Bench()
    bench.open("other")
    bench.submit(spec("job", 0, 10))
    bench.grant()
    assert bench.acquire(session="other") == ()


def test_a_lease_that_expires_is_granted_again_under_a_higher_token() -> None:
    bench = Bench()
    bench.submit(spec("job", 0, 10))
    first = bench.grant()
    bench.pass_ms(bench.config.lease_ttl_ms - 1)
    assert bench.acquire() == ()
    bench.pass_ms(1)
    again = bench.grant()
    assert again.window == first.window
    assert again.token > first.token
    assert again.attempts == 1


def test_a_renewed_lease_lives_on_with_its_token() -> None:
    bench = Bench()
    bench.submit(spec("job", 0, 10))
    lease = bench.grant()
    for _ in range(5):
        bench.pass_ms(bench.config.lease_ttl_ms - 1)
        reply = bench.do(Renew(session_id="w", token=lease.token, published=True))
        assert reply.leases[0].token == lease.token
    assert bench.acquire() == ()


@pytest.mark.parametrize("again", [False, True], ids=["still free", "granted again"])
def test_a_late_complete_is_answered_and_changes_nothing(again: bool) -> None:
    """The holder learns how its lease ended, whoever has the window now."""
    bench = Bench()
    bench.submit(spec("job", 0, 10))
    late = bench.grant()
    bench.pass_ms(bench.config.lease_ttl_ms)
    if again:
        bench.grant()
    before = bench.state
    reply = bench.do(Complete(session_id="w", token=late.token))
    assert (reply.code, reply.end) == (Code.LATE, LeaseEnd.EXPIRED)
    assert bench.state == before
    assert bench.job("job").todo == (Window(0, 10),)


def test_a_second_complete_is_answered_as_completed() -> None:
    bench = Bench()
    bench.submit(spec("job", 0, 10))
    lease = bench.complete_next()
    reply = bench.do(Complete(session_id="w", token=lease.token))
    assert (reply.code, reply.end) == (Code.LATE, LeaseEnd.COMPLETED)


def test_a_token_that_was_never_granted_is_told_from_a_late_one() -> None:
    assert Bench().do(Renew(session_id="w", token=12345)).code is Code.UNKNOWN_TOKEN


def test_how_a_lease_ended_is_remembered_for_a_bounded_number() -> None:
    bench = Bench(MachineConfig(ended_max=2))
    bench.submit(spec("job", 0, 30))
    first, *_ = (bench.complete_next() for _ in range(3))
    assert len(bench.state.ended) == 2
    assert bench.do(Complete(session_id="w", token=first.token)).code is Code.UNKNOWN_TOKEN


def test_another_session_cannot_use_a_token() -> None:
    bench = Bench()
    bench.open("other")
    bench.submit(spec("job", 0, 10))
    lease = bench.grant()
    before = bench.state
    for command in (
        Renew(session_id="other", token=lease.token),
        Complete(session_id="other", token=lease.token),
        Fail(session_id="other", token=lease.token, error_class="x"),
        Release(session_id="other", token=lease.token),
    ):
        assert bench.do(command).code is Code.NOT_YOURS
    assert bench.state == before


def test_a_released_window_is_free_at_once_and_counts_no_attempt() -> None:
    bench = Bench()
    bench.submit(spec("job", 0, 10))
    lease = bench.grant()
    assert bench.do(Release(session_id="w", token=lease.token)).code is Code.OK
    assert bench.grant().attempts == 0


# Retries


def test_attempts_wait_twice_as_long_each_time_then_the_window_is_given_up() -> None:
    bench = Bench(MachineConfig(jitter_ppm=0))
    bench.submit(spec("job", 0, 1))
    waits = []
    for attempt in range(1, 7):
        lease = bench.grant()
        assert lease.attempts == attempt - 1
        code = bench.fail(lease).code
        if attempt < 6:
            assert code is Code.RETRY_LATER
            waits.append(bench.ms_until_grantable())
    assert code is Code.GIVEN_UP
    assert waits == [500, 1_000, 2_000, 4_000, 8_000]
    job = bench.job("job")
    assert (job.todo, job.failed) == ((), (Window(0, 1),))
    assert job.failures[0].attempts == 6
    assert job.failures[0].error_class == "source"


def test_the_callers_draw_adds_up_to_the_jitter_and_no_wait_passes_the_cap() -> None:
    config = MachineConfig(retry_backoff_ms=500, jitter_ppm=250_000, retry_cap_ms=60_000)
    assert config.retry_wait_ms(1, 0) == 500
    assert config.retry_wait_ms(1, 1_000_000) == 625
    assert config.retry_wait_ms(3, 500_000) == 2_250
    assert config.retry_wait_ms(8, 1_000_000) == 60_000
    assert config.retry_wait_ms(10_000, 0) == 60_000


def test_a_rate_limited_answer_burns_no_attempt_and_its_pause_is_kept() -> None:
    bench = Bench()
    bench.submit(spec("job", 0, 10))
    for _ in range(20):
        lease = bench.grant()
        assert lease.attempts == 0
        bench.fail(lease, rate_limited=True, retry_after_ms=30_000)
        assert bench.acquire() == ()
        assert bench.ms_until_grantable() == 30_000
    assert bench.job("job").failed == ()


def test_a_pause_without_end_is_cut() -> None:
    bench = Bench(MachineConfig(retry_after_max_ms=70_000))
    bench.submit(spec("job", 0, 10))
    bench.fail(bench.grant(), rate_limited=True, retry_after_ms=10**15)
    assert bench.ms_until_grantable() == 70_000


def test_a_shorter_pause_than_the_backoff_does_not_shorten_it() -> None:
    bench = Bench(MachineConfig(jitter_ppm=0, retry_backoff_ms=9_000))
    bench.submit(spec("job", 0, 10))
    bench.fail(bench.grant(), retry_after_ms=10)
    assert bench.ms_until_grantable() == 9_000


def test_a_permanent_failure_gives_the_window_up_at_once_and_the_job_goes_on() -> None:
    bench = Bench()
    bench.submit(spec("job", 0, 20))
    lease = bench.grant()
    reply = bench.fail(
        lease, retriable=False, error_class="blocked", message="m" * 9_999, chunk_offset=4
    )
    assert reply.code is Code.GIVEN_UP
    assert [type(e) for e in bench.events][-1] is WindowFailed
    failure = bench.job("job").failures[0]
    assert (failure.window, failure.error_class, failure.chunk_offset) == (
        lease.window,
        "blocked",
        4,
    )
    assert len(failure.message) == 500
    assert bench.grant().window == Window(10, 20)


def test_a_window_whose_holders_vanish_is_given_up_after_the_last_attempt() -> None:
    """Or it would kill one worker after another for ever."""
    bench = Bench()
    bench.submit(spec("job", 0, 1))
    for _ in range(bench.config.max_attempts):
        bench.grant()
        bench.pass_ms(bench.config.lease_ttl_ms)
    assert bench.acquire() == ()
    assert bench.job("job").failures[0].error_class == "lease_expired"


def test_a_waiting_window_does_not_hold_up_the_next() -> None:
    bench = Bench()
    bench.submit(spec("job", 0, 20))
    bench.fail(bench.grant())
    assert bench.grant().window == Window(10, 20)


# Sessions


def test_nothing_is_granted_without_a_session() -> None:
    bench = Bench()
    bench.submit(spec("job", 0, 10))
    assert bench.acquire_reply(session="stranger").code is Code.UNKNOWN_SESSION


def test_leases_end_with_their_session_and_are_free_at_once() -> None:
    bench = Bench(session_ttl_ms=10_000)
    bench.open("other", ttl_ms=HOUR_MS)
    bench.submit(spec("job", 0, 10))
    lease = bench.grant()
    bench.pass_ms(10_000)
    again = bench.grant(session="other")
    assert (again.window, again.attempts) == (lease.window, 1)
    reply = bench.do(Complete(session_id="w", token=lease.token))
    assert (reply.code, reply.end) == (Code.LATE, LeaseEnd.ORPHANED)
    assert bench.do(KeepSession(session_id="w")).code is Code.UNKNOWN_SESSION


def test_a_session_that_is_kept_lives() -> None:
    bench = Bench(session_ttl_ms=10_000)
    for _ in range(5):
        bench.pass_ms(9_999)
        assert bench.do(KeepSession(session_id="w")).code is Code.OK


def test_a_session_that_is_closed_gives_its_windows_back_without_an_attempt() -> None:
    bench = Bench()
    bench.open("other")
    bench.submit(spec("job", 0, 10))
    bench.grant()
    assert bench.do(CloseSession(session_id="w")).code is Code.OK
    assert bench.grant(session="other").attempts == 0
    assert bench.do(CloseSession(session_id="w")).code is Code.UNKNOWN_SESSION


def test_opening_a_session_again_keeps_its_leases() -> None:
    bench = Bench()
    bench.submit(spec("job", 0, 10))
    lease = bench.grant()
    bench.open("w")
    assert bench.do(Complete(session_id="w", token=lease.token)).code is Code.OK


# Time, refusals, purity


def test_time_that_goes_back_counts_as_none() -> None:
    bench = Bench()
    bench.do(Tick(elapsed_ms=50))
    bench.do(Tick(elapsed_ms=-1_000))
    assert bench.state.clock_ms == 50


def test_a_refused_command_still_moves_the_clock() -> None:
    bench = Bench()
    bench.do(Renew(session_id="w", token=1, elapsed_ms=70))
    assert bench.state.clock_ms == 70


@pytest.mark.parametrize(
    "command",
    [
        OpenSession(session_id="", ttl_ms=10_000),
        OpenSession(session_id="x" * 201, ttl_ms=10_000),
        OpenSession(session_id="x", ttl_ms=999),
        OpenSession(session_id="x", ttl_ms=3_600_001),
    ],
)
def test_a_bad_session_is_refused_with_field_found_and_allowed(command: OpenSession) -> None:
    bench = Bench()
    before = bench.state
    reply = bench.do(command)
    assert reply.code is Code.INVALID
    assert "must be" in reply.message
    assert "was" in reply.message
    assert bench.state == before


def test_the_state_before_a_command_stays_as_it_was() -> None:
    bench = Bench()
    bench.submit(spec("job", 0, 10))
    before = bench.state
    kept = (dict(before.jobs), dict(before.lanes), dict(before.leases), before.counter)
    bench.complete_next()
    assert kept == (dict(before.jobs), dict(before.lanes), dict(before.leases), before.counter)
    assert apply(before, Tick()).state == apply(before, Tick()).state


@pytest.mark.parametrize(
    ("name", "value"), [("lease_ttl_ms", 0), ("max_attempts", -1), ("jitter_ppm", 1_000_001)]
)
def test_a_machine_cannot_be_configured_wrong(name: str, value: int) -> None:
    with pytest.raises(InvalidValueError, match=name):
        replace(MachineConfig(), **{name: value})


def test_an_empty_machine_has_nothing_to_wait_for() -> None:
    assert apply(initial(1, MachineConfig()), Tick()).reply.wait_ms is None
