"""Starting, watching and stopping services, whatever they are.

What was started is written down at once, each with the moment its process began; what is stopped
is what was written down and still is that process. A process that was started in the instant
before everything was killed, and so never written down, is known again by its environment.
"""

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

from ops.stack.errors import NotReadyError, PortTakenError
from ops.stack.listening import is_taken
from ops.stack.processes import ProcessId, kill, listener, spawn, stop
from ops.stack.service import STACK_VARIABLE, Service, ServiceStatus
from ops.stack.state import Record, StateFolder

_LOG_BYTES_MAX = 16 * 2**20
_POLL_S = 0.05
_PROBE_TIMEOUT_S = 2.0
_TAIL_BYTES = 16_384
_TAIL_LINES = 12


class Control:
    """The processes of one state folder. Whoever changes something holds the folder's lock."""

    def __init__(self, folder: StateFolder, record: Record, tell: Callable[[str], None]) -> None:
        """Work on a folder; `tell` gets one line for each thing that a person wants to know."""
        self._folder = folder
        self._record = record
        self._tell = tell
        self._writing = threading.Lock()
        self._given_up = threading.Event()

    @property
    def record(self) -> Record:
        """What is remembered now."""
        return self._record

    def change(self, record: Record) -> None:
        """Remember something else."""
        self._record = record
        self._folder.save(record)

    def running(self, service: Service) -> ProcessId | None:
        """Return the live process of a service, remembered or found."""
        known = self._record.processes.get(service.name)
        if known and known.alive():
            return known
        for candidate in service.find():
            if candidate.environ().get(STACK_VARIABLE) == self._mark(service):
                return candidate
        return None

    def waiting_to_start(self, services: Sequence[Service]) -> list[Service]:
        """Return those that do not run, after a look at what would stop them from starting.

        What a killed one has left behind is ended: it has the ports that its heir needs.

        Raises:
            PortTakenError: Somebody else has a port.
        """
        missing = []
        for service in services:
            process = self.running(service)
            if process:
                self._remember(service.name, process)
                continue
            missing.append(service)
            self._kill_leftovers(service)
            for port in service.ports:
                if is_taken(port):
                    raise PortTakenError(service.title, port, _describe(listener(port)))
        return missing

    def start(
        self,
        services: Sequence[Service],
        files: Mapping[str, tuple[Path, ...]],
        timeout_s: float,
    ) -> None:
        """Start what does not run, all at once, and return when all of it is ready.

        Raises:
            NotReadyError: Something ended, or did not answer in time; the rest keeps running.
            PortTakenError: Somebody else has a port.
        """
        missing = {service.name for service in self.waiting_to_start(services)}
        self._given_up.clear()

        def start_one(service: Service) -> None:
            if service.name in missing:
                self._spawn(service, files.get(service.name, ()))
            waited_s = self._await_ready(service, timeout_s)
            if service.name in missing:
                self._tell(f"{service.title}: ready after {waited_s:.1f} s")

        with ThreadPoolExecutor(max(1, len(services))) as pool:
            futures = [pool.submit(start_one, service) for service in services]
            try:
                for future in futures:
                    future.result()
            finally:
                self._given_up.set()

    def stop(self, services: Sequence[Service]) -> None:
        """Stop what runs, all at once; what does not end when asked to is ended."""
        with ThreadPoolExecutor(max(1, len(services))) as pool:
            for _ in pool.map(self._stop_one, services):
                pass

    def status(self, service: Service) -> ServiceStatus:
        """Return what is seen of a service."""
        process = self.running(service)
        reason = None
        if process is None:
            status = "dead" if service.name in self._record.processes else "stopped"
        else:
            reason = service.probe(_PROBE_TIMEOUT_S)
            status = "not ready" if reason else "ready"
        return ServiceStatus(
            name=service.name,
            title=service.title,
            status=status,
            pid=process.pid if process else None,
            address=service.address,
            log=str(service.log),
            detail=reason or "",
        )

    def _spawn(self, service: Service, files: tuple[Path, ...]) -> None:
        command = service.prepare(files)
        if service.log.exists() and service.log.stat().st_size > _LOG_BYTES_MAX:
            service.log.replace(service.log.with_suffix(".log.1"))
        process = spawn(
            command, service.environ | {STACK_VARIABLE: self._mark(service)}, service.log
        )
        if process is None:
            raise _not_ready(service, "ended at once")
        self._remember(service.name, process)

    def _await_ready(self, service: Service, timeout_s: float) -> float:
        began = time.monotonic()
        reason: str | None = "has not been asked"
        while not self._given_up.is_set():
            process = self.running(service)
            if process is None:
                raise _not_ready(service, "ended before it was ready")
            reason = service.probe(_PROBE_TIMEOUT_S)
            waited_s = time.monotonic() - began
            if reason is None:
                return waited_s
            if waited_s > timeout_s:
                raise _not_ready(
                    service,
                    f"runs (pid {process.pid}) and was not ready after {waited_s:.0f} s: {reason}",
                )
            time.sleep(_POLL_S)
        raise _not_ready(service, "was started and not waited for: something else failed")

    def _stop_one(self, service: Service) -> None:
        process = self.running(service)
        if process:
            if stop(process, service.stop_timeout_s):
                self._tell(f"{service.title}: stopped")
            else:
                self._tell(
                    f"{service.title}: killed, it had not ended {service.stop_timeout_s:.0f} s "
                    "after SIGTERM"
                )
        self._kill_leftovers(service)
        self._remember(service.name, None)

    def _kill_leftovers(self, service: Service) -> None:
        for process in service.leftovers():
            if process.environ().get(STACK_VARIABLE) == self._mark(service):
                kill(process)

    def _remember(self, name: str, process: ProcessId | None) -> None:
        with self._writing:
            processes = dict(self._record.processes)
            if processes.get(name) == process:
                return
            processes.pop(name, None)
            if process:
                processes[name] = process
            self.change(replace(self._record, processes=processes))

    def _mark(self, service: Service) -> str:
        return f"{self._record.id}/{service.name}"


def _not_ready(service: Service, reason: str) -> NotReadyError:
    return NotReadyError(service.title, reason, service.log, _tail(service.log))


def _tail(log: Path) -> list[str]:
    try:
        with log.open("rb") as file:
            file.seek(max(0, log.stat().st_size - _TAIL_BYTES))
            lines = file.read().decode("utf-8", "replace").splitlines()
    except OSError:
        return []
    return [line for line in lines if line.strip()][-_TAIL_LINES:]


def _describe(holder: ProcessId | None) -> str:
    return f"pid {holder.pid} ({holder.command()})" if holder else "another process"
