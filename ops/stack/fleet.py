"""How many coordinators and workers a stack has, and where the coordinators listen."""

import secrets
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from bars.errors import InvalidValueError
from ops.stack.listening import HOST, PORT_MAX, free_ports
from runtime.coordinator import NODES_ALLOWED, CoordinatorSettings
from runtime.settings import Settings

WORKERS_MAX = 64
NODES_MAX = max(NODES_ALLOWED)
FIRST_PORT = 18_070
"""Of the APIs, one for each node; those for the nodes among themselves follow after five."""

FIRST_METRICS_PORT = 18_101
"""Of conform; materialize and the workers follow."""

TOKEN_BYTES = 32
FOLDER = "coordinator"
WORKER_TOKEN, ADMIN_TOKEN, TOKENS = "token.worker", "token.admin", "tokens"


@dataclass(frozen=True, slots=True)
class Asked:
    """What a command asks for; None: as before."""

    coordinators: int | None = None
    workers: int | None = None

    def __post_init__(self) -> None:
        allowed = (0, *NODES_ALLOWED)
        if self.coordinators is not None and self.coordinators not in allowed:
            raise InvalidValueError("--coordinators", self.coordinators, "0, 1, 3 or 5")
        if self.workers is not None and not 1 <= self.workers <= WORKERS_MAX:
            raise InvalidValueError("--workers", self.workers, f"from 1 to {WORKERS_MAX}")


@dataclass(frozen=True, slots=True)
class NodePorts:
    """The ports of the coordinators, node 1 first."""

    api: tuple[int, ...]
    raft: tuple[int, ...]

    @classmethod
    def from_base(cls, nodes: int, base: int = FIRST_PORT) -> Self:
        """Return consecutive ports; five are left for either kind, however many nodes there are.

        Raises:
            InvalidValueError: They would not all be ports.
        """
        if base + 2 * NODES_MAX - 1 > PORT_MAX:
            raise InvalidValueError("ports", base, f"at most {PORT_MAX + 1 - 2 * NODES_MAX}")
        raft = base + NODES_MAX
        return cls(tuple(range(base, base + nodes)), tuple(range(raft, raft + nodes)))

    @classmethod
    def free(cls, nodes: int, but: Collection[int] = ()) -> Self:
        """Return ports on which nobody listens now.

        Args:
            nodes: How many nodes there are.
            but: Ports that somebody will have who does not listen yet.

        Raises:
            NoFreePortError: There are not as many.
        """
        found = free_ports(2 * nodes, but=but)
        return cls(found[:nodes], found[nodes:])

    @classmethod
    def from_json(cls, found: Mapping[str, Any]) -> Self:
        """Return what `asdict` and JSON made."""
        return cls(tuple(found["api"]), tuple(found["raft"]))

    @property
    def all(self) -> tuple[int, ...]:
        """Every one of them."""
        return self.api + self.raft

    def settings(self) -> CoordinatorSettings:
        """Return the section of a configuration that has these nodes."""
        return CoordinatorSettings(
            urls=tuple(f"http://{HOST}:{port}" for port in self.api),
            peers=tuple(f"{HOST}:{port}" for port in self.raft),
        )

    def environ(self, state: Path, token: str) -> dict[str, str]:
        """Return what a client has to know, as environment variables.

        Args:
            state: The folder of the stack.
            token: File of the token that it shows.
        """
        section, folder = self.settings(), state / FOLDER
        return {
            "SEAMLESS_COORDINATOR_URLS": ",".join(section.urls),
            "SEAMLESS_COORDINATOR_PEERS": ",".join(section.peers),
            "SEAMLESS_COORDINATOR_CLIENT_TOKEN_FILE": str(folder / token),
        }

    def node_environ(self, state: Path) -> dict[str, str]:
        """Return what a node has to know, as environment variables."""
        folder = state / FOLDER
        return self.environ(state, WORKER_TOKEN) | {
            "SEAMLESS_COORDINATOR_DATA_DIR": str(folder),
            "SEAMLESS_COORDINATOR_SECRET_FILE": str(folder / "secret"),
            "SEAMLESS_COORDINATOR_TOKEN_FILE": str(folder / TOKENS),
        }


def node_names(nodes: int) -> tuple[str, ...]:
    """Return what the ports of coordinators are called, in the order of `NodePorts.all`."""
    return tuple(f"{kind}-{node}" for kind in ("api", "raft") for node in range(1, nodes + 1))


def agent_names(workers: int) -> tuple[str, ...]:
    """Return what the agents are called: each is a service with a log and a metrics port."""
    more = (f"worker-{number}" for number in range(2, workers + 1))
    return ("conform", "materialize", "worker", *more)


def coordinators_of(settings: Settings) -> int:
    """Return how many coordinators a configuration asks a stack for.

    A section that names no nodes of its own asks for one here.
    """
    here = settings.coordinator.urls == CoordinatorSettings().urls
    return int(settings.has_coordinator and here)


def nodes_made(state: Path) -> int:
    """Return how many nodes have a log in a folder: their number is fixed with it."""
    return len(list((state / FOLDER).glob("node-*")))


def make_secrets(state: Path) -> None:
    """Make the secret and the tokens that are not there yet, for nobody else to read."""
    folder = state / FOLDER
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    _write_once(folder / "secret", secrets.token_hex(TOKEN_BYTES))
    worker = _write_once(folder / WORKER_TOKEN, secrets.token_hex(TOKEN_BYTES))
    admin = _write_once(folder / ADMIN_TOKEN, secrets.token_hex(TOKEN_BYTES))
    _write_once(folder / TOKENS, f"worker {worker}\nadmin {admin}")


def _write_once(file: Path, text: str) -> str:
    """Return what a file says, having written it if it was not there."""
    if not file.exists():
        part = file.with_name(f"{file.name}.part")
        part.unlink(missing_ok=True)
        part.touch(mode=0o600)
        part.write_text(text + "\n", "ascii")
        part.replace(file)
    return file.read_text("ascii").strip()
