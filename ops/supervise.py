"""Keep one agent running: `python -m ops.supervise --report FILE -- COMMAND ...`.

An agent that meets a server that is down, or a fault, is meant to crash: whoever restarts it is
this. Exit code 0 (it was asked to stop) and 2 (what it was given is wrong, and will be wrong next
time) end the supervisor with the same code; any other is followed by a restart, later and later
up to half a minute, for as long as the supervisor lives. SIGTERM and SIGINT are handed on.
"""

import asyncio
import json
import os
import signal
import sys
from collections.abc import Coroutine, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Self

from runtime.backoff import Backoff
from runtime.clock import Clock, SystemClock

READY_VARIABLE = "SEAMLESS_READY_FILE"
"""Environment variable with the file that an agent touches when it does its work."""

FINAL = frozenset({0, 2})
"""Exit codes after which a restart would change nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Restarts:
    """When to start a child again."""

    backoff: Backoff = field(default_factory=lambda: Backoff(first_s=0.5, cap_s=30.0))
    """Delays between an end and the next start."""

    healthy_s: float = 60.0
    """A child that lived that long had nothing to do with the crashes before it."""

    grace_s: float = 20.0
    """How long a child may take to end when asked to."""

    def crashes(self, before: int, lived_s: float) -> int:
        """Return how many crashes in a row it is, with the one that just was."""
        return 1 if lived_s >= self.healthy_s else before + 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What the supervisor tells those who ask: a file that it replaces at each change."""

    supervisor: int
    """Its pid."""

    state: str = "starting"
    """`starting`, `running`, `waiting` (for the next start) or `ended`."""

    child: int | None = None
    """Pid of the agent while it runs."""

    restarts: int = 0
    exit_code: int | None = None
    """Of the last child that ended; negative for a signal."""

    @classmethod
    def read(cls, file: Path) -> Self | None:
        """Return what the file says, or None if there is none that can be read."""
        try:
            return cls(**json.loads(file.read_text("utf-8")))
        except (OSError, ValueError, TypeError):
            return None

    def write(self, file: Path) -> None:
        """Replace the file."""
        file.parent.mkdir(parents=True, exist_ok=True)
        part = file.with_suffix(".part")
        part.write_text(json.dumps(asdict(self)), "utf-8")
        part.replace(file)

    def why_not_ready(self, file: Path) -> str | None:
        """Return why the agent does not do its work yet, or None if it does."""
        if self.state != "running":
            ended = "" if self.exit_code is None else f", the last one ended with {self.exit_code}"
            return f"{self.state}, {self.restarts} restarts{ended}"
        told = ready_file(file).exists()
        return None if told else "it runs and has not said that it is ready"


def ready_file(report: Path) -> Path:
    """Return the file that the agent of a report touches when it is ready."""
    return report.with_suffix(".ready")


class Supervisor:
    """One child at a time, started again until it ends for good or is asked to."""

    def __init__(
        self, command: Sequence[str], report: Path, clock: Clock, restarts: Restarts | None = None
    ) -> None:
        """Supervise a command; nothing starts before `run`."""
        self._command = command
        self._file = report
        self._clock = clock
        self._restarts = restarts or Restarts()
        self._report = Report(supervisor=os.getpid())
        self._stopping = asyncio.Event()

    def stop(self) -> None:
        """Ask the child to end, and start no other."""
        self._stopping.set()

    async def run(self) -> int:
        """Return the exit code of the last child, when there will be no other."""
        crashes = 0
        while True:
            began = self._clock.monotonic()
            code = await self._run_once()
            if code in FINAL or self._stopping.is_set():
                self._tell(state="ended", child=None, exit_code=code)
                return code
            crashes = self._restarts.crashes(crashes, self._clock.monotonic() - began)
            self._tell(state="waiting", child=None, exit_code=code)
            delay_s = self._restarts.backoff.delay_s(crashes)
            await self._first(self._clock.sleep(delay_s), self._stopping.wait())
            if self._stopping.is_set():
                self._tell(state="ended")
                return 0
            self._tell(restarts=self._report.restarts + 1)

    async def _run_once(self) -> int:
        ready = ready_file(self._file)
        ready.parent.mkdir(parents=True, exist_ok=True)
        ready.unlink(missing_ok=True)
        child = await asyncio.create_subprocess_exec(
            *self._command, env=os.environ | {READY_VARIABLE: str(ready)}
        )
        self._tell(state="running", child=child.pid)
        await self._first(child.wait(), self._stopping.wait())
        if child.returncode is None:
            await self._end(child)
        return await child.wait()

    async def _end(self, child: asyncio.subprocess.Process) -> None:
        with suppress(ProcessLookupError):
            child.terminate()
        await self._first(child.wait(), self._clock.sleep(self._restarts.grace_s))
        if child.returncode is None:
            with suppress(ProcessLookupError):
                child.kill()

    async def _first(self, *waits: Coroutine[Any, Any, object]) -> None:
        """Return when the first of them is over; the others are cancelled."""
        tasks = [asyncio.ensure_future(each) for each in waits]
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _tell(self, **changed: object) -> None:
        self._report = replace(self._report, **changed)  # type: ignore[arg-type]
        self._report.write(self._file)


async def _supervise(command: Sequence[str], report: Path) -> int:
    supervisor = Supervisor(command, report, SystemClock())
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, supervisor.stop)
    return await supervisor.run()


def main(arguments: Sequence[str]) -> int:
    """Run what the command line says."""
    match list(arguments):
        case ["--report", report, "--", *command] if command:
            code = asyncio.run(_supervise(command, Path(report)))
            return 128 - code if code < 0 else code
    sys.stderr.write("usage: python -m ops.supervise --report FILE -- COMMAND ...\n")
    return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
