"""Processes by identity: a pid together with the moment its process began.

A pid alone is no identity: the system hands it out again. Everything that asks about or signals a
process here first compares the moment, so a stranger who got the pid is never touched.
"""

import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Self

_PROC = Path("/proc")
_POLL_S = 0.02


@dataclass(frozen=True, slots=True)
class ProcessId:
    """One process, now or long gone."""

    pid: int
    began: str
    """When it began, in whatever form this system tells it; compared, never read."""

    @classmethod
    def of(cls, pid: int) -> Self | None:
        """Return the identity of the process that has a pid now, or None if there is none."""
        began = _began(pid)
        return None if began is None else cls(pid, began)

    def alive(self) -> bool:
        """Whether it still runs; a frozen process does, a dead one that nobody collected not."""
        _collect(self.pid)
        return _began(self.pid) == self.began

    def signal(self, number: signal.Signals, *, group: bool = False) -> bool:
        """Send a signal to the process, or to all of its group; return whether it was there."""
        if not self.alive():
            return False
        with suppress(ProcessLookupError):
            # A process that does not lead its group shares it with strangers.
            if group and os.getpgid(self.pid) == self.pid:
                os.killpg(self.pid, number)
            else:
                os.kill(self.pid, number)
            return True
        return False

    def wait(self, timeout_s: float) -> bool:
        """Return whether it has ended within that time."""
        until = time.monotonic() + timeout_s
        while self.alive():
            if time.monotonic() >= until:
                return False
            time.sleep(_POLL_S)
        return True

    def environ(self) -> Mapping[str, str]:
        """Return the environment it was started with; empty where the system does not tell."""
        try:
            raw = (_PROC / str(self.pid) / "environ").read_bytes()
        except OSError:
            return {}
        pairs = (entry.partition("=") for entry in os.fsdecode(raw).split("\0") if entry)
        return {name: value for name, _, value in pairs}

    def command(self) -> str:
        """Return its command line, shortened, for messages."""
        try:
            raw = (_PROC / str(self.pid) / "cmdline").read_bytes()
        except OSError:
            return ""
        return os.fsdecode(raw).replace("\0", " ").strip()[:120]


def spawn(command: Sequence[str], environ: Mapping[str, str], log: Path) -> ProcessId | None:
    """Start a process that outlives this one, in a session of its own, its output to a file.

    Returns:
        Its identity, or None if it was gone before it could be looked at.

    Raises:
        OSError: The command cannot be started.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
    # No subprocess.Popen: it warns, rightly, when its owner forgets a running child, and this
    # child is meant to be forgotten.
    pid = os.posix_spawn(
        command[0],
        list(command),
        dict(environ),
        file_actions=[
            (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
            (os.POSIX_SPAWN_OPEN, 1, str(log), flags, 0o644),
            (os.POSIX_SPAWN_DUP2, 1, 2),
        ],
        setsid=True,
        setsigmask=[],
        setsigdef=[signal.SIGPIPE, signal.SIGXFSZ],
    )
    return ProcessId.of(pid)


def stop(process: ProcessId, timeout_s: float) -> bool:
    """Ask a process to end, and end it when it does not; return whether it ended by itself."""
    if not process.signal(signal.SIGTERM):
        return True
    process.signal(signal.SIGCONT, group=True)  # a frozen process would not hear it
    if process.wait(timeout_s):
        return True
    kill(process)
    return False


def kill(process: ProcessId, timeout_s: float = 10.0) -> None:
    """End a process and its group at once and return when it is gone."""
    process.signal(signal.SIGKILL, group=True)
    process.wait(timeout_s)


def listener(port: int) -> ProcessId | None:
    """Return who listens on a TCP port of this machine, as far as the system tells."""
    sockets = {f"socket:[{inode}]" for inode in _listening(port)}
    for entry in _PROC.glob("[0-9]*/fd/*") if sockets else ():
        with suppress(OSError):
            if str(entry.readlink()) in sockets:
                return ProcessId.of(int(entry.parts[2]))
    return None


def _listening(port: int) -> list[str]:
    """Return the inodes of sockets in state LISTEN (0A) on a port."""
    found = []
    for table in ("tcp", "tcp6"):
        with suppress(OSError):
            for line in (_PROC / "net" / table).read_text().splitlines()[1:]:
                parts = line.split()
                if parts[3] == "0A" and int(parts[1].rpartition(":")[2], 16) == port:
                    found.append(parts[9])
    return found


def _collect(pid: int) -> None:
    """Let the system forget a dead child of ours."""
    with suppress(ChildProcessError):
        os.waitpid(pid, os.WNOHANG)


def _began(pid: int) -> str | None:
    """Return when the process of a pid began, or None if it does not run."""
    if not _PROC.is_dir():
        return _began_by_ps(pid)
    try:
        # After the name in brackets, which may hold anything: state is the 1st, start the 20th.
        rest = (_PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
        boot = (_PROC / "sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return None
    return None if rest[0] in "ZX" else f"{boot}/{rest[19]}"


def _began_by_ps(pid: int) -> str | None:
    done = subprocess.run(
        ["/bin/ps", "-o", "state=,lstart=", "-p", str(pid)],
        capture_output=True,
        text=True,
        check=False,
        env={"LC_ALL": "C", "TZ": "UTC"},
    )
    state, _, began = done.stdout.strip().partition(" ")
    return None if not state or state.startswith("Z") else began.strip()
