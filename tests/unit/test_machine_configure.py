"""The configuration is part of the state: it changes by order, and never before or behind one."""

from dataclasses import replace

import pytest

from bars.errors import InvalidValueError
from coordinator.machine import (
    Code,
    Configure,
    MachineConfig,
    Ordered,
    Reply,
    StaleKind,
    initial,
    wire,
)
from coordinator.machine._apply import indexed
from coordinator.machine.replica import Replica
from tests.unit.machine_help import Bench, spec


def configure(bench: Bench, version: int = 0, **changes: int) -> Reply:
    config = replace(bench.state.config, **changes)
    reply = bench.do(Configure(config=config, version=version, reason="because"))
    assert bench.state.index == indexed(bench.state).index
    return reply


def test_new_rules_hold_from_the_order_on_and_stand_in_the_audit() -> None:
    bench = Bench()
    bench.submit(spec("job", 0, 100))
    assert configure(bench, lease_ttl_ms=60_000, max_attempts=9).found == 1
    assert bench.state.config == MachineConfig(lease_ttl_ms=60_000, max_attempts=9)
    lease = bench.grant()
    assert lease.expires_ms - lease.granted_ms == 60_000
    (told,) = [event for event in bench.events if isinstance(event, Ordered)]
    assert (told.op, told.reason) == ("configure", "because")
    assert told.detail == "lease_ttl_ms 120000 -> 60000, max_attempts 6 -> 9"


def test_who_has_seen_other_rules_changes_nothing() -> None:
    """Two people, or the files of two nodes, do not undo each other unseen."""
    bench = Bench()
    configure(bench, max_attempts=9)
    state = bench.state
    refused = configure(bench, version=0, max_attempts=3)
    assert (refused.code, refused.found) == (Code.CONFLICT, 1)
    assert bench.state == state
    assert configure(bench, version=1, max_attempts=3).found == 2


def test_what_holds_already_is_no_change() -> None:
    bench = Bench()
    state = bench.state
    assert configure(bench).found == 0
    assert bench.state == state
    assert not [event for event in bench.events if isinstance(event, Ordered)]


def test_a_lease_in_force_keeps_its_end_until_it_is_renewed() -> None:
    """Its holder has been told that end and acts on it."""
    bench = Bench(MachineConfig(lease_ttl_ms=100_000))
    bench.submit(spec("job", 0, 10))
    lease = bench.grant()
    bench.pass_ms(90_000)
    configure(bench, lease_ttl_ms=10_000)
    bench.pass_ms(9_000)
    (renewed,) = bench.renew(lease).leases
    assert renewed.expires_ms == bench.state.clock_ms + 10_000
    bench.pass_ms(9_999)
    assert bench.stale() == []
    bench.pass_ms(1)
    assert bench.stale() == [(StaleKind.EXPIRED, lease.token)]


def test_shorter_lives_make_no_lease_look_stalled_that_did_not_when_it_was_ordered() -> None:
    bench = Bench(MachineConfig(lease_ttl_ms=100_000, stall_lives=3))
    bench.submit(spec("job", 0, 10))
    lease = bench.grant()
    for _ in range(4):
        bench.pass_ms(70_000)
        bench.renew(lease)
    configure(bench, lease_ttl_ms=10_000)
    for _ in range(4):
        bench.pass_ms(6_000)
        assert bench.renew(lease).code is Code.OK
    bench.pass_ms(6_001)
    assert bench.stale() == [(StaleKind.STALLED, lease.token)]


def test_what_is_remembered_beyond_a_smaller_limit_is_forgotten_oldest_first() -> None:
    bench = Bench()
    bench.submit(spec("job", 0, 60))
    tokens = []
    for _ in range(6):
        lease = bench.grant()
        bench.fail(lease, retriable=False)
        tokens.append(lease.token)
    configure(bench, ended_max=2, poisoned_max=3)
    assert sorted(bench.state.ended) == tokens[-2:]
    assert [known.token for known in bench.state.poisoned.values()] == tokens[-3:]


def test_fewer_leases_than_are_held_means_no_more_of_them() -> None:
    bench = Bench()
    bench.submit(spec("job", 0, 100))
    first = bench.acquire(limit=5)
    configure(bench, session_leases_max=3)
    assert bench.acquire() == ()
    for lease in first[:3]:
        bench.complete(lease)
    assert len(bench.acquire(limit=9)) == 1


def test_the_rules_that_hold_and_their_version_are_in_a_snapshot() -> None:
    replica, other = (Replica(initial(1, MachineConfig())) for _ in range(2))
    command = Configure(config=MachineConfig(max_attempts=9), version=0, reason="because")
    replica.apply(wire.encode_entry(wire.Entry(term=1, elapsed_ms=0, command=command)))
    other.restore(replica.snapshot())
    assert other.state.config.max_attempts == 9
    assert other.state.config_version == 1
    assert other.digest() == replica.digest()


@pytest.mark.parametrize("value", [0, -1, 10**12 + 1, 2**63])
def test_a_rule_that_would_break_sums_of_64_bits_is_refused(value: int) -> None:
    with pytest.raises(InvalidValueError, match="lease_ttl_ms must be a whole number from 1 to"):
        MachineConfig(lease_ttl_ms=value)
