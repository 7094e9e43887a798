"""What the stack knows of one service, whatever it is."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ops.stack.processes import ProcessId

STACK_VARIABLE = "SEAMLESS_STACK_PROCESS"
"""Environment variable that says which service of which stack a process is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """How to start one service, to see that it works, and to stop it."""

    name: str
    title: str
    """Name and version, for people."""

    log: Path
    """Where its output goes."""

    prepare: Callable[[tuple[Path, ...]], tuple[str, ...]]
    """Make what it needs out of the checked files of its bundle, and return its command."""

    environ: dict[str, str]
    """All of its environment."""

    probe: Callable[[float], str | None]
    """Ask it something real within some seconds; return why it is not ready, None if it is."""

    find: Callable[[], Iterable[ProcessId]]
    """Return processes that may be it when nothing is remembered."""

    leftovers: Callable[[], Iterable[ProcessId]] = tuple
    """Return processes that it may have left behind when it was killed."""

    address: str = ""
    """Where it is reached."""

    ports: tuple[int, ...] = ()
    """Ports that have to be free before it starts."""

    stop_timeout_s: float = 20.0
    """How long it may take to end when asked to."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceStatus:
    """What is seen of one service now."""

    name: str
    title: str
    status: str
    """`ready`, `not ready` (runs and does not answer), `dead` (ended by itself) or `stopped`."""

    pid: int | None = None
    address: str = ""
    log: str = ""
    detail: str = ""
    """Why it is not ready."""

    @property
    def ready(self) -> bool:
        """Whether it works."""
        return self.status == "ready"


@dataclass(frozen=True, slots=True, kw_only=True)
class StackStatus:
    """What is seen of a stack now."""

    state: str
    """Its folder."""

    services: tuple[ServiceStatus, ...]
    addresses: dict[str, str] = field(default_factory=dict)
    """As environment variables."""

    config: str | None = None
    """What the agents run with."""

    @property
    def ready(self) -> bool:
        """Whether there is something, and all of it works."""
        return bool(self.services) and all(each.ready for each in self.services)

    def to_json(self) -> dict[str, Any]:
        """Return it as plain values."""
        names = ServiceStatus.__dataclass_fields__
        return {
            "ready": self.ready,
            "state": self.state,
            "config": self.config,
            "environment": self.addresses,
            "services": [{name: getattr(s, name) for name in names} for s in self.services],
        }
