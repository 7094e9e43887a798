"""`seamless leases`: dry runs, orders compared with what stands, exit codes."""

import asyncio
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from bars.series import Series
from bars.window import Window
from coordinator.machine import (
    Acquire,
    AnyCommand,
    ClaimWindow,
    Fail,
    Lease,
    MachineConfig,
    OpenSession,
    Ordered,
    Reply,
    SubmitJob,
    wire,
)
from coordinator.testing import MemoryLog
from ops.cli import app
from ops.stack.addresses import Ports
from ops.stack.fleet import NodePorts, make_secrets
from ops.stack.state import Record, StateFolder
from tests.unit.api_help import Service, serving
from tests.unit.machine_help import spec

WINDOW = ["n", "--interval", "1", "--lane", "bf:s", "--start", "0", "--end", "10"]
LANE = WINDOW[:5]
MEANT = ["--yes", "--reason", "because"]


@dataclass(kw_only=True)
class Bench:
    """A service with one window leased, one waiting for a retry, and one given up."""

    service: Service
    config: Path

    @property
    def log(self) -> MemoryLog:
        return self.service.nodes[0].log

    def do(self, command: AnyCommand) -> Reply:
        return wire.decode_reply(self.service.cluster.append(command, ""))

    def grant(self) -> Lease:
        (lease,) = self.do(Acquire(session_id="w", limit=1)).leases
        return lease

    def run(self, *words: str, code: int = 0) -> str:
        """Run a command and return what it said on standard output; it must end with `code`."""
        more = [] if words[:2] == ("snapshot", "verify") else ["--config", str(self.config)]
        result = CliRunner().invoke(app, ["leases", *words, *more])
        assert result.exit_code == code, (result.stdout, result.stderr)
        self.err = result.stderr
        return result.stdout

    def json(self, *words: str) -> Any:
        return json.loads(self.run(*words, "--json"))


@contextmanager
def bench(folder: Path, nodes: int = 1) -> Iterator[Bench]:
    """Serve in a thread, as the commands have a loop of their own."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    context = serving(nodes, MachineConfig(max_attempts=2, split_bars_min=100, jitter_ppm=0))
    try:
        service = asyncio.run_coroutine_threadsafe(context.__aenter__(), loop).result(10)
        try:
            yield Bench(service=service, config=written(folder, service.urls))
        finally:
            ending = context.__aexit__(None, None, None)
            asyncio.run_coroutine_threadsafe(ending, loop).result(10)
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


def written(folder: Path, urls: list[str]) -> Path:
    peers = [f"127.0.0.1:{port}" for port in range(1, len(urls) + 1)]
    config = folder / "seamless.yaml"
    config.write_text(yaml.safe_dump({"coordinator": {"urls": urls, "peers": peers}}))
    return config


@contextmanager
def stuck(folder: Path) -> Iterator[Bench]:
    """One window each: `[0, 10)` given up, `[10, 20)` waiting, `[20, 30)` leased."""
    with bench(folder) as made:
        made.do(OpenSession(session_id="w", ttl_ms=3_600_000))
        made.do(SubmitJob(spec=spec("job", 0, 30)))
        first, second, _ = made.grant(), made.grant(), made.grant()
        lost = Fail(session_id="w", token=first.token, error_class="gone", retriable=False)
        made.do(lost)
        made.do(Fail(session_id="w", token=second.token, error_class="later", message="why"))
        yield made


def test_status_says_how_nodes_are_and_how_many_of_everything(tmp_path: Path) -> None:
    with stuck(tmp_path) as made:
        said = made.run("status")
        assert "leader" in said
        assert "poisoned: 1" in said
        (node,) = made.json("status")
        assert (node["away"], node["state"]["leases"], node["node"]["is_leader"]) == (
            False,
            1,
            True,
        )


def test_the_nodes_of_the_local_stack_are_found_with_nothing_configured(tmp_path: Path) -> None:
    """`seamless up --coordinators 1` and `seamless leases status` are all that is to be typed."""
    with bench(tmp_path) as made:
        port = int(made.service.urls[0].rsplit(":", 1)[1])
        state = tmp_path / "state"
        nodes = NodePorts((port,), (port + 1,))
        StateFolder(state).save(Record(ports=Ports(), versions={}, nodes=nodes))
        make_secrets(state)
        made.config.write_text(yaml.safe_dump({"state_dir": str(state)}))
        assert "leader" in made.run("status")


def test_without_a_leader_status_is_two_and_so_is_everything_else(tmp_path: Path) -> None:
    with stuck(tmp_path) as made:
        made.service.cluster.lead(None)
        assert "follower" in made.run("status", code=2)


def test_a_service_that_is_away_has_no_quorum(tmp_path: Path) -> None:
    config = written(tmp_path, ["http://127.0.0.1:9"])
    result = CliRunner().invoke(app, ["leases", "status", "--config", str(config)])
    assert result.exit_code == 2
    assert "away" in result.stdout


def test_lists_show_what_stands(tmp_path: Path) -> None:
    with stuck(tmp_path) as made:
        (lease,) = made.json("list")
        assert (lease["window"], lease["session_id"]) == ([20, 30], "w")
        assert made.json("list", "--stale") == []
        assert made.run("list", "--stale") == "none\n"
        (poisoned,) = made.json("list", "--poisoned")
        assert (poisoned["window"], poisoned["error_class"]) == ([0, 10], "gone")
        (waiting,) = made.json("list", "--waiting")
        assert (waiting["window"], waiting["attempts"]) == ([10, 20], 1)
        (lane,) = made.json("list", "--lanes")
        assert (lane["paused"], lane["version"], lane["completion_ratio"]) == (False, 0, 0.0)
        (job,) = made.json("list", "--jobs")
        assert job["failed"] == [[0, 10]]
        made.run("list", "--stale", "--jobs", code=1)


def test_a_window_shows_all_that_stands_in_it(tmp_path: Path) -> None:
    with stuck(tmp_path) as made:
        (poisoned,) = made.json("list", "--poisoned")
        shown = made.json("show", *WINDOW)
        assert shown["token"] == poisoned["token"]
        assert [each["window"] for each in shown["poisoned"]] == [[0, 10]]
        assert (shown["leases"], shown["waiting"], shown["jobs"]) == ([], [], ["job"])
        assert "poisoned:" in made.run("show", *WINDOW)


@pytest.mark.parametrize(
    "words",
    [
        ["unpoison", *WINDOW],
        ["complete", *WINDOW, "--force", "--evidence", "seen"],
        ["pause", *LANE],
        ["policy", *LANE, "newest_first"],
        ["configure"],
        ["transfer-leader"],
    ],
    ids=lambda words: words[0],
)
def test_a_change_is_a_dry_run_unless_it_is_meant(tmp_path: Path, words: list[str]) -> None:
    with stuck(tmp_path) as made:
        before = made.log.digest()[1]
        state = made.log.state()
        said = made.run(*words)
        assert "order:" in said
        assert "dry run" in made.err
        now = made.log.state()
        assert (now.poisoned, now.leases, now.rules) == (state.poisoned, state.leases, state.rules)
        made.run(*words, "--yes", code=1)
        assert "--reason" in made.err
        assert made.log.state().rules == state.rules
        assert made.log.digest()[1] != before, "barriers are entries, and change nothing else"


def test_a_lease_is_revoked(tmp_path: Path) -> None:
    with stuck(tmp_path) as made:
        (lease,) = made.json("list")
        token = str(lease["token"])
        made.run("revoke", token)
        assert len(made.json("list")) == 1
        assert "done, as entry" in made.run("revoke", token, *MEANT)
        assert made.json("list") == []
        made.run("revoke", token, *MEANT, code=1)
        assert "lease in force" in made.err


def test_what_an_older_client_holds_is_listed_and_revoked(tmp_path: Path) -> None:
    with stuck(tmp_path) as made:
        series, window = Series("n", 1), Window(50, 60)
        made.do(ClaimWindow(session_id="old", ttl_ms=9_000, series=series, window=window))
        lease, claim = made.json("list")
        assert (lease["lane"], claim["lane"]) == ("bf:s", None)
        assert (claim["window"], claim["expires_in_ms"]) == ([50, 60], 9_000)
        assert made.json("list", "--stale") == []
        made.run("revoke", str(claim["token"]), *MEANT)
        assert made.json("list") == [lease]


def test_lives_that_leave_no_time_to_write_are_not_ordered(tmp_path: Path) -> None:
    with bench(tmp_path) as made:
        found = yaml.safe_load(made.config.read_text())
        made.config.write_text(yaml.safe_dump({**found, "backfill": {"lease_ttl_ms": 5_000}}))
        made.run("configure", *MEANT, code=1)
        assert "backfill.lease_ttl_ms must be above 5000" in made.err


def test_windows_are_put_right(tmp_path: Path) -> None:
    with stuck(tmp_path) as made:
        made.run("unpoison", *WINDOW, *MEANT)
        assert made.json("list", "--poisoned") == []
        waiting = [*WINDOW[:-3], "10", "--end", "20"]
        made.run("requeue", *waiting, *MEANT)
        assert made.json("list", "--waiting") == []
        made.run("requeue", *waiting, *MEANT, code=1)
        windows = [made.grant().window.start, made.grant().window.start]
        assert windows == [0, 10]
        leased = [*WINDOW[:-3], "20", "--end", "30"]
        made.run("complete", *leased, *MEANT, code=1)
        assert "--force and --evidence" in made.err
        made.run("complete", *leased, "--force", "--evidence", "in the ledger", *MEANT)
        assert [row["window"] for row in made.json("list")] == [[0, 10], [10, 20]]


def test_lanes_are_paused_and_resumed_and_ruled(tmp_path: Path) -> None:
    with stuck(tmp_path) as made:
        made.run("pause", *LANE, *MEANT)
        (lane,) = made.json("list", "--lanes")
        assert (lane["paused"], lane["reason"]) == (True, "because")
        made.run("policy", *LANE, "newest_first", *MEANT)
        made.run("resume", *LANE, *MEANT)
        (lane,) = made.json("list", "--lanes")
        assert (lane["paused"], lane["policy"]) == (False, "newest_first")
        made.run("policy", *LANE, "alphabetical", *MEANT, code=1)
        assert "policy must be one of any, newest_first" in made.err


def test_the_rules_that_the_configuration_says_hold_when_it_is_ordered(tmp_path: Path) -> None:
    with bench(tmp_path) as made:
        found = yaml.safe_load(made.config.read_text())
        found |= {"backfill": {"lease_ttl_ms": 60_000}}
        found["coordinator"]["source_requests_max"] = 7
        made.config.write_text(yaml.safe_dump(found))
        said = made.run("configure")
        assert "lease_ttl_ms=120000 -> 60000" in said
        made.run("configure", "--expect", "5", *MEANT, code=3)
        made.run("configure", *MEANT)
        config = made.log.state().config
        assert (config.lease_ttl_ms, config.source_requests_max) == (60_000, 7)
        assert config.max_attempts == 6, "the file's, not what the service began with"
        assert "differs=nothing" in made.run("configure")
        (node,) = made.json("status")
        assert node["config"]["version"] == 1
        assert node["config"]["values"]["lease_ttl_ms"] == 60_000


def test_what_stands_otherwise_is_a_conflict_and_stays(tmp_path: Path) -> None:
    with stuck(tmp_path) as made:
        made.run("unpoison", *WINDOW, "--expect", "7", *MEANT, code=3)
        assert "nothing was changed" in made.err
        assert len(made.json("list", "--poisoned")) == 1
        made.run("pause", *LANE, "--expect", "99", *MEANT, code=3)
        (lane,) = made.json("list", "--lanes")
        assert not lane["paused"]


def test_every_change_is_an_event_with_its_reason(tmp_path: Path) -> None:
    with stuck(tmp_path) as made:
        made.run("unpoison", *WINDOW, *MEANT)
        ring = made.service.nodes[0].api.service.watch._ring
        ordered = [each for _, events in ring for each in events if isinstance(each, Ordered)]
        assert [(each.op, each.reason) for each in ordered] == [("unpoison", "because")]


def test_another_node_is_made_to_lead(tmp_path: Path) -> None:
    with bench(tmp_path, 3) as made:
        told = made.run("transfer-leader", *MEANT)
        assert f"done: leader={made.service.urls[1]}, term=" in told
        assert made.service.cluster.leader == made.service.urls[1]
        nodes = made.json("status")
        assert [node["node"]["is_leader"] for node in nodes] == [False, True, False]


def test_a_snapshot_is_written_whole_and_verified(tmp_path: Path) -> None:
    with stuck(tmp_path) as made:
        file = tmp_path / "copy.snapshot"
        made.run("snapshot", "export", str(file))
        assert file.stat().st_mode & 0o077 == 0
        found = made.json("snapshot", "verify", str(file))
        assert (found["state"]["leases"], found["state"]["poisoned"]) == (1, 1)
        made.run("snapshot", "export", str(file), code=1)
        assert "File exists" in made.err
        damaged = bytearray(file.read_bytes())
        damaged[len(damaged) // 2] ^= 1
        file.write_bytes(damaged)
        made.run("snapshot", "verify", str(file), code=1)
        assert "damaged" in made.err


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["show", "a|b", *WINDOW[1:]], "node_id must be"),
        (["show", *WINDOW[:3], "--lane", "x", *WINDOW[5:]], "lane must be"),
        (["show", *WINDOW[:-1], "0"], "--end must be after"),
        (["pause", "n", "--interval", "1x", "--lane", "bf:s"], "--interval must be"),
        (["revoke", "x"], "not a valid"),
        (["inspect", "/nowhere"], "folder must be one that a node has started in"),
        (["snapshot", "verify", "/nowhere"], "a file that can be read"),
    ],
)
def test_bad_input_is_one_and_not_two(tmp_path: Path, words: list[str], told: str) -> None:
    """Two says that there is no quorum: a script must be able to tell them apart."""
    config = written(tmp_path, ["http://127.0.0.1:9"])
    own = ["inspect", "snapshot"]
    more = [] if words[0] in own else ["--config", str(config)]
    result = CliRunner().invoke(app, ["leases", *words, *more])
    assert result.exit_code == 1
    assert told in " ".join(result.stderr.split()) or words[1] == "x"
