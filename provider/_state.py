"""What one call has come to so far."""

from dataclasses import dataclass, field
from typing import Any

from bars.conformance import ConformanceResult
from bars.window import Window, merge
from provider._filled import Filled
from provider._join import Piece
from provider._read import Failure, Look, Reading
from provider.errors import SeamlessSLAExceeded
from runtime import DeadlineExceededError


@dataclass(slots=True, eq=False)
class State:
    """What one call has come to so far; nobody else's."""

    pieces: list[Piece] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)
    filled: Filled = field(default_factory=Filled)
    late: DeadlineExceededError | None = None
    """The first wait that took too long."""

    overdue: bool = False
    """Whether that was the wait for a fetch."""

    goes_on: bool = False
    """Whether that fetch goes on."""

    violations: list[SeamlessSLAExceeded] = field(default_factory=list)
    job: str | None = None
    look: Look | None = None
    unverified: bool = False
    about: dict[str, Any] = field(default_factory=dict)
    report: ConformanceResult | None = None

    @property
    def covered(self) -> tuple[Window, ...]:
        """What the pieces cover."""
        return merge(piece.window for piece in self.pieces)

    def take(self, reading: Reading, look: Look) -> None:
        """Take over what was read."""
        self.pieces += reading.pieces
        self.failures += [*look.failures, *reading.failures]
        self.late = self.late or look.late or reading.late
        self.unverified = reading.unverified
        self.look = look
