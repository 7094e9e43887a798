"""The local stack as one object: servers, topics and agents of one state folder."""

import asyncio
import hashlib
import signal
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import astuple, dataclass, replace
from pathlib import Path
from typing import Literal

from rich.console import Console

import topics
from bars.errors import InvalidValueError
from ops.stack.addresses import Addresses, Ports
from ops.stack.agents import agents, coordinators
from ops.stack.control import Control
from ops.stack.errors import MissingExtraError, StateFolderError
from ops.stack.fleet import ADMIN_TOKEN, FOLDER, Asked, make_secrets
from ops.stack.listening import is_taken
from ops.stack.lock import locked
from ops.stack.pinned import bundles
from ops.stack.processes import ProcessId, kill
from ops.stack.servers import Context, StackOptions, servers
from ops.stack.service import Service, StackStatus
from ops.stack.staffing import staffed
from ops.stack.state import Record, StateFolder
from runtime.coordinator import CoordinatorSettings
from runtime.settings import KafkaSettings, RegistrySettings, Settings, StoreSettings


class LocalStack:
    """Starts and stops the stack of a state folder. Blocking; every wait has an end."""

    def __init__(
        self,
        state: Path,
        *,
        ports: Ports | Literal["free"] | None = None,
        options: StackOptions | None = None,
        console: Console | None = None,
    ) -> None:
        """Use a state folder; nothing is read or started yet.

        Args:
            state: Folder with everything of this stack.
            ports: Where to listen; `"free"`: where nobody else does; None: where it did before,
                and at first where settings expect it.
            options: What tests want to be different.
            console: Where progress is shown; standard error if not given.

        Raises:
            StateFolderError: No server could live in a folder of that name.
        """
        self._folder = StateFolder(state)
        self._ports = ports
        self._options = options or StackOptions()
        self._console = console or Console(stderr=True)

    @property
    def addresses(self) -> Addresses:
        """Where the servers listen, or did when they last ran.

        Raises:
            StateFolderError: Nothing was ever started here, or by another version.
        """
        record = self._folder.load()
        if record is None:
            raise StateFolderError(self._folder.path, "nothing was started here yet")
        return record.ports.addresses()

    def data(self, service: str) -> Path:
        """Return the folder with the files of a service; copy it only while that is stopped."""
        return self._folder.data(service)

    def log(self, service: str) -> Path:
        """Return the file that a service writes its output to."""
        return self._folder.log(service)

    def up(
        self, config: Path | None = None, *, with_agents: bool = True, asked: Asked | None = None
    ) -> StackStatus:
        """Start what does not run: servers, topics, agents; return when all of it is ready.

        Args:
            config: What the agents run with; None: what they did before, else the folder's own
                `seamless.yaml`, else there are none.
            with_agents: Whether agents are started, and the coordinators that they need.
            asked: How many coordinators and workers.

        Raises:
            ConfigError: The configuration is refused; nothing was started.
            StackError: Something does not start; the message says what, and what to do.
        """
        with self._locked():
            control = self._open()
            plan = self._plan(control.record, config)
            settings = plan.settings if plan.config else None
            asked = asked or Asked()
            fleet = staffed(control.record, settings, asked, self._folder.path, self._ports)
            self._start_servers(control)
            asyncio.run(topics.apply(plan.settings))
            if plan.config and with_agents:
                self._start_agents(control, plan.config, fleet)
            return self._status(control)

    def up_servers(self) -> StackStatus:
        """Start what does not run of the servers alone; return when they are ready.

        Raises:
            StackError: Something does not start; the message says what, and what to do.
        """
        with self._locked():
            control = self._open()
            self._start_servers(control)
            return self._status(control)

    def down(self) -> None:
        """Stop what was started here, and nothing else; harmless when nothing runs."""
        if not self._folder.path.exists():
            return
        with self._locked():
            record = self._folder.load()
            if record is None:
                return
            control = self._control(record)
            # The agents first: they would only find their servers gone.
            control.stop(self._agents(record))
            control.stop(self._coordinators(record))
            control.stop(servers(self._context(record)))

    def down_agents(self) -> None:
        """Stop the agents and coordinators; the next `up` without a configuration starts them."""
        with self._locked():
            control = self._open()
            control.stop(self._agents(control.record))
            control.stop(self._coordinators(control.record))
            control.change(replace(control.record, agents=False))

    def status(self) -> StackStatus:
        """Return what is seen now; starts and changes nothing."""
        record = self._folder.load()
        if record is None:
            return StackStatus(state=str(self._folder.path), services=())
        return self._status(self._control(record))

    def start(self, name: str) -> None:
        """Start one service and return when it is ready."""
        with self._locked():
            control = self._open()
            service = self._service(control.record, name)
            files = self._files([name] if control.waiting_to_start([service]) else [])
            control.start([service], files, self._options.ready_timeout_s)

    def stop(self, name: str) -> None:
        """Stop one service the way `down` does."""
        with self._locked():
            control = self._open()
            control.stop([self._service(control.record, name)])

    def kill(self, name: str) -> None:
        """End one service at once, as a crash would; it stays in memory as something dead."""
        if process := self._process(name):
            kill(process)

    def freeze(self, name: str) -> None:
        """Stop the time of one service."""
        if process := self._process(name):
            process.signal(signal.SIGSTOP, group=True)

    def thaw(self, name: str) -> None:
        """Let a frozen service go on."""
        if process := self._process(name):
            process.signal(signal.SIGCONT, group=True)

    def _locked(self) -> AbstractContextManager[None]:
        return locked(self._folder.lock, self._options.lock_timeout_s)

    def _open(self) -> Control:
        """Return the control of a folder that is fit to be started in, with its ports settled."""
        versions = {name: bundle.version for name, bundle in bundles().items()}
        record = self._folder.load()
        if record is None:
            record = Record(ports=self._new_ports(), versions=versions)
        else:
            self._folder.check_versions(record, versions)
            record = replace(record, ports=self._known_ports(record))
        control = self._control(record)
        control.change(record)
        return control

    def _new_ports(self) -> Ports:
        return Ports.free() if self._ports == "free" else self._ports or Ports()

    def _known_ports(self, record: Record) -> Ports:
        """Return the ports of a folder that had some: those, unless others are asked for."""
        if self._ports in (None, record.ports):
            return record.ports
        alive = [name for name, process in record.processes.items() if process.alive()]
        if self._ports == "free":
            kept = bool(alive) or not any(map(is_taken, astuple(record.ports)))
            return record.ports if kept else Ports.free()
        if alive:
            allowed = f"those it runs with ({record.ports}) until `seamless down`"
            raise InvalidValueError("ports", self._ports, allowed)
        return self._new_ports()

    def _plan(self, record: Record, config: Path | None) -> "_Plan":
        """Return what to run the agents with, and settings that name the stack's servers."""
        addresses = record.ports.addresses()
        own = self._folder.path / "seamless.yaml"
        if config is None and record.config:
            config = Path(record.config)
        elif config is None and own.exists():
            config = own
        if config is None:
            return _Plan(
                None,
                Settings(
                    kafka=KafkaSettings(bootstrap=addresses.bootstrap),
                    registry=RegistrySettings(url=addresses.registry_url),
                    store=StoreSettings(dsn=addresses.dsn),
                ),
            )
        environ = {**self._options.environ, **addresses.environ()}
        return _Plan(config.absolute(), Settings.load(config, environ))

    def _start_servers(self, control: Control) -> None:
        services = servers(self._context(control.record))
        missing = control.waiting_to_start(services)
        files = self._files([service.name for service in missing])
        control.start(services, files, self._options.ready_timeout_s)

    def _start_agents(self, control: Control, config: Path, fleet: Record) -> None:
        record = control.record
        text = hashlib.sha256(config.read_bytes()).hexdigest()
        wanted = replace(fleet, processes={}, agents=True, config=str(config), config_sha256=text)
        changed = record.config_sha256 not in (None, text) or record.config not in (
            None,
            wanted.config,
        )
        if changed or (record.agents and record.nodes != wanted.nodes):
            what = "the configuration" if changed else "the list of coordinators"
            self._tell(f"{what} has changed: the agents start anew")
            control.stop(self._agents(record))
            control.stop(self._coordinators(record))
        kept = {each.name: each.ports for each in self._agents(wanted)}
        control.stop([s for s in self._agents(record) if kept.get(s.name) != s.ports])
        control.change(replace(wanted, processes=control.record.processes))
        if wanted.nodes is not None:
            make_secrets(self._folder.path)
            control.start(self._coordinators(wanted), {}, self._options.ready_timeout_s)
        control.start(self._agents(wanted), {}, self._options.ready_timeout_s)

    def _files(self, names: Sequence[str]) -> dict[str, tuple[Path, ...]]:
        if not names:
            return {}
        try:
            from ops.stack.artifacts import Artifacts  # noqa: PLC0415 - needs the extra [local]
        except ImportError as error:
            raise MissingExtraError(error.name or "jgo") from None
        return Artifacts(self._console).fetch(names)

    def _status(self, control: Control) -> StackStatus:
        record = control.record
        services = servers(self._context(record))
        if record.agents:
            services += (*self._coordinators(record), *self._agents(record))
        with ThreadPoolExecutor(len(services)) as pool:
            found = tuple(pool.map(control.status, services))
        return StackStatus(
            state=str(self._folder.path),
            services=found,
            addresses=_environ(record, self._folder.path),
            config=record.config if record.agents else None,
        )

    def _control(self, record: Record) -> Control:
        return Control(self._folder, record, self._tell)

    def _context(self, record: Record) -> Context:
        titles = {name: str(bundle) for name, bundle in bundles().items()}
        return Context(
            folder=self._folder,
            ports=record.ports,
            options=self._options,
            titles=titles,
            nodes=record.nodes,
            metrics=record.metrics,
        )

    def _agents(self, record: Record) -> tuple[Service, ...]:
        return agents(self._context(record), _config_of(record), record.workers)

    def _coordinators(self, record: Record) -> tuple[Service, ...]:
        return coordinators(self._context(record), _config_of(record))

    def _service(self, record: Record, name: str) -> Service:
        ours = (*self._coordinators(record), *self._agents(record))
        known = {s.name: s for s in (*servers(self._context(record)), *ours)}
        if name not in known:
            raise InvalidValueError("service", name, f"one of {', '.join(known)}")
        return known[name]

    def _process(self, name: str) -> ProcessId | None:
        record = self._folder.load()
        return self._control(record).running(self._service(record, name)) if record else None

    def _tell(self, line: str) -> None:
        self._console.print(line, highlight=False, markup=False, soft_wrap=True)


@dataclass(frozen=True, slots=True)
class _Plan:
    """What `up` will do with agents and topics."""

    config: Path | None
    settings: Settings


def stack_leases(state: Path) -> CoordinatorSettings | None:
    """Return how an admin reaches the coordinators of the stack in a folder, if it has some.

    Raises:
        StateFolderError: The folder is not one that this version can use.
    """
    folder = StateFolder(state)
    record = folder.load()
    if record is None or record.nodes is None:
        return None
    token = folder.path / FOLDER / ADMIN_TOKEN
    return replace(record.nodes.settings(), client_token_file=token)


def _environ(record: Record, state: Path) -> dict[str, str]:
    """Return what a person's own processes have to know; who starts a stack may do anything."""
    known = record.ports.addresses().environ()
    return known if record.nodes is None else known | record.nodes.environ(state, ADMIN_TOKEN)


def _config_of(record: Record) -> Path:
    # Without a configuration none can be started; what runs can be found and stopped.
    return Path(record.config or "seamless.yaml")
