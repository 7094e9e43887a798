"""The build under test, and three with a rule left out: the checkers must catch each of them."""

from dataclasses import dataclass
from typing import Final

from coordinator.machine.replica import Replica
from coordinator.machine.wire import UnsupportedVersionError, decode_entry, level_of


class WithoutDedupe(Replica):
    """Obeys a command again that comes again."""

    def apply(self, data: bytes) -> bytes:
        self._said.clear()
        return super().apply(data)


class WithoutTermCheck(Replica):
    """Takes what a leader that was replaced has written."""

    def apply(self, data: bytes) -> bytes:
        self.term = 0
        return super().apply(data)


class OlderProgram(Replica):
    """Knows no command of a level above the first."""

    level = 1

    def apply(self, data: bytes) -> bytes:
        if level_of(decode_entry(data).command) > self.level:
            raise UnsupportedVersionError("command.op must be one of those of level 1")
        return super().apply(data)


@dataclass(frozen=True, slots=True, kw_only=True)
class Build:
    """What the nodes of a run are made of."""

    name: str
    replica: type[Replica] = Replica
    syncs: bool = True
    """Whether the disk does what it says."""


HONEST: Final = Build(name="honest")
NO_FSYNC: Final = Build(name="no fsync", syncs=False)
NO_DEDUPE: Final = Build(name="no dedupe", replica=WithoutDedupe)
NO_TERM_CHECK: Final = Build(name="no term check", replica=WithoutTermCheck)
BROKEN: Final = (NO_FSYNC, NO_DEDUPE, NO_TERM_CHECK)
BUILDS: Final = {build.name: build for build in (HONEST, *BROKEN)}
