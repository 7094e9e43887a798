"""The agents of the local stack: started by `up`, restarted by their supervisors and by `up`."""

import asyncio
import os
import shutil
import signal
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import httpx
import pytest

from bars.errors import InvalidValueError
from coordinator.client import ClientOptions, DistributedBackfillCoordinator
from ops.stack import Asked, LocalStack, StackStatus
from ops.stack.fleet import FOLDER, WORKER_TOKEN
from ops.stack.state import StateFolder
from ops.supervise import Report
from runtime.settings import Settings

SERVERS = ("kafka", "registry", "questdb")
AGENTS = ("conform", "materialize", "worker")
TELLS = {
    "conform": "seamless_chunks_judged_total",
    "materialize": "seamless_bars_stored_total",
    "worker": "seamless_windows_total",
}
"""A metric of each agent."""

pytestmark = [pytest.mark.servers, pytest.mark.faults]


@pytest.fixture
def config(local_stack: LocalStack, settings: Settings, tmp_path: Path) -> Iterator[Path]:
    """A configuration with topics and tables of its own; no agents run at the end."""
    (tmp_path / "bars.csv").write_text("ts,open,high,low,close,volume\n2020-01-01,1,2,1,2,10\n")
    file = tmp_path / "seamless.yaml"
    file.write_text(
        f"kafka: {{prefix: {settings.kafka.prefix}}}\n"
        f"store: {{table_prefix: {settings.store.table_prefix}}}\n"
        "sources: {daily: {kind: csv, path: bars.csv}}\n"
        "nodes: {'a:1d': {interval: 1d, sources: [daily], calendar: 24/7, symbol: A}}\n"
    )
    yield file
    local_stack.down_agents()
    # Other tests want the stack as it is without anything said.
    folder = StateFolder(local_stack.data("kafka").parent)
    record = folder.load()
    assert record is not None
    folder.save(replace(record, nodes=None, workers=1, metrics={}))
    shutil.rmtree(folder.data(FOLDER), ignore_errors=True)


def measured(found: StackStatus, name: str, token: str = "") -> str:
    """Return what a process tells Prometheus, where `status` says that it does."""
    (service,) = (each for each in found.services if each.name == name)
    url = service.address.removesuffix("/metrics") + "/metrics"
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    answer = httpx.get(url, headers=headers, timeout=10, trust_env=False)
    return answer.raise_for_status().text


def pids(stack: LocalStack) -> dict[str, int | None]:
    return {each.name: each.pid for each in stack.status().services if each.name in AGENTS}


async def until_restarted(report: Path) -> None:
    async with asyncio.timeout(90):
        while True:
            told = Report.read(report)
            if told and told.restarts == 1 and told.why_not_ready(report) is None:
                return
            await asyncio.sleep(0.1)


async def test_agents_come_back_from_a_crash_and_from_the_death_of_their_supervisors(
    local_stack: LocalStack, config: Path
) -> None:
    found = await asyncio.to_thread(local_stack.up, config)
    assert found.ready
    before = pids(local_stack)
    assert set(before) == set(AGENTS)
    for name, metric in TELLS.items():
        assert metric in measured(found, name)

    report = local_stack.data("run") / "conform.json"
    told = Report.read(report)
    assert told
    assert told.child
    os.kill(told.child, signal.SIGKILL)
    await until_restarted(report)
    assert pids(local_stack) == before

    for name in AGENTS:
        local_stack.kill(name)
    assert {each.status for each in local_stack.status().services} == {"ready", "dead"}
    found = await asyncio.to_thread(local_stack.up)  # the configuration is remembered
    assert found.ready
    again = pids(local_stack)
    assert set(again.values()).isdisjoint(before.values())

    # As an earlier version left them, which gave them no ports for their metrics.
    folder = StateFolder(local_stack.data("kafka").parent)
    record = folder.load()
    assert record is not None
    folder.save(replace(record, metrics={}))
    found = await asyncio.to_thread(local_stack.up)
    assert found.ready
    assert set(pids(local_stack).values()).isdisjoint(again.values())
    assert TELLS["conform"] in measured(found, "conform")


async def test_coordinators_and_workers_are_started_restarted_and_stopped(
    local_stack: LocalStack, config: Path
) -> None:
    """Three nodes and two workers, all killed at once, come back with what they had."""
    asked = Asked(coordinators=3, workers=2)
    found = await asyncio.to_thread(local_stack.up, config, asked=asked)
    assert found.ready
    names = [each.name for each in found.services if each.name not in SERVERS]
    nodes = [f"coordinator-{number}" for number in (1, 2, 3)]
    assert names == [*nodes, *AGENTS, "worker-2"]
    assert "seamless_windows_total" in measured(found, "worker-2")
    token = (local_stack.data(FOLDER) / WORKER_TOKEN).read_text().strip()
    assert "coordinator_raft_is_leader" in measured(found, "coordinator-3", token)
    settings = Settings.load(config, found.addresses)
    options = ClientOptions.of(settings.coordinator)
    async with DistributedBackfillCoordinator(settings.coordinator.urls, options) as client:
        await client.open_session("s", 600_000)

        leader = Report.read(local_stack.data("run") / "coordinator-2.json")
        assert leader is not None
        assert leader.child is not None
        os.kill(leader.child, signal.SIGKILL)
        await until_restarted(local_stack.data("run") / "coordinator-2.json")
        for name in names:
            local_stack.kill(name)
        assert {s.status for s in local_stack.status().services} == {"ready", "dead"}
        found = await asyncio.to_thread(local_stack.up)
        assert found.ready
        await client.keep_session("s")

    fewer = await asyncio.to_thread(local_stack.up, asked=Asked(workers=1))
    assert fewer.ready
    assert [s.name for s in fewer.services if s.name not in SERVERS] == [*nodes, *AGENTS]
    with pytest.raises(InvalidValueError, match="--coordinators must be 3"):
        local_stack.up(asked=Asked(coordinators=1))
