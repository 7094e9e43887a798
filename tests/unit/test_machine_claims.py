"""Windows that older clients choose, among those that workers are granted."""

from bars.series import Series
from bars.window import Window
from coordinator.machine import (
    ClaimWindow,
    CloseSession,
    Code,
    EndClaim,
    MachineConfig,
    OpenSession,
    Policy,
    Reply,
    StaleKind,
    WindowClaimed,
    initial,
    wire,
)
from coordinator.machine.replica import Replica
from tests.unit.machine_help import Bench, spec


def claim(
    bench: Bench,
    start: int,
    end: int,
    *,
    session: str = "old",
    node: str = "n",
    ttl_ms: int = 9_000,
) -> Reply:
    series, window = Series(node, 1), Window(start, end)
    return bench.do(ClaimWindow(session_id=session, ttl_ms=ttl_ms, series=series, window=window))


def windows(bench: Bench, limit: int = 9) -> list[tuple[int, int]]:
    return [(lease.window.start, lease.window.end) for lease in bench.acquire(limit=limit)]


def test_workers_are_granted_what_is_left_of_windows_that_are_claimed_in_part() -> None:
    bench = Bench()
    bench.submit(spec("job", 0, 30))
    assert claim(bench, 5, 12).code is Code.OK
    assert windows(bench) == [(0, 5), (12, 20), (20, 30)]
    bench.do(CloseSession(session_id="old"))
    assert windows(bench) == [(5, 10), (10, 12)]


def test_what_a_worker_fetches_in_any_lane_of_the_series_cannot_be_claimed() -> None:
    bench = Bench()
    bench.submit(spec("job", 0, 30))
    bench.submit(spec("other", 0, 30, node="m"))
    lease = bench.grant()
    refused = claim(bench, 9, 15)
    assert (refused.code, refused.found) == (Code.CONFLICT, lease.token)
    assert claim(bench, 9, 15, node="m").code is Code.OK
    assert claim(bench, 10, 15, session="another").code is Code.OK


def test_two_claims_have_no_bar_in_common_and_tokens_of_their_own() -> None:
    bench = Bench()
    first = claim(bench, 0, 10)
    assert claim(bench, 9, 20, session="another").found == first.found
    second = claim(bench, 10, 20, session="another")
    assert first.found is not None
    assert second.found is not None
    assert second.found > first.found
    claims = [event.claim for event in bench.events if isinstance(event, WindowClaimed)]
    assert [each.token for each in claims] == [first.found, second.found]


def test_a_window_that_waits_for_a_retry_is_held_up_by_a_claim_on_a_part_of_it() -> None:
    bench = Bench(MachineConfig(retry_backoff_ms=0))
    bench.submit(spec("job", 0, 10))
    bench.fail(bench.grant())
    claim(bench, 9, 10, ttl_ms=5_000)
    reply = bench.acquire_reply()
    assert (reply.leases, reply.wait_ms) == ((), 5_000), "until the claim ends by itself"
    bench.pass_ms(5_000)
    assert windows(bench) == [(0, 10)]


def test_a_strict_lane_waits_for_a_claim_on_its_oldest_bar() -> None:
    bench = Bench()
    bench.submit(spec("job", 0, 30))
    bench.set_policy(Policy.STRICT_OLDEST_FIRST)
    claim(bench, 0, 5)
    assert windows(bench) == []
    bench.do(CloseSession(session_id="old"))
    assert windows(bench) == [(0, 10)]


def test_a_holder_that_is_not_heard_of_has_a_stale_claim_and_then_a_late_one() -> None:
    bench = Bench()
    token = claim(bench, 0, 10, ttl_ms=5_000).found
    assert token is not None
    bench.pass_ms(5_000)
    assert bench.stale() == [(StaleKind.EXPIRED, token)]
    assert bench.do(EndClaim(session_id="old", token=token)).code is Code.UNKNOWN_TOKEN
    assert bench.stale()[1:] == [(StaleKind.LATE, token)]
    assert claim(bench, 0, 10).code is Code.OK


def test_claims_count_as_sessions_and_keep_to_their_bounds() -> None:
    bench = Bench(MachineConfig(sessions_max=2))
    assert claim(bench, 0, 10, ttl_ms=1).code is Code.INVALID
    assert claim(bench, 0, 10, session="w").code is Code.CONFLICT, "a worker's session"
    assert claim(bench, 0, 10).code is Code.OK
    assert claim(bench, 10, 20, session="another").code is Code.TOO_MANY


def test_a_claim_is_in_a_snapshot_and_holds_workers_up_on_who_reads_it() -> None:
    replica, other = (Replica(initial(1, MachineConfig())) for _ in range(2))
    series, window = Series("n", 1), Window(0, 10)
    for command in (
        OpenSession(session_id="w", ttl_ms=9_000),
        ClaimWindow(session_id="old", ttl_ms=9_000, series=series, window=window),
    ):
        replica.apply(wire.encode_entry(wire.Entry(term=1, elapsed_ms=0, command=command)))
    other.restore(replica.snapshot())
    assert other.state == replica.state
    bench = Bench()
    bench.state = other.state
    bench.submit(spec("job", 0, 20))
    assert windows(bench) == [(10, 20)]
