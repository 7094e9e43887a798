"""What the servers are made of: each file, and the digest it has to have.

The table is `artifacts.json`; `python -m ops.stack.pin` writes it anew for other versions.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files


@dataclass(frozen=True, slots=True, kw_only=True)
class Pinned:
    """One file and what it has to be."""

    group: str
    name: str
    version: str
    classifier: str = ""
    packaging: str = "jar"
    sha256: str
    size: int
    """In bytes; for the progress bar."""

    @property
    def coordinate(self) -> str:
        """What Maven calls it."""
        parts = (self.group, self.name, self.packaging, self.classifier, self.version)
        return ":".join(part for part in parts if part)


@dataclass(frozen=True, slots=True, kw_only=True)
class Bundle:
    """All files of one server."""

    title: str
    version: str
    files: tuple[Pinned, ...]
    tree_sha256: str | None = None
    """Digest of what the only file, an archive, unpacks to; None if it is not unpacked."""

    def __str__(self) -> str:
        return f"{self.title} {self.version}"


@cache
def bundles() -> Mapping[str, Bundle]:
    """Return the pinned table, by server."""
    table = json.loads(files("ops.stack").joinpath("artifacts.json").read_text("utf-8"))
    return {
        server: Bundle(**{**entry, "files": tuple(Pinned(**each) for each in entry["files"])})
        for server, entry in table.items()
    }
