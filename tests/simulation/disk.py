"""A disk that remembers what was safe, and what else a crash may leave of it."""

import errno
import random
from dataclasses import dataclass, field

from coordinator._service.raft.files import Appending


class PowerLostError(BaseException):
    """The machine went dark in the middle of something; nothing may catch it."""


@dataclass(slots=True)
class _Blocks:
    """The bytes of a file, whatever its name."""

    data: bytearray = field(default_factory=bytearray)
    safe: int = 0
    """How many of them a power cut cannot take."""


class SimDisk:
    """One node's folder. Implements `Files`."""

    def __init__(self, chance: random.Random, *, syncs: bool = True) -> None:
        """Begin empty.

        Args:
            chance: Decides what a power cut takes.
            syncs: False: it says that bytes are safe and does nothing for it.
        """
        self._chance = chance
        self._syncs = syncs
        self._names: dict[str, _Blocks] = {}
        self._safe_names: dict[str, _Blocks] = {}
        self.steps = 0
        """Writes, syncs, renames so far."""

        self.dark_at: int | None = None
        """Step in the middle of which the power goes."""

        self.error_at: int | None = None
        """Step from which on the disk fails."""

        self.error = errno.EIO

    def power_cut(self) -> None:
        """Forget some of what was not safe, or all of it; the last write may tear."""
        # A rename that nobody waited for may have happened or not.
        if self._chance.random() < 0.5:
            self._names = dict(self._safe_names)
        for blocks in self._names.values():
            kept = self._chance.randint(blocks.safe, len(blocks.data))
            torn = bytes(blocks.data[:kept])
            if kept < len(blocks.data) and self._chance.random() < 0.3:
                # The length was written and the bytes were not.
                torn += bytes(min(len(blocks.data) - kept, 64))
            blocks.data = bytearray(torn)
            blocks.safe = len(torn)
        self._safe_names = dict(self._names)
        self.mend()

    def process_killed(self) -> None:
        """Keep everything: the machine lives on and will write it."""
        self.mend()

    def mend(self) -> None:
        """Have a disk again that works."""
        self.dark_at = self.error_at = None

    def _step(self) -> bool:
        """Count a step; return whether the power goes in it."""
        self.steps += 1
        if self.error_at is not None and self.steps >= self.error_at:
            raise OSError(self.error, "simulated")
        return self.dark_at is not None and self.steps >= self.dark_at

    def read(self, name: str) -> bytes | None:
        """Return all of a file."""
        blocks = self._names.get(name)
        return None if blocks is None else bytes(blocks.data)

    def append(self, name: str) -> Appending:
        """Open a file at its end."""
        return _SimFile(self, self._names.setdefault(name, _Blocks()))

    def create(self, name: str) -> Appending:
        """Open a file with nothing in it."""
        self._names[name] = _Blocks()
        return _SimFile(self, self._names[name])

    def rename(self, name: str, to: str) -> None:
        """Give a file another name."""
        dark = self._step()
        if not dark or self._chance.random() < 0.5:
            self._names[to] = self._names.pop(name)
        if dark:
            raise PowerLostError

    def sync_folder(self) -> None:
        """Make the names safe."""
        dark = self._step()
        if self._syncs and (not dark or self._chance.random() < 0.5):
            self._safe_names = dict(self._names)
        if dark:
            raise PowerLostError


class _SimFile:
    def __init__(self, disk: SimDisk, blocks: _Blocks) -> None:
        self._disk = disk
        self._blocks = blocks

    def write(self, data: bytes) -> None:
        disk = self._disk
        begin = len(self._blocks.data)
        self._blocks.data += data
        try:
            dark = disk._step()
        except OSError:
            # A write that fails may have written a part.
            del self._blocks.data[begin + disk._chance.randrange(len(data)) :]
            raise
        if dark:
            del self._blocks.data[begin + disk._chance.randrange(len(data) + 1) :]
            raise PowerLostError

    def sync(self) -> None:
        dark = self._disk._step()
        if self._disk._syncs and (not dark or self._disk._chance.random() < 0.5):
            self._blocks.safe = len(self._blocks.data)
        if dark:
            raise PowerLostError

    def close(self) -> None:
        pass
