"""A command on its way through the log, and how it may end."""

from collections.abc import Callable
from typing import TypeAlias

from coordinator._service.log import LogError
from coordinator.machine import AnyCommand, Reply
from coordinator.machine.frozen import frozen
from coordinator.machine.wire import encode_command, level_of


@frozen
class Applied:
    """A command that has become part of the state."""

    reply: bytes
    """What the machine said."""

    told: Reply | None = None
    """The same as a value, where there is one already."""

    index: int
    """Its place in the log."""

    term: int
    """Term of the leader that appended it."""

    clock_ms: int
    """The replicated clock after it."""


Outcome: TypeAlias = Applied | LogError


@frozen
class Proposal:
    """A command on its way."""

    command: bytes
    """As it stands in an entry: written once, by whoever asks."""

    level: int
    """What a node must know to read it: see `level_of`."""

    request_id: str
    done: Callable[[Outcome], None]
    """Told once how it ended, in the turning thread; must not raise."""

    @classmethod
    def of(
        cls, command: AnyCommand, request_id: str, done: Callable[[Outcome], None]
    ) -> "Proposal":
        """Return a command on its way."""
        return cls(
            command=encode_command(command),
            level=level_of(command),
            request_id=request_id,
            done=done,
        )
