"""Supervised processes of ours, and the files that they share."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from ops.supervise import Report, ready_file

ROOT = Path(__file__).parents[2]
PATIENCE_S = 120.0
POLL_S = 0.05


class RoadError(AssertionError):
    """Something that had to come did not."""


@dataclass(frozen=True, slots=True)
class Places:
    """The files of a road."""

    folder: Path

    @property
    def config(self) -> Path:
        return self.folder / "seamless.yaml"

    @property
    def truth(self) -> Path:
        return self.folder / "truth.parquet"

    @property
    def second(self) -> Path:
        return self.folder / "second.parquet"

    @property
    def calls(self) -> Path:
        return self.folder / "calls.jsonl"

    @property
    def hold(self) -> Path:
        return self.folder / "hold"

    @property
    def raises(self) -> Path:
        return self.folder / "raises"


class Agent:
    """One supervised process of ours."""

    def __init__(
        self, places: Places, role: str, number: int = 0, words: Sequence[str] = ()
    ) -> None:
        self.role = role
        self._places = places
        self._number = number
        self._words = list(words) or {"worker": ["worker"]}.get(role, ["streams", role])
        name = f"{role}{number}"
        self.report = places.folder / f"{name}.json"
        self.log = places.folder / f"{name}.log"
        self._supervisor: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """The process itself, not its supervisor."""
        report = Report.read(self.report)
        if report is None or report.child is None:
            raise RoadError(f"{self.role} is not running: {report}; {self.tail()}")
        return report.child

    def start(self, module: str | None = None) -> None:
        """Start and return when it does its work."""
        self.report.unlink(missing_ok=True)
        ready_file(self.report).unlink(missing_ok=True)
        program = [module, self.role] if module else self._words
        command = [sys.executable, "-m", "ops.supervise", "--report", str(self.report), "--"]
        command += [sys.executable, "-m", *program, "--config", str(self._places.config)]
        state = self._places.folder / f"state{self._number}"
        environ = {
            **os.environ,
            "PYTHONPATH": str(ROOT),
            "SEAMLESS_STATE_DIR": str(state),
            "SEAMLESS_TEST_RAISES": str(self._places.raises),
        }
        with self.log.open("ab") as out:
            self._supervisor = subprocess.Popen(
                command,
                env=environ,
                cwd=ROOT,
                stdout=out,
                stderr=out,
                process_group=0,  # else who sleeps wakes when the shell ends that started the tests
            )
        self.until_ready()

    def until_ready(self) -> None:
        """Return when the process that runs now does its work."""
        until(lambda: ready_file(self.report).exists(), f"{self.role} is ready", self.tail)

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the process."""
        os.kill(self.pid, number)

    def until_restarted(self, pid: int) -> None:
        """Return when another process does the work of the one that had that pid."""

        def other() -> bool:
            report = Report.read(self.report)
            return report is not None and report.child not in (None, pid)

        until(other, f"{self.role} is started again", self.tail)
        self.until_ready()

    def ended(self) -> bool:
        """Whether process and supervisor are gone."""
        return self._supervisor is None or self._supervisor.poll() is not None

    def stop(self) -> None:
        """Ask it to end and wait; kill it when it does not."""
        supervisor, self._supervisor = self._supervisor, None
        if supervisor is None:
            return
        child = Report.read(self.report)
        supervisor.terminate()
        try:
            supervisor.wait(40)
        except subprocess.TimeoutExpired:
            supervisor.kill()
            supervisor.wait(10)
            if child is not None and child.child is not None:
                with suppress(ProcessLookupError):
                    os.kill(child.child, signal.SIGKILL)

    def tail(self) -> str:
        """Return the end of its log."""
        with suppress(FileNotFoundError):
            return self.log.read_text(encoding="utf-8", errors="replace")[-3_000:]
        return ""


def until(true: Callable[[], bool], what: str, why: Callable[[], str]) -> None:
    """Return when something is true.

    Raises:
        RoadError: It took too long.
    """
    end = time.monotonic() + PATIENCE_S
    while not true():
        if time.monotonic() > end:
            raise RoadError(f"not in {PATIENCE_S} s: {what}\n{why()}")
        time.sleep(POLL_S)
