"""What a setting may be: small readers of one value, each with the words for what it allows.

A kind accepts what YAML, an environment variable or a program gives, and is idempotent: what it
returned, it accepts and returns again. So one table serves the file, the overrides and objects
made in code.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar
from zoneinfo import ZoneInfo

from bars.errors import InvalidValueError
from bars.series import check_lane, check_node, check_source, parse_interval
from runtime.times import TIME_ALLOWED, parse_time

T = TypeVar("T")
K = TypeVar("K")


class RefusedError(Exception):
    """A value is not of its kind.

    Attributes:
        key: Path from the value down to the part that is wrong; empty for the value itself.
        found: What that was.
        allowed: What it may be.
    """

    def __init__(self, found: object, allowed: str, key: str = "") -> None:
        super().__init__(key, found, allowed)
        self.key = key
        self.found = found
        self.allowed = allowed


@dataclass(frozen=True, slots=True)
class Kind(Generic[T]):
    """How to read one value."""

    allowed: str
    """What it may be, in words that follow "must be"."""

    read: Callable[[object], T]
    """Return the value or raise `RefusedError`."""

    from_text: Callable[[str], object] = str
    """Turn an environment variable into what `read` takes."""


def _plain(allowed: str, convert: Callable[[object], T], **more: Any) -> Kind[T]:
    """Return a kind whose converter may raise ValueError or TypeError."""

    def read(value: object) -> T:
        try:
            return convert(value)
        except (ValueError, TypeError, InvalidValueError):
            raise RefusedError(value, allowed) from None

    return Kind(allowed, read, **more)


def text(allowed: str = "text", pattern: str = r"(?s).+") -> Kind[str]:
    """Return text that fits a pattern. A number is not text: YAML needs quotes round it."""

    def convert(value: object) -> str:
        if not isinstance(value, str) or re.fullmatch(pattern, value) is None:
            raise ValueError
        return value

    return _plain(allowed, convert)


def choice(*names: str) -> Kind[Any]:
    """Return one of some names."""
    return text("one of " + ", ".join(names), "|".join(map(re.escape, names)))


def integer(low: int, high: int) -> Kind[int]:
    """Return a whole number between two bounds, both allowed."""

    def convert(value: object) -> int:
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            raise ValueError
        return value

    return _plain(f"a whole number from {low} to {high}", convert, from_text=_number_or_text)


def number(low: float, high: float) -> Kind[float]:
    """Return a number between two bounds, both allowed."""

    def convert(value: object) -> float:
        if (
            isinstance(value, bool)
            or not isinstance(value, int | float)
            or not low <= value <= high
        ):
            raise ValueError
        return value

    return _plain(f"a number from {low:g} to {high:g}", convert, from_text=_number_or_text)


def ratio() -> Kind[float]:
    """Return a share: what lies outside 0 to 1 is taken as the nearer of the two."""

    def convert(value: object) -> float:
        if isinstance(value, bool) or not isinstance(value, int | float) or value != value:  # noqa: PLR0124
            raise ValueError
        return min(max(value, 0), 1)

    return _plain("a number, taken as 0 to 1", convert, from_text=_number_or_text)


def _number_or_text(value: str) -> object:
    for convert in (int, float):
        try:
            return convert(value)
        except ValueError:
            continue
    return value


def flag() -> Kind[bool]:
    """Return true or false."""

    def convert(value: object) -> bool:
        if not isinstance(value, bool):
            raise TypeError
        return value

    return _plain(
        "true or false",
        convert,
        from_text=lambda value: {"true": True, "false": False}.get(value.lower(), value),
    )


def path() -> Kind[Path]:
    """Return a path; `~` is the user's home. Relative ones are resolved by the reader."""

    def convert(value: object) -> Path:
        if not isinstance(value, str | Path) or not str(value) or "\0" in str(value):
            raise ValueError
        return Path(value).expanduser()

    return _plain("a path", convert, from_text=_from_here)


def _from_here(value: str) -> str:
    """Return a path of the environment: relative to the folder one stands in, not to the file."""
    return str(Path(value).expanduser().absolute()) if value else value


def timezone() -> Kind[str]:
    """Return the name of a time zone."""

    def convert(value: object) -> str:
        if not isinstance(value, str):
            raise TypeError
        try:
            return ZoneInfo(value).key
        except (KeyError, OSError):
            raise ValueError from None

    return _plain("a time zone like America/New_York", convert)


def time() -> Kind[int]:
    """Return epoch seconds."""
    return _plain(TIME_ALLOWED, parse_time)


def interval() -> Kind[int]:
    """Return the seconds of a bar length."""

    def convert(value: object) -> int:
        if isinstance(value, bool) or not isinstance(value, int | str):
            raise TypeError
        return parse_interval(value)

    return _plain("a number of seconds or like 30s, 5m, 1h, 1d", convert)


def source_name() -> Kind[str]:
    """Return what a source may be called."""
    return _plain("one or more of a-z 0-9 _ . -", check_source)


def node() -> Kind[str]:
    """Return the node of a series."""
    return _plain("a node: 1 to 200 bytes, no control characters, no |, no leading ~", check_node)


def lane() -> Kind[str]:
    """Return a lane."""
    return _plain("'roll' or 'bf:<source>'", check_lane)


def anything() -> Kind[Any]:
    """Return any value."""
    return Kind("anything", lambda value: value)


def optional(kind: Kind[T]) -> Kind[T | None]:
    """Return the same or nothing (`null`)."""
    allowed = f"{kind.allowed}, or null"

    def read(value: object) -> T | None:
        try:
            return None if value is None else kind.read(value)
        except RefusedError as e:
            raise RefusedError(e.found, e.allowed if e.key else allowed, e.key) from None

    return Kind(allowed, read, kind.from_text)


def many(kind: Kind[T]) -> Kind[tuple[T, ...]]:
    """Return a list without repeats, in order; comma-separated in an environment variable."""
    allowed = f"a list without repeats, each {kind.allowed}"

    def read(value: object) -> tuple[T, ...]:
        if isinstance(value, str) or not isinstance(value, Sequence):
            raise RefusedError(value, allowed)
        found = []
        for i, item in enumerate(value):
            try:
                found.append(kind.read(item))
            except RefusedError as e:
                raise RefusedError(e.found, e.allowed, f"{i}.{e.key}".rstrip(".")) from None
        if len(set(found)) < len(found):
            raise RefusedError(value, allowed)
        return tuple(found)

    return Kind(
        allowed, read, lambda value: [v.strip() for v in value.split(",")] if value.strip() else []
    )


def table(keys: Kind[K], values: Kind[T]) -> Kind[Mapping[K, T]]:
    """Return a mapping."""
    allowed = "a mapping"

    def read(value: object) -> Mapping[K, T]:
        if not isinstance(value, Mapping):
            raise RefusedError(value, allowed)
        found: dict[K, T] = {}
        for key, item in value.items():
            try:
                name = keys.read(key)
            except RefusedError as e:
                raise RefusedError(key, f"a key that is {e.allowed}", str(key)) from None
            try:
                found[name] = values.read(item)
            except RefusedError as e:
                raise RefusedError(e.found, e.allowed, f"{key}.{e.key}".rstrip(".")) from None
        return found

    return Kind(allowed, read)


def weekly_time() -> Kind[str]:
    """Return a time of the week like `Sun 17:00`."""
    return text(
        "a time of the week like 'Sun 17:00'",
        r"(Mon|Tue|Wed|Thu|Fri|Sat|Sun) ([01][0-9]|2[0-3]):[0-5][0-9]",
    )
