"""What came of bringing missing bars, and who brings them. Values and a protocol."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Protocol, TypeAlias

from avro_schemas import WindowFailure
from bars.frame import BarFrame
from bars.window import Window, intersect
from provider._ask import Ask

Progress: TypeAlias = Callable[[float], None]
"""Told how far something is, 0 to 1."""


@dataclass(frozen=True, slots=True, eq=False)
class Brought:
    """Bars that were fetched and judged."""

    window: Window
    bars: BarFrame


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Filled:
    """What came of bringing missing bars. What was stored is seen in the ledger."""

    failures: tuple[WindowFailure, ...] = ()
    """Windows that finally failed."""

    reason: str = ""
    """What is said of the whole, for people; empty: nothing went wrong."""

    listed: Window | None = None
    """The source has nothing outside this part of what was asked; None: not told."""

    brought: tuple[Brought, ...] = ()
    """What is right and may not be seen in any store."""

    unstored: Exception | None = None
    """Why what was brought could not be stored."""

    request_id: str = ""
    """The call it was fetched for, which may be another one's."""

    @classmethod
    def of(cls, parts: Iterable["Filled"]) -> "Filled":
        """Return what several came to together."""
        found = list(parts)
        if len(found) == 1:
            return found[0]
        return cls(
            failures=tuple(f for part in found for f in part.failures),
            reason="; ".join(dict.fromkeys(part.reason for part in found if part.reason)),
            listed=next((part.listed for part in found if part.listed), None),
            brought=tuple(b for part in found for b in part.brought),
            unstored=next((part.unstored for part in found if part.unstored), None),
            request_id=next((part.request_id for part in found if part.request_id), ""),
        )

    def inside(self, windows: tuple[Window, ...]) -> "Filled":
        """Return what concerns some windows."""
        own = tuple(f for f in self.failures if intersect((Window(f.start, f.end),), windows))
        gone = bool(self.failures) and not own
        return Filled(
            failures=own,
            reason="" if gone else self.reason,
            listed=self.listed,
            brought=tuple(b for b in self.brought if intersect((b.window,), windows)),
            unstored=self.unstored,
            request_id=self.request_id,
        )


class Filler(Protocol):
    """Somebody who brings missing bars."""

    async def fill(self, ask: Ask, gaps: tuple[Window, ...], progress: Progress) -> Filled:
        """Return once every gap can be read or has finally failed.

        Args:
            ask: The call it is for.
            gaps: Windows that begin and end with session bars, ascending and disjoint.
            progress: Told how far it is; never falls.
        """
        ...

    def goes_on(self, ask: Ask) -> bool:
        """Return whether bars that nobody waits for any longer are brought all the same."""
        ...

    def pieces(self, ask: Ask, gaps: tuple[Window, ...]) -> tuple[Window, ...]:
        """Return the windows that the gaps would be fetched in."""
        ...

    async def close(self) -> None:
        """Let go of everything; harmless when repeated."""
        ...
