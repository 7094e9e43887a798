"""The parts of `seamless leases` that work on files, without any node."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bars.errors import InvalidValueError
from coordinator.recovery import inspect_folder, restore_node, verify_snapshot
from runtime import Settings

_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL


def export(data: bytes, file: Path) -> Mapping[str, Any]:
    """Write a snapshot into a new file once it has been read whole; return what it holds.

    Raises:
        InvalidValueError: The file is there, or cannot be made.
        SeamlessError: The snapshot is damaged.
    """
    report = verify_snapshot(data)
    try:
        with os.fdopen(os.open(file, _NEW, 0o600), "wb") as made:
            made.write(data)
            made.flush()
            os.fsync(made.fileno())
    except OSError as error:
        found = f"{file}: {error.strerror}"
        raise InvalidValueError("FILE", found, "a file that can be made") from None
    return {"file": str(file), "bytes": len(data), **report.document()}


def verify(file: Path) -> Mapping[str, Any]:
    """Return what a snapshot holds.

    Raises:
        InvalidValueError: The file cannot be read.
        SeamlessError: The snapshot is damaged.
    """
    return verify_snapshot(_read(file)).document()


def inspect(folder: Path, tail: int) -> Mapping[str, Any]:
    """Return what a node's folder holds.

    Raises:
        InvalidValueError: No node has ever started there.
        SeamlessError: Its files are damaged.
    """
    return inspect_folder(folder, tail).document()


def restore(settings: Settings, file: Path, number: int, reason: str | None) -> Mapping[str, Any]:
    """Make a node's folder from a snapshot; return what it begins with.

    Args:
        settings: Say where the folders lie and how many nodes there are.
        file: The snapshot.
        number: Which node, 1 for the first.
        reason: Why; None: only look whether it could be done.

    Raises:
        InvalidValueError: There is no such node, or one lives in the folder.
        SeamlessError: The snapshot is damaged.
    """
    section = settings.coordinator
    if not 1 <= number <= len(section.peers):
        raise InvalidValueError("--node", number, f"1 to {len(section.peers)}")
    data_dir = section.data_dir or settings.state_dir / "coordinator"
    folder = data_dir / f"node-{number}"
    data = _read(file)
    found = verify_snapshot(data)
    if (folder / "journal.log").exists():
        raise InvalidValueError("folder", str(folder), "empty: move what is there away first")
    if reason is not None:
        found = restore_node(data, data_dir, folder.name, reason)
    return {"folder": str(folder), **found.document()}


def _read(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        found = f"{file}: {error.strerror}"
        raise InvalidValueError("FILE", found, "a file that can be read") from None
