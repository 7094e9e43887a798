"""The agents of the local stack: started by `up`, restarted by their supervisors and by `up`."""

import asyncio
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from ops.stack import LocalStack
from ops.supervise import Report
from runtime.settings import Settings

AGENTS = ("conform", "materialize", "worker")

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
    assert set(pids(local_stack).values()).isdisjoint(before.values())
