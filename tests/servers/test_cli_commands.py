"""The commands against real servers, a scripted worker behind the requests topic."""

import asyncio
import json
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from typer.testing import CliRunner, Result

from avro_schemas import BackfillRequest, BackfillStatus, RequestState, WindowFailure
from bars.window import Window
from ops.cli import app
from runtime import Settings, format_time
from tests.provider_help import DAY, END, NODE, SERIES, START, same, sessions
from tests.servers.agents import ROOT, write_config
from tests.servers.clerk import clerk, status_of, store_bars

pytestmark = pytest.mark.servers

DONE, FAILED, RUNNING = RequestState.DONE, RequestState.FAILED, RequestState.RUNNING


@pytest.fixture
def config(settings: Settings, tmp_path: Path) -> Path:
    """A configuration of one node, whose source is a file with the truth."""
    frame = sessions().to_pandas()
    (tmp_path / "prices").mkdir()
    frame.to_csv(tmp_path / "prices" / "AAPL.csv", index=False)
    return write_config(
        tmp_path / "seamless.yaml",
        settings,
        backfill={"window_bars": 30, "wait_timeout_s": 20},
        sources={"daily": {"kind": "csv", "path": "prices/{symbol}.csv"}},
        nodes={
            NODE: {"interval": "1d", "sources": ["daily"], "calendar": "XNYS", "symbol": "AAPL"}
        },
    )


def run(config: Path, *words: str) -> Result:
    return CliRunner().invoke(app, [*words, "--config", str(config)])


def asked(*more: str) -> tuple[str, ...]:
    start, end = format_time(START), format_time(END)
    return (NODE, "--interval", "1d", "--start", start, "--end", end, *more)


def test_topics_are_checked_applied_and_right_from_then_on(config: Path) -> None:
    missing = run(config, "topics", "check")
    assert missing.exit_code == 1
    assert "bars.history.v1: topic must be a topic of 4 partitions, was missing" in missing.stdout
    applied = run(config, "topics", "apply", "--json")
    assert applied.exit_code == 0
    assert {change["what"] for change in json.loads(applied.stdout)} >= {"created", "schema"}
    assert json.loads(run(config, "topics", "apply", "--json").stdout) == []
    right = run(config, "topics", "check")
    assert (right.exit_code, right.stdout) == (0, "topics and schemas are as they should be\n")


def test_a_dry_run_says_what_would_be_fetched_and_asks_for_nothing(
    config: Path, settings: Settings
) -> None:
    """No topics exist here: anything published would fail."""
    held = Window(START, START + 20 * DAY)
    store_bars(settings, SERIES, sessions().inside(held), held)
    result = run(config, "backfill", *asked("--dry-run", "--json"))
    plan = json.loads(result.stdout)
    assert result.exit_code == 0
    assert plan["session_bars"] == len(sessions())
    assert plan["covered_bars"] == len(sessions().inside(held))
    first, last = START + DAY, END - 2 * DAY  # the file begins and ends with these
    assert plan["window"] == [first, last + DAY]
    assert plan["missing"] == [[held.end, last + DAY]]
    assert max(end - start for start, end in plan["windows"]) <= 30 * DAY
    told = run(config, "backfill", *asked("--dry-run")).stdout
    assert f"session bars: {plan['session_bars']}, of them covered: {plan['covered_bars']}" in told


async def test_a_backfill_is_followed_to_its_end(config: Path, applied: Settings) -> None:
    def bring(request: BackfillRequest) -> Iterable[BackfillStatus]:
        yield status_of(request, RUNNING, bars_fetched=10)
        yield status_of(request, DONE, bars_fetched=39, session_bars=39)

    async with clerk(applied, bring) as served:
        result = await asyncio.to_thread(
            run, config, "backfill", *asked("--json", "--priority", "3", "--refetch")
        )
    assert result.exit_code == 0
    status = json.loads(result.stdout)
    (request,) = served.requests
    assert status["request_id"] == request.request_id
    assert (status["state"], status["windows_done"], status["bars_fetched"]) == ("DONE", 2, 39)
    assert (request.start, request.end, request.priority) == (START, END, 3)
    assert request.refetch


async def test_a_failed_backfill_names_its_windows_and_exits_1(
    config: Path, applied: Settings
) -> None:
    lost = WindowFailure(start=START, end=END, error_class="source", message="no such symbol")

    def fail(request: BackfillRequest) -> Iterable[BackfillStatus]:
        yield status_of(request, FAILED, failures=(lost,), message="1 of 2 windows failed")

    async with clerk(applied, fail):
        result = await asyncio.to_thread(run, config, "backfill", *asked())
    assert result.exit_code == 1
    assert "FAILED: 1 of 2 windows stored" in result.stdout
    assert "2020-01-01 to before 2020-03-01: source: no such symbol" in result.stdout


async def test_a_rejected_backfill_exits_2(config: Path, applied: Settings) -> None:
    def reject(request: BackfillRequest) -> Iterable[BackfillStatus]:
        yield status_of(request, RequestState.REJECTED, message="node_id must be a node")

    async with clerk(applied, reject):
        result = await asyncio.to_thread(run, config, "backfill", *asked())
    assert result.exit_code == 2
    assert "node_id must be a node" in result.stdout


async def test_no_wait_prints_the_request_and_leaves(config: Path, applied: Settings) -> None:
    async with clerk(applied, lambda _: ()) as served:
        result = await asyncio.to_thread(run, config, "backfill", *asked("--no-wait"))
        await served.asked.wait()
    assert result.exit_code == 0
    assert result.stdout.strip() == served.requests[0].request_id


async def test_a_backfill_without_a_worker_ends_in_time(config: Path, applied: Settings) -> None:
    assert applied.kafka.prefix
    result = await asyncio.to_thread(run, config, "backfill", *asked("--timeout", "1"))
    assert result.exit_code == 1
    assert "has not ended after 1 s" in result.stderr
    assert "it goes on" in result.stderr


def test_bars_are_written_exactly_as_they_are(
    config: Path, settings: Settings, tmp_path: Path
) -> None:
    store_bars(settings, SERIES, sessions(), Window(START, END))
    csv, parquet = tmp_path / "bars.csv", tmp_path / "bars.parquet"
    for out in (csv, parquet):
        result = run(config, "fetch", *asked("--strategy", "fail_fast", "--out", str(out)))
        assert result.exit_code == 0
        assert result.stdout == ""
        assert f"{len(sessions())} bars" in result.stderr
    assert same(pd.read_csv(csv), sessions())
    assert same(pd.read_parquet(parquet), sessions())
    assert sorted(p.name for p in tmp_path.glob("*bars*")) == ["bars.csv", "bars.parquet"]


def test_bars_are_printed_for_people_and_for_programs(config: Path, settings: Settings) -> None:
    store_bars(settings, SERIES, sessions(), Window(START, END))
    table = run(config, "fetch", *asked())
    assert table.exit_code == 0
    assert "2020-01-02" in table.stdout
    assert "..." in table.stdout
    document: dict[str, Any] = json.loads(run(config, "fetch", *asked("--json")).stdout)
    assert document["rows"] == len(sessions())
    assert same(pd.DataFrame(document["bars"]), sessions())
    assert document["sources"] == [{"lane": "bf:daily", "start": START, "end": END - DAY}]
    plain = run(config, "fetch", *asked("--out", "-"))
    assert plain.stdout.splitlines()[0] == "ts,open,high,low,close,volume"
    assert len(plain.stdout.splitlines()) == len(sessions()) + 1


def test_missing_bars_exit_1_and_print_nothing(config: Path, settings: Settings) -> None:
    assert settings.store.table_prefix
    result = run(config, "fetch", *asked("--strategy", "fail_fast"))
    assert (result.exit_code, result.stdout) == (1, "")
    assert "40 session bars are missing" in result.stderr


def test_coverage_names_first_and_last_bar(config: Path, settings: Settings) -> None:
    nothing = run(config, "coverage", NODE, "--interval", "1d")
    assert (nothing.exit_code, nothing.stdout) == (0, "nothing is covered\n")
    for window in (Window(START, START + 10 * DAY), Window(START + 20 * DAY, END)):
        store_bars(settings, SERIES, sessions().inside(window), window)
    found = run(config, "coverage", NODE, "--interval", "1d", "--json")
    assert json.loads(found.stdout) == [
        [START, START + 9 * DAY],
        [START + 20 * DAY, END - DAY],
    ]
    table = run(config, "coverage", NODE, "--interval", "1d").stdout
    assert [line.split() for line in table.splitlines()[1:]] == [
        ["2020-01-01", "2020-01-10", "10"],
        ["2020-01-21", "2020-02-29", "40"],
    ]


def test_the_module_is_the_command_and_logs_to_standard_error(config: Path) -> None:
    """As a process: one JSON document on standard output although clients complain in the log."""
    done = subprocess.run(
        [sys.executable, "-m", "ops", "topics", "check", "--json", "--config", str(config)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 1
    assert {difference["what"] for difference in json.loads(done.stdout)} >= {"topic"}
