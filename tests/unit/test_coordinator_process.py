"""A node of the lease service as a process: starts, serves, stops, remembers; three of them."""

import asyncio
import json
import os
import signal
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from typer.testing import CliRunner

from coordinator.client import (
    Budget,
    ClientOptions,
    DistributedBackfillCoordinator,
    LeaseLostError,
)
from ops.cli import app
from tests.faults.coordinator.nodes import Cluster, cluster
from tests.unit.machine_help import spec


@asynccontextmanager
async def client_of(made: Cluster) -> AsyncGenerator[DistributedBackfillCoordinator]:
    options = ClientOptions(budget=Budget(whole_s=20, attempt_s=3))
    async with DistributedBackfillCoordinator(made.urls, options) as client:
        yield client


async def test_a_node_remembers_what_it_has_answered(tmp_path: Path) -> None:
    with cluster(tmp_path) as made:
        made.start(1)
        await made.ready(1)
        async with client_of(made) as client:
            await client.open_session("w", 600_000)
            await client.submit_job(spec("job", 0, 30))
            done, held = await client.acquire("w", 2)
            await client.complete(done)
        assert made.end(1) == 0
        made.start(1)
        await made.ready(1)
        async with client_of(made) as client:
            await client.complete(held)
            with pytest.raises(LeaseLostError):
                await client.complete(done)
            (last,) = await client.acquire("w", 5)
            assert last.token > held.token
            state = await client.job("job")
            assert state is not None
            assert [(w.start, w.end) for w in state.todo] == [(20, 30)]


async def test_three_nodes_go_on_without_the_one_that_led(tmp_path: Path) -> None:
    with cluster(tmp_path, 3) as made:
        for number in (1, 2, 3):
            made.start(number)
        await made.ready(1, 2, 3)
        async with client_of(made) as client, httpx.AsyncClient(trust_env=False) as http:
            await client.open_session("w", 600_000)
            await client.submit_job(spec("job", 0, 30))
            (first,) = await client.acquire("w", 1)
            status = (await http.get(f"{made.urls[0]}/v1/state?read=local")).json()
            leader = made.urls.index(status["node"]["leader_url"]) + 1
            made.end(leader, signal.SIGKILL)
            (second,) = await client.acquire("w", 1)
            assert second.token > first.token
            await client.complete(first)
            made.start(leader)
            await made.ready(leader)
            state = await client.job("job")
            assert state is not None
            assert [(w.start, w.end) for w in state.todo] == [(10, 30)]
        assert [made.end(number) for number in (1, 2, 3)] == [0, 0, 0]


async def test_a_node_runs_once(tmp_path: Path) -> None:
    with cluster(tmp_path) as made:
        made.start(1)
        await made.ready(1)
        code, said = made.run()
        assert code == 2
        assert f"process {made.running[1].pid}" in said


async def test_another_file_is_followed_when_it_is_ordered_and_not_before(tmp_path: Path) -> None:
    """Else nodes that read their logs again would part, and nodes of two files would quarrel."""
    with cluster(tmp_path) as made:
        made.start(1)
        await made.ready(1)
        made.end(1)
        made.configure(backfill={"max_attempts": 9})
        made.start(1)
        await made.ready(1)
        assert '"event": "configuration_not_followed", "field": "max_attempts"' in made.log(1)
        async with httpx.AsyncClient(trust_env=False) as http:
            metrics = (await http.get(f"{made.urls[0]}/metrics")).text
            assert "coordinator_settings_differ 1.0" in metrics
            meant = ("--yes", "--reason", "a source that fails often")
            await asyncio.to_thread(leases, made, "configure", *meant)
            metrics = (await http.get(f"{made.urls[0]}/metrics")).text
            assert "coordinator_settings_differ 0.0" in metrics
        made.end(1)
        told = made.log(1).count("configuration_not_followed")
        made.start(1)
        await made.ready(1)
        made.end(1)
        assert made.log(1).count("configuration_not_followed") == told, "read again, and held"


@pytest.mark.parametrize(
    ("section", "words", "told"),
    [
        ({}, ["--node", "2"], "--node must be 1 to 1"),
        ({"listen": "0.0.0.0:18070"}, [], "on the loopback, or with token_file"),
        ({"token_file": "nowhere"}, [], "nowhere: No such file"),
        ({"secret_file": "nowhere"}, [], "secret file"),
        ({"urls": ["https://127.0.0.1:18070"]}, [], "https with a certificate"),
        ({"peers": ["127.0.0.1:1"], "urls": []}, [], "coordinator.urls"),
    ],
)
def test_a_node_that_cannot_be_is_refused_with_the_reason(
    tmp_path: Path, section: dict[str, Any], words: list[str], told: str
) -> None:
    with cluster(tmp_path, **section) as made:
        code, said = made.run(*words)
        assert (code, told in said) == (2, True), said
        assert not list(tmp_path.glob("coordinator/node-*/journal.log"))


def test_no_log_begins_with_lives_that_leave_no_time_to_write(tmp_path: Path) -> None:
    """Every holder would stop writing as soon as it began: no window would ever be done."""
    with cluster(tmp_path) as made:
        made.configure(backfill={"lease_ttl_ms": 5_000})
        code, said = made.run()
        told = "backfill.lease_ttl_ms must be above 5000: holders stop so long before it, was 5000"
        assert (code, told in said) == (2, True), said
        assert not list(tmp_path.glob("coordinator/*"))


def test_files_that_are_damaged_are_for_a_person(tmp_path: Path) -> None:
    folder = tmp_path / "coordinator" / "node-1"
    folder.mkdir(parents=True)
    (folder / "journal.log").write_bytes(os.urandom(200))
    with cluster(tmp_path) as made:
        code, said = made.run()
        assert (code, "damaged" in said) == (2, True), said


async def test_a_folder_is_read_without_its_node_and_a_cluster_begins_anew_from_a_copy(
    tmp_path: Path,
) -> None:
    """The way back after all nodes are lost: tokens go on above all that was ever granted."""
    copy = tmp_path / "copy"
    with cluster(tmp_path) as made:
        made.start(1)
        await made.ready(1)
        async with client_of(made) as client:
            await client.open_session("w", 600_000)
            await client.submit_job(spec("job", 0, 30))
            (first,) = await client.acquire("w", 1)
            taken = await asyncio.to_thread(leases, made, "snapshot", "export", str(copy))
            assert taken["state"]["leases"] == 1
            (second,) = await client.acquire("w", 1)
        made.end(1, signal.SIGKILL)
        folder = tmp_path / "coordinator" / "node-1"
        names = sorted(file.name for file in folder.iterdir())
        found = leases(made, "inspect", str(folder), config=False)
        assert sorted(file.name for file in folder.iterdir()) == names
        assert found["node_id"] == "node-1"
        told = [each["op"] for each in found["tail"] if each["op"] not in {None, "tick"}]
        assert told[:3] == ["open_session", "submit_job", "acquire"]
        assert found["committed"] + found["uncertain"] >= 4

        folder.rename(tmp_path / "lost")
        dry = leases(made, "restore", str(copy), "--node", "1")
        assert not folder.exists()
        meant = ("--yes", "--reason", "the disk is gone")
        done = leases(made, "restore", str(copy), "--node", "1", *meant)
        assert done["state"]["epoch"] == dry["state"]["epoch"] + 1
        made.start(1)
        await made.ready(1)
        async with client_of(made) as client:
            with pytest.raises(LeaseLostError):
                await client.complete(first)
            (again,) = await client.acquire("w", 1)
            assert again.window == first.window
            assert again.token > second.token, "granted after the copy was taken"


def leases(made: Cluster, *words: str, config: bool = True) -> Any:
    """Run `seamless leases` and return its JSON."""
    more = ["--config", str(made.config)] if config else []
    result = CliRunner().invoke(app, ["leases", *words, *more, "--json"])
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)
