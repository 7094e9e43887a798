"""The supervisor: what it restarts, when, and what it never leaves behind."""

import asyncio
import os
import signal
import sys
from pathlib import Path

import pytest

from ops.stack.processes import ProcessId
from ops.supervise import Report, Restarts, Supervisor, main, ready_file
from runtime.testing import ManualClock

COUNTS = """
import os, pathlib, sys
calls = pathlib.Path(sys.argv[1])
calls.open("a").write("call\\n")
codes = [int(code) for code in sys.argv[2:]]
sys.exit(codes[len(calls.read_text().splitlines()) - 1])
"""
READY = "import os, pathlib, time; pathlib.Path(os.environ['SEAMLESS_READY_FILE']).touch(); "
LIVES = READY + "time.sleep(600)"
IGNORES = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); " + LIVES


def exits(folder: Path, *codes: int) -> list[str]:
    """Return a command that ends with one code after the other."""
    return [sys.executable, "-c", COUNTS, str(folder / "calls"), *map(str, codes)]


def calls(folder: Path) -> int:
    return len((folder / "calls").read_text().splitlines())


async def until_ready(report: Path) -> Report:
    """Return the report once the child says that it does its work."""
    async with asyncio.timeout(30):
        while True:
            found = Report.read(report)
            if found and found.why_not_ready(report) is None:
                return found
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("code", [0, 2])
async def test_an_end_that_a_restart_would_not_change_is_final(tmp_path: Path, code: int) -> None:
    report = tmp_path / "agent.json"
    assert await Supervisor(exits(tmp_path, code), report, ManualClock()).run() == code
    assert calls(tmp_path) == 1
    told = Report.read(report)
    assert told
    assert (told.state, told.exit_code, told.restarts) == ("ended", code, 0)


async def test_a_crash_is_followed_by_a_restart_later_each_time(tmp_path: Path) -> None:
    clock = ManualClock()
    supervisor = Supervisor(exits(tmp_path, 1, 1, 3, 0), tmp_path / "agent.json", clock)
    running = asyncio.create_task(supervisor.run())
    for restarts, delay_s in enumerate((0.5, 1.0, 2.0)):
        await clock.until_sleeping()
        told = Report.read(tmp_path / "agent.json")
        assert told
        assert (told.state, told.restarts, told.child) == ("waiting", restarts, None)
        clock.advance(delay_s - 0.01)
        assert clock.sleeping == 1
        clock.advance(0.01)
    assert await running == 0
    assert calls(tmp_path) == 4


def test_delays_are_bounded_and_begin_anew_after_a_healthy_life() -> None:
    restarts = Restarts()
    assert max(restarts.backoff.delay_s(crash) for crash in range(1, 2_000)) == 30.0
    assert restarts.crashes(7, lived_s=1.0) == 8
    assert restarts.crashes(7, lived_s=restarts.healthy_s) == 1


async def test_asked_to_stop_it_stops_its_child_first(tmp_path: Path) -> None:
    report = tmp_path / "agent.json"
    supervisor = Supervisor([sys.executable, "-c", LIVES], report, ManualClock())
    running = asyncio.create_task(supervisor.run())
    told = await until_ready(report)
    assert told.child
    supervisor.stop()
    assert await running == -signal.SIGTERM
    assert ProcessId.of(told.child) is None


async def test_a_child_that_ignores_sigterm_is_killed_when_its_grace_is_over(
    tmp_path: Path,
) -> None:
    clock, report = ManualClock(), tmp_path / "agent.json"
    supervisor = Supervisor([sys.executable, "-c", IGNORES], report, clock)
    running = asyncio.create_task(supervisor.run())
    await until_ready(report)
    supervisor.stop()
    await clock.until_sleeping()
    clock.advance(Restarts().grace_s)
    assert await running == -signal.SIGKILL


async def test_asked_to_stop_between_two_starts_it_starts_no_other(tmp_path: Path) -> None:
    clock = ManualClock()
    supervisor = Supervisor(exits(tmp_path, 1, 0), tmp_path / "agent.json", clock)
    running = asyncio.create_task(supervisor.run())
    await clock.until_sleeping()
    supervisor.stop()
    assert await running == 0
    assert calls(tmp_path) == 1


async def test_a_child_is_not_ready_because_the_one_before_was(tmp_path: Path) -> None:
    report = tmp_path / "agent.json"
    ready_file(report).touch()
    supervisor = Supervisor(exits(tmp_path, 0), report, ManualClock())
    await supervisor.run()
    assert not ready_file(report).exists()


@pytest.mark.parametrize(
    ("told", "why"),
    [
        (Report(supervisor=1), "starting, 0 restarts"),
        (Report(supervisor=1, state="waiting", restarts=3, exit_code=1), "ended with 1"),
        (Report(supervisor=1, state="running", child=2), "has not said that it is ready"),
    ],
)
def test_an_agent_that_does_not_work_says_why(tmp_path: Path, told: Report, why: str) -> None:
    told.write(tmp_path / "agent.json")
    read = Report.read(tmp_path / "agent.json")
    assert read == told
    assert why in (read.why_not_ready(tmp_path / "agent.json") or "")


@pytest.mark.parametrize("text", ["", "{", "[]", '{"supervisor": 1, "colour": 2}'])
def test_a_report_that_cannot_be_read_is_none(tmp_path: Path, text: str) -> None:
    (tmp_path / "agent.json").write_text(text)
    assert Report.read(tmp_path / "agent.json") is None


@pytest.mark.parametrize("arguments", [[], ["--"], ["--report", "x", "--"], ["sleep", "1"]])
def test_a_command_line_without_a_command_is_refused(arguments: list[str]) -> None:
    assert main(arguments) == 2


async def test_sigterm_to_the_process_ends_both(tmp_path: Path) -> None:
    report = tmp_path / "agent.json"
    command = [sys.executable, "-m", "ops.supervise", "--report", str(report), "--"]
    root = str(Path(__file__).parents[2])
    supervisor = await asyncio.create_subprocess_exec(
        *command, sys.executable, "-c", LIVES, env=os.environ | {"PYTHONPATH": root}
    )
    told = await until_ready(report)
    assert told.supervisor == supervisor.pid
    assert told.child
    supervisor.terminate()
    assert await asyncio.wait_for(supervisor.wait(), 30) == 128 + signal.SIGTERM
    assert ProcessId.of(told.child) is None
