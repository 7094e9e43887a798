"""The errors of this room: a configuration that is wrong, and time that ran out."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bars.errors import SeamlessError


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong with a configuration."""

    key: str
    """Full path of the setting, e.g. `nodes.ohlcv:x.interval`."""

    value: object
    """What was found; a secret is described, never shown."""

    allowed: str
    """What it may be."""

    unknown: bool = False
    """Whether the key itself is the mistake."""

    origin: str = ""
    """Where it was said, if not in the file."""

    def __str__(self) -> str:
        key = f"{self.key} ({self.origin})" if self.origin else self.key
        if self.unknown:
            return f"{key}: unknown key, must be {self.allowed}"
        value = str(self.value) if isinstance(self.value, Path) else self.value
        return f"{key}: must be {self.allowed}, was {value!r}"


class ConfigError(SeamlessError):
    """A configuration was refused; the message names everything that is wrong, one a line.

    Attributes:
        problems: All of them, at least one.
        key: Path of the first.
        value: What the first was.
        allowed: What the first may be.
    """

    def __init__(self, problems: Sequence[Problem], where: str = "") -> None:
        lines = [str(p) for p in problems]
        super().__init__("\n".join([f"{where}:", *(f"  {x}" for x in lines)] if where else lines))
        self.problems = tuple(problems)
        first = self.problems[0]
        self.key = first.key
        self.value = first.value
        self.allowed = first.allowed


class DeadlineExceededError(SeamlessError):
    """The time that a caller gave was used up.

    Not retriable under the same deadline; whether to give a new one is the caller's decision.

    Attributes:
        phase: What was being done.
        budget_ms: How long all of it might take.
        elapsed_ms: How long it had taken.
    """

    def __init__(self, phase: str, budget_ms: float, elapsed_ms: float) -> None:
        super().__init__(
            f"{phase}: must end within {budget_ms:.0f} ms, was not done after {elapsed_ms:.0f} ms"
        )
        self.phase = phase
        self.budget_ms = budget_ms
        self.elapsed_ms = elapsed_ms
