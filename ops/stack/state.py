"""What a stack remembers between commands: one small file, replaced whole."""

import json
import os
import re
import secrets
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Self

from ops.stack.addresses import Ports
from ops.stack.errors import StateFolderError
from ops.stack.fleet import NodePorts
from ops.stack.processes import ProcessId

FORMAT = 1
"""Of the file and of how the folder is laid out."""

_FILE = "stack.json"
_SERVERS = ("kafka", "registry", "questdb")


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """All that is remembered. Immutable: a change is a new record that was saved."""

    id: str = field(default_factory=lambda: secrets.token_hex(8))
    """Stands in the environment of each process of this stack, so that it is known again."""

    ports: Ports = field(default_factory=Ports)
    versions: Mapping[str, str] = field(default_factory=dict)
    """Version of each server whose data lies in the folder."""

    agents: bool = False
    """Whether agents were started, so that their absence is a fault."""

    config: str | None = None
    """Absolute path of the configuration that they run with."""

    config_sha256: str | None = None
    """What the configuration said when they were started."""

    nodes: NodePorts | None = None
    """Where the coordinators listen; None: there are none."""

    workers: int = 1
    """Fetch workers among the agents."""

    metrics: Mapping[str, int] = field(default_factory=dict)
    """Port of the metrics of each agent."""

    processes: Mapping[str, ProcessId] = field(default_factory=dict)
    """What was started and not stopped, by service."""

    @classmethod
    def from_json(cls, found: dict[str, Any]) -> Self:
        """Return what `to_json` made.

        Raises:
            KeyError: A part is missing.
            TypeError: A part is something else.
        """
        return cls(
            id=found["id"],
            ports=Ports.from_mapping(found["ports"]),
            versions=found["versions"],
            agents=found["agents"],
            config=found["config"],
            config_sha256=found["config_sha256"],
            nodes=NodePorts.from_json(found["nodes"]) if found.get("nodes") else None,
            workers=found.get("workers", 1),
            metrics=found.get("metrics", {}),
            processes={name: ProcessId(**each) for name, each in found["processes"].items()},
        )

    def to_json(self) -> dict[str, Any]:
        """Return it as plain values."""
        return {"format": FORMAT, **asdict(self)}


class StateFolder:
    """A folder that holds the data, logs and memory of one stack."""

    def __init__(self, path: Path) -> None:
        """Use a folder, which need not exist yet.

        Raises:
            StateFolderError: Its path has a character that a server's own settings cannot hold.
        """
        self.path = path.expanduser().absolute()
        if found := re.search(r"[,;:\\\x00-\x1f]", str(self.path)):
            raise StateFolderError(
                self.path,
                f"the path must have none of , ; : \\ in it for the servers to use it, has "
                f"{found.group()!r}: choose another with --state",
            )

    @property
    def lock(self) -> Path:
        """The file that commands lock."""
        return self.path / "stack.lock"

    def data(self, service: str) -> Path:
        """Return the folder with the files of a service."""
        return self.path / service

    def log(self, service: str) -> Path:
        """Return the file that a service writes its output to."""
        return self.path / "logs" / f"{service}.log"

    def run(self, name: str) -> Path:
        """Return a file of a running process, worth nothing after its end."""
        return self.path / "run" / name

    def load(self) -> Record | None:
        """Return what is remembered, or None when the folder is new.

        Raises:
            StateFolderError: The folder is of another version, or its memory is damaged.
        """
        file = self.path / _FILE
        try:
            found = json.loads(file.read_text("utf-8"))
            if found["format"] != FORMAT:
                raise StateFolderError(
                    self.path,
                    f"was made by a version of Seamless with format {found['format']}, this one "
                    f"has {FORMAT}: use that version, or another folder with --state",
                )
            return Record.from_json(found)
        except FileNotFoundError:
            self._refuse_strangers()
            return None
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise StateFolderError(
                self.path,
                f"{file.name} cannot be read ({error!r}): use another folder with --state, or "
                "delete this one with the data in it",
            ) from None

    def save(self, record: Record) -> None:
        """Replace what is remembered; a crash leaves the old or the new, never a half."""
        self.path.mkdir(parents=True, exist_ok=True)
        part = self.path / f"{_FILE}.part"
        with part.open("w", encoding="utf-8") as file:
            json.dump(record.to_json(), file, indent=1)
            file.flush()
            os.fsync(file.fileno())
        part.replace(self.path / _FILE)

    def check_versions(self, record: Record, versions: Mapping[str, str]) -> None:
        """Go on if the data in the folder was written by these versions of the servers.

        Raises:
            StateFolderError: It was not: servers do not always read older data, or newer.
        """
        for name, version in record.versions.items():
            if versions.get(name) != version:
                raise StateFolderError(
                    self.path,
                    f"holds data of {name} {version}, this version of Seamless runs "
                    f"{versions.get(name, 'none')}: use the version that made it, or another "
                    "folder with --state",
                )

    def _refuse_strangers(self) -> None:
        """A folder with data and without memory is not ours to start servers in."""
        for name in _SERVERS:
            if self.data(name).exists():
                raise StateFolderError(
                    self.path,
                    f"holds a folder {name!r} but no {_FILE}, so it was not made by `seamless up`: "
                    "use another folder with --state",
                )
