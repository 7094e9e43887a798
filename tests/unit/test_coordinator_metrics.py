"""What a node of the lease service measures: counted once in the cluster, labels that are few."""

from dataclasses import replace

import pytest

from bars.series import Series
from coordinator._service.api import levels
from coordinator._service.api.metrics import ServiceMetrics
from coordinator.machine import (
    Acquire,
    AnyCommand,
    Complete,
    Fail,
    Lease,
    MachineConfig,
    OpenSession,
    Reply,
    SeriesLane,
    SubmitJob,
)
from coordinator.testing import MemoryCluster
from runtime.testing import ManualClock
from tests.unit.machine_help import spec

URLS = ("http://a", "http://b", "http://c")


class Measured:
    """A cluster whose nodes are measured."""

    def __init__(self, config: MachineConfig | None = None) -> None:
        self.clock = ManualClock()
        self.cluster = MemoryCluster(self.clock, URLS, config=config)
        self.metrics = {url: ServiceMetrics(["named"]) for url in URLS}
        for url, metrics in self.metrics.items():
            metrics.observe(self.cluster[url])

    async def do(self, command: AnyCommand) -> Reply:
        leader = self.cluster.leader
        assert leader is not None
        return (await self.cluster[leader].propose(command, "", 1)).reply

    async def grant(self) -> Lease:
        (lease,) = (await self.do(Acquire(session_id="w", limit=1))).leases
        return lease

    def value(self, name: str, url: str = URLS[0], **labels: str) -> float | None:
        return self.metrics[url].registry.get_sample_value(name, labels)

    def sum(self, name: str, **labels: str) -> float:
        return sum(self.value(name, url, **labels) or 0.0 for url in URLS)


async def test_each_event_is_counted_once_in_the_cluster_whoever_leads() -> None:
    measured = Measured(MachineConfig(max_attempts=2, split_bars_min=100))
    await measured.do(OpenSession(session_id="w", ttl_ms=3_600_000))
    await measured.do(SubmitJob(spec=spec("job", 0, 10)))
    for leader in (URLS[1], URLS[2]):
        lease = await measured.grant()
        failed = Fail(session_id="w", token=lease.token, error_class="x")
        await measured.do(failed)
        measured.clock.advance(70)
        measured.cluster.lead(leader)
        measured.clock.advance(70)
        measured.cluster.tick()
    assert measured.sum("backfill_retry_total", **{"class": "source"}) == 1
    assert measured.sum("backfill_failure_total") == 1
    assert [measured.value("coordinator_poisoned_windows", url) for url in URLS] == [1, 1, 1]


async def test_stale_claims_are_counted_by_kind() -> None:
    measured = Measured()
    await measured.do(OpenSession(session_id="w", ttl_ms=3_600_000))
    await measured.do(SubmitJob(spec=spec("job", 0, 10)))
    assert measured.sum("coordinator_stale_claims_total", kind="expired") == 0, (
        "told from the start"
    )
    lease = await measured.grant()
    measured.clock.advance(121)
    measured.cluster.tick()
    assert measured.sum("coordinator_stale_claims_total", kind="expired") == 1
    assert measured.sum("backfill_retry_total", **{"class": "lease"}) == 1
    await measured.do(Complete(session_id="w", token=lease.token))
    assert measured.sum("coordinator_stale_claims_total", kind="late") == 1


async def test_nodes_of_the_configuration_have_a_ratio_of_their_own() -> None:
    """And all others one together: a client must not make labels."""
    measured = Measured()
    await measured.do(OpenSession(session_id="w", ttl_ms=3_600_000))
    named = SeriesLane(Series("named", 1), "bf:s")
    for i in range(5):
        await measured.do(SubmitJob(spec=spec(f"job-{i}", 0, 40, node=f"n{i}")))
    await measured.do(SubmitJob(spec=replace(spec("own", 0, 40), target=named, priority=9)))
    lease = await measured.grant()
    assert lease.target == named
    await measured.do(Complete(session_id="w", token=lease.token))
    at = {"node": "named", "interval": "1"}
    assert measured.value("backfill_completion_ratio", **at) == 0.25
    assert measured.value("backfill_last_timestamp", **at) == 10
    assert measured.value("backfill_completion_ratio", node="", interval="") == 0.0
    names = [
        sample.labels["node"]
        for family in measured.metrics[URLS[0]].registry.collect()
        for sample in family.samples
        if sample.name == "backfill_completion_ratio"
    ]
    assert sorted(names) == ["", "named"]
    lease = await measured.grant()
    await measured.do(Complete(session_id="w", token=lease.token))
    rest = await measured.do(Acquire(session_id="w", limit=64))
    for lease in rest.leases:
        await measured.do(Complete(session_id="w", token=lease.token))
    assert measured.value("backfill_completion_ratio", **at) == 1.0
    assert measured.value("backfill_completion_ratio", node="", interval="") == 1.0
    assert measured.value("backfill_jobs_in_progress") == 0


async def test_levels_are_those_of_the_state() -> None:
    measured = Measured()
    await measured.do(OpenSession(session_id="w", ttl_ms=3_600_000))
    await measured.do(SubmitJob(spec=spec("job", 0, 30)))
    await measured.grant()
    measured.clock.advance(4)
    measured.cluster.tick()
    await measured.grant()
    assert measured.value("coordinator_lease_age_seconds") == 4
    assert measured.value("coordinator_leases", state="asking") == 2
    assert measured.value("coordinator_windows", state="leased") == 2
    assert measured.value("coordinator_clock_seconds") == 4
    assert measured.value("backfill_jobs_in_progress") == 1


async def test_a_node_says_who_it_is_and_equal_states_look_equal() -> None:
    measured = Measured()
    await measured.do(OpenSession(session_id="w", ttl_ms=60_000))
    leads = [measured.value("coordinator_raft_is_leader", url) for url in URLS]
    assert leads == [1, 0, 0]
    digests = {measured.value("coordinator_state_digest", url) for url in URLS}
    assert len(digests) == 1
    assert measured.value("coordinator_state_digest_index") == 1


def test_more_is_told_under_its_name_and_no_other() -> None:
    cluster = MemoryCluster(ManualClock())
    metrics = ServiceMetrics()
    end = metrics.observe(cluster.first, lambda: {"coordinator_apply_errors_total": 3.0})
    assert metrics.registry.get_sample_value("coordinator_apply_errors_total") == 3
    end()
    assert metrics.registry.get_sample_value("coordinator_apply_errors_total") is None
    metrics.observe(cluster.first, lambda: {"no_such_metric": 3.0})
    with pytest.raises(KeyError):
        list(metrics.registry.collect())


def test_a_state_without_anything_has_levels() -> None:
    cluster = MemoryCluster(ManualClock())
    found = levels.of_state(cluster.first.state())
    assert set(found.values()) == {0}
    (row,) = levels.by_node(cluster.first.state(), frozenset())
    assert (row.ratio, row.last_timestamp) == (1.0, None)
