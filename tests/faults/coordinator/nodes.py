"""Nodes of the lease service as processes in one folder."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from ops.stack.listening import free_ports

START_S = 60.0
"""On a busy machine a node with a long log takes some of it."""

LOOK_S = 0.02
LOG_CHARS = 4_000
ROOT = Path(__file__).resolve().parents[3]


@dataclass(frozen=True, slots=True, kw_only=True)
class How:
    """How one node is started."""

    module: str = "coordinator"
    """What runs it."""

    environ: Mapping[str, str] = field(default_factory=dict)
    """What it is told beside."""

    inside: Sequence[str] = ()
    """The command that runs the command."""


class Cluster:
    """Nodes as processes in one folder."""

    def __init__(self, folder: Path, nodes: int = 1, **section: Any) -> None:
        ports = free_ports(2 * nodes)
        self.folder = folder
        self.numbers = range(1, nodes + 1)
        self.urls = [f"http://127.0.0.1:{port}" for port in ports[:nodes]]
        self.peers = [f"127.0.0.1:{port}" for port in ports[nodes:]]
        self.config = folder / "seamless.yaml"
        self.how: dict[int, How] = {}
        """Of nodes that are not started as usual."""

        coordinator = {"urls": self.urls, "peers": self.peers, **section}
        self._document = {"state_dir": str(folder), "coordinator": coordinator}
        self.configure()
        self.running: dict[int, subprocess.Popen[bytes]] = {}

    def configure(self, **sections: Any) -> None:
        """Write the configuration, with other sections; nodes read it when they start."""
        self.config.write_text(yaml.safe_dump(self._document | sections))

    def start(self, number: int) -> None:
        """Start a node; `ready` waits for it."""
        self._ready(number).unlink(missing_ok=True)
        how = self.how.get(number, How())
        words = ["--config", str(self.config), "--node", str(number)]
        words += ["--ready-file", str(self._ready(number))]
        with (self.folder / f"{number}.log").open("ab") as log:
            self.running[number] = subprocess.Popen(
                [*how.inside, sys.executable, "-m", how.module, *words],
                env={**os.environ, **how.environ},
                stderr=log,
                cwd=ROOT,
                process_group=0,  # else it wakes when the shell ends that started the tests
            )

    async def ready(self, *numbers: int) -> None:
        """Return when nodes have said that they are ready."""
        async with asyncio.timeout(START_S):
            for number in numbers:
                while not self._ready(number).exists():
                    assert self.running[number].poll() is None, self.log(number)[-LOG_CHARS:]
                    await asyncio.sleep(LOOK_S)

    def send(self, number: int, what: int) -> None:
        """Send a signal to a node that goes on afterwards."""
        self.running[number].send_signal(what)

    def end(self, number: int, how: int = signal.SIGTERM) -> int:
        """Send a signal to a node and return its exit code."""
        process = self.running.pop(number)
        process.send_signal(how)
        return process.wait(START_S)

    async def ended(self, number: int) -> int:
        """Return the exit code of a node that ends by itself, when it has."""
        process = self.running[number]
        async with asyncio.timeout(START_S):
            while process.poll() is None:  # noqa: ASYNC110 - a process tells nobody
                await asyncio.sleep(LOOK_S)
        del self.running[number]
        return process.returncode

    def log(self, number: int) -> str:
        """Return what a node has said."""
        return (self.folder / f"{number}.log").read_text()

    def data(self, number: int) -> Path:
        """Return a node's folder."""
        return self.folder / "coordinator" / f"node-{number}"

    def run(self, *words: str) -> tuple[int, str]:
        """Run a node that is to end by itself; return its exit code and what it said."""
        command = [sys.executable, "-m", "coordinator", "--config", str(self.config), *words]
        ended = subprocess.run(
            command, capture_output=True, text=True, timeout=START_S, check=False, cwd=ROOT
        )
        return ended.returncode, ended.stderr

    def _ready(self, number: int) -> Path:
        return self.folder / f"{number}.ready"


@contextmanager
def cluster(folder: Path, nodes: int = 1, **section: Any) -> Iterator[Cluster]:
    """Make a cluster whose nodes are not started; those that run at the end are killed."""
    made = Cluster(folder, nodes, **section)
    try:
        yield made
    finally:
        for process in made.running.values():
            process.kill()
            process.wait()
