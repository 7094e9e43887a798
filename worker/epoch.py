"""The epoch of the lease service's tokens: above every token that may still be around.

A number in a file of the state folder, and the highest token of the ledger; the next epoch is
above both and is on disk before the first token of it is granted.
"""

import os
from pathlib import Path

from coordinator.client import epoch_of
from worker.errors import WorkerError

EPOCH_MAX = 2**22
"""A token is a signed 64-bit number, 40 bits of which count the grants of an epoch."""


class EpochFileError(WorkerError):
    """The file does not hold a number; guessing one could repeat tokens.

    Attributes:
        path: The file.
    """

    def __init__(self, path: Path, found: str) -> None:
        super().__init__(
            f"{path} must hold a number from 0 to {EPOCH_MAX}, was {found[:50]!r}; write one into "
            "it that is above every epoch so far, or remove it when the ledger holds the newest"
        )
        self.path = path


def next_epoch(path: Path, highest_token: int) -> int:
    """Return a new epoch, which is on disk when this returns.

    Args:
        path: The file; its folder is made if it is not there.
        highest_token: The highest token of the ledger.

    Raises:
        EpochFileError: The file holds something else, or there are no epochs left.
    """
    epoch = max(_read(path), epoch_of(highest_token)) + 1
    if epoch > EPOCH_MAX:
        raise EpochFileError(path, str(epoch))
    path.parent.mkdir(parents=True, exist_ok=True)
    new = path.with_suffix(".new")
    with new.open("w", encoding="ascii") as file:
        file.write(f"{epoch}\n")
        file.flush()
        os.fsync(file.fileno())
    new.replace(path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
    return epoch


def _read(path: Path) -> int:
    try:
        text = path.read_text(encoding="ascii").strip()
    except FileNotFoundError:
        return 0
    except UnicodeDecodeError:
        raise EpochFileError(path, "not text") from None
    if not text.isdigit() or int(text) > EPOCH_MAX:
        raise EpochFileError(path, text)
    return int(text)
