"""Processes by identity: nobody else is ever signalled, nobody is waited for without end."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ops.stack.processes import ProcessId, kill, listener, spawn, stop

SLEEPS = "import time; print('up', flush=True); time.sleep(600)"
IGNORES = f"import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); {SLEEPS}"
LISTENS = (
    "import socket, sys; s = socket.create_server(('127.0.0.1', 0));"
    "print(s.getsockname()[1], flush=True); sys.stdin.read(); import time; time.sleep(600)"
)


@contextmanager
def child(code: str, folder: Path) -> Iterator[tuple[ProcessId, str]]:
    """A process that has printed its first line."""
    log = folder / "child.log"
    process = spawn([sys.executable, "-c", code], dict(os.environ), log)
    assert process
    try:
        until = time.monotonic() + 20
        while "\n" not in log.read_text() and time.monotonic() < until:
            time.sleep(0.01)
        yield process, log.read_text().splitlines()[0]
    finally:
        kill(process)


def test_a_spawned_process_leads_a_session_of_its_own(tmp_path: Path) -> None:
    """So that Ctrl-C in the terminal that started it does not reach it."""
    with child(SLEEPS, tmp_path) as (process, _):
        assert os.getsid(process.pid) == process.pid != os.getsid(0)


def test_a_process_that_heeds_sigterm_ends_by_itself(tmp_path: Path) -> None:
    with child(SLEEPS, tmp_path) as (process, _):
        assert stop(process, timeout_s=10)
        assert not process.alive()


def test_a_process_that_ignores_sigterm_is_killed_after_a_bounded_time(tmp_path: Path) -> None:
    with child(IGNORES, tmp_path) as (process, _):
        began = time.monotonic()
        assert not stop(process, timeout_s=0.2)
        assert not process.alive()
        assert time.monotonic() - began < 5


def test_a_frozen_process_is_stopped_without_waiting_for_the_kill(tmp_path: Path) -> None:
    with child(SLEEPS, tmp_path) as (process, _):
        process.signal(signal.SIGSTOP)
        assert stop(process, timeout_s=10)


def test_who_got_the_pid_of_a_dead_process_is_never_touched(tmp_path: Path) -> None:
    """A recycled pid: same number, another beginning."""
    with child(SLEEPS, tmp_path) as (process, _):
        remembered = ProcessId(process.pid, began="long ago")
        assert not remembered.alive()
        assert not remembered.signal(signal.SIGKILL)
        assert stop(remembered, timeout_s=1)
        kill(remembered)
        assert process.alive()


def test_a_dead_child_that_nobody_collected_is_dead(tmp_path: Path) -> None:
    with child(SLEEPS, tmp_path) as (process, _):
        os.kill(process.pid, signal.SIGKILL)
        assert process.wait(10)


def test_a_dead_child_of_another_process_is_dead(tmp_path: Path) -> None:
    """A zombie still has its pid and its beginning."""
    code = "import os, time; pid = os.fork() or os._exit(0); print(pid, flush=True); time.sleep(60)"
    with child(code, tmp_path) as (_, line):
        stat = Path(f"/proc/{line}/stat")
        until = time.monotonic() + 10
        while " Z " not in stat.read_text() and time.monotonic() < until:
            time.sleep(0.01)
        assert ProcessId.of(int(line)) is None


def test_killing_a_process_takes_its_group_along(tmp_path: Path) -> None:
    code = f"import subprocess, sys; p = subprocess.Popen([sys.executable, '-c', {SLEEPS!r}], "
    code += "stdout=-3); print(p.pid, flush=True); p.wait()"
    with child(code, tmp_path) as (process, line):
        grandchild = ProcessId.of(int(line))
        assert grandchild
        kill(process)
        assert grandchild.wait(10)


def test_a_signal_to_a_process_that_leads_no_group_spares_its_group() -> None:
    """Its group is ours: the test run itself would be killed."""
    with subprocess.Popen([sys.executable, "-c", SLEEPS], stdout=subprocess.DEVNULL) as popen:
        process = ProcessId.of(popen.pid)
        assert process
        kill(process)
        assert process.wait(10)


def test_who_listens_on_a_port_is_found_with_command_and_environment(tmp_path: Path) -> None:
    with child(LISTENS, tmp_path) as (process, port):
        assert listener(int(port)) == process
        assert "create_server" in process.command()
        assert process.environ()["PATH"] == os.environ["PATH"]


def test_nobody_listens_on_a_port_that_is_free(tmp_path: Path) -> None:
    with child(LISTENS, tmp_path) as (process, port):
        kill(process)
        assert listener(int(port)) is None
