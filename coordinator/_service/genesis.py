"""What the first entry of a log finds: the same on every node, for as long as the log lives.

Written down when a node starts for the first time. A configuration that was changed afterwards
would make a node that reads its log again come to another state than the others; it is followed
when a person orders it, as an entry of the log.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

from bars.errors import InvalidValueError
from coordinator.machine import MachineConfig, State, initial

FILE = "genesis.json"
FIRST_EPOCH = 1


def first_state(folder: Path, config: MachineConfig) -> State:
    """Return the state before the first entry, written down in a node's folder.

    Args:
        folder: The node's.
        config: What the configuration says now; counts only if nothing is written yet.

    Raises:
        InvalidValueError: What is written there cannot be read.
    """
    file = folder / FILE
    if not file.exists():
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        part = file.with_suffix(".part")
        part.write_text(json.dumps({"epoch": FIRST_EPOCH, "config": asdict(config)}), "utf-8")
        part.replace(file)
    return read(file)


def read(file: Path) -> State:
    """Return the state that a file describes.

    Raises:
        InvalidValueError: It cannot be read.
    """
    try:
        document: Mapping[str, Any] = json.loads(file.read_text("utf-8"))
        known = {each.name for each in fields(MachineConfig)}
        config = {name: value for name, value in document["config"].items() if name in known}
        return initial(int(document["epoch"]), MachineConfig(**config))
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise InvalidValueError(str(file), str(error), "what a node wrote at its start") from None
