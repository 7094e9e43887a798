"""A group of settings: a frozen dataclass that checks itself by the kinds of its fields."""

from collections.abc import Iterator, Mapping
from dataclasses import MISSING as NO_DEFAULT
from dataclasses import Field, dataclass, field, fields
from typing import Any, TypeVar

from runtime._kinds import Kind, RefusedError
from runtime.errors import ConfigError, Problem

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Word:
    """Stands in an error for a value that is not there or not to be shown."""

    word: str

    def __repr__(self) -> str:
        return self.word


MISSING = Word("missing")
"""The value of a setting that has to be given and was not."""


def setting(kind: Kind[T], default: Any = NO_DEFAULT, *, secret: bool = False) -> T:
    """Return the dataclass field of a setting; without a default it has to be given.

    Args:
        kind: What it may be.
        default: What it is when nobody says.
        secret: Whether it may hold a password: then neither `repr` nor an error shows it.
    """
    more: dict[str, Any] = {"default": default}
    if isinstance(default, Mapping):
        more = {"default_factory": dict(default).copy}
    made: T = field(metadata={"kind": kind, "secret": secret}, repr=not secret, **more)
    return made


def kind_of(of: "Field[Any]") -> Kind[Any] | None:
    """Return the kind of a field; None for a field that is no setting."""
    kind: Kind[Any] | None = of.metadata.get("kind")
    return kind


def shown(value: object, *, secret: bool) -> object:
    """Return what an error may say about a value that was found."""
    return Word(f"a hidden {type(value).__name__}") if secret else value


class Section:
    """Base of groups of settings. Construction raises `ConfigError` with all that is wrong."""

    __slots__ = ()

    def __post_init__(self) -> None:
        problems = list(self._wrong_values()) or list(self.relations())
        if problems:
            raise ConfigError(problems)

    def relations(self) -> Iterator[Problem]:
        """Yield what does not fit together, though each value is right by itself."""
        yield from ()

    def _wrong_values(self) -> Iterator[Problem]:
        for each in fields(self):  # type: ignore[arg-type]
            kind, value = kind_of(each), getattr(self, each.name)
            if kind is None:
                continue
            try:
                right = kind.read(value) == value
            except RefusedError:
                right = False
            if not right:
                found = shown(value, secret=bool(each.metadata.get("secret")))
                yield Problem(each.name, found, kind.allowed)
