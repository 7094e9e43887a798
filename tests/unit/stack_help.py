"""Services that are small Python programs, for tests of what starts and stops services."""

import os
import socket
import sys
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

from ops.stack.addresses import Ports
from ops.stack.control import Control
from ops.stack.listening import HOST, free_ports
from ops.stack.processes import listener
from ops.stack.service import Service
from ops.stack.state import Record, StateFolder

LISTEN = """
import signal, socket, sys, time
if "deaf" in sys.argv: signal.signal(signal.SIGTERM, signal.SIG_IGN)
server = socket.create_server(("127.0.0.1", int(sys.argv[1])))
print("listening", flush=True)
while True: server.accept()[0].close()
"""
MUTE = "import time; print('I have nothing to say', flush=True); time.sleep(600)"
BROKEN = "raise SystemExit('no such keyspace')"


@dataclass
class House:
    """One state folder and what was told about it."""

    path: Path
    told: list[str] = field(default_factory=list)

    def control(self) -> Control:
        """Return what a command of its own would work with."""
        folder = StateFolder(self.path)
        record = folder.load() or Record(ports=Ports())
        folder.save(record)
        return Control(folder, record, self.told.append)

    def service(self, name: str, code: str = LISTEN, *arguments: str) -> Service:
        """Return a service that listens on a free port, if its code does."""
        (port,) = free_ports(1)
        return Service(
            name=name,
            title=f"{name} 1.0",
            log=self.path / "logs" / f"{name}.log",
            prepare=lambda _files: (sys.executable, "-c", code, str(port), *arguments),
            environ=dict(os.environ),
            probe=partial(_probe, port),
            find=lambda: [found] if (found := listener(port)) else [],
            address=f"{HOST}:{port}",
            ports=(port,),
        )


def with_stop_timeout(service: Service, timeout_s: float) -> Service:
    """Return the same with less patience."""
    return replace(service, stop_timeout_s=timeout_s)


def _probe(port: int, timeout_s: float) -> str | None:
    try:
        socket.create_connection((HOST, port), timeout_s).close()
    except OSError as error:
        return str(error)
    return None
