"""Keys of the older lease protocol: `node:interval:start:end:world:as_of`.

A node may contain colons, and so may a time that is written out. So the key is read from the
right: the interval and the two ends are the last three numbers in a row that leave room for a
world and an `as_of` behind them. Both may be missing.
"""

import re
from dataclasses import dataclass

from bars.errors import InvalidValueError

_WHOLE = re.compile(r"-?[0-9]{1,18}")
_TIME = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}([T ].*)?")
_ALLOWED = "node:interval:start:end:world:as_of with whole seconds, start at or before end"


@dataclass(frozen=True, slots=True)
class LeaseKey:
    """A key, read."""

    text: str
    """All of it: two keys are the same only if this is."""

    node: str
    interval: int
    start: int
    end: int
    """The last open time that is meant, included."""

    world: str
    as_of: str


def parse_key(text: str) -> LeaseKey:
    """Return what a key says.

    Raises:
        InvalidValueError: It is none.
    """
    parts = text.split(":")
    found = [key for at in range(1, len(parts) - 2) if (key := _read(text, parts, at)) is not None]
    if not found:
        raise InvalidValueError("key", text, _ALLOWED)
    return max(found, key=lambda key: (_likely(key), len(key.node)))


def _read(text: str, parts: list[str], at: int) -> LeaseKey | None:
    """Return the key if its interval stands at a place; None if it cannot."""
    node, numbers, rest = ":".join(parts[:at]), parts[at : at + 3], parts[at + 3 :]
    if not node or not all(_WHOLE.fullmatch(number) for number in numbers):
        return None
    interval, start, end = map(int, numbers)
    if interval <= 0 or start > end:
        return None
    world, as_of = (rest[0] if rest else ""), ":".join(rest[1:])
    if ":" in as_of and not _TIME.fullmatch(as_of):
        return None
    return LeaseKey(text, node, interval, start, end, world, as_of)


def _likely(key: LeaseKey) -> int:
    """Return how much of a whole key it is."""
    return bool(key.as_of) + bool(key.world)
