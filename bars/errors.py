"""The root of the one tree of errors, and the errors of values."""

from typing import ClassVar


class SeamlessError(Exception):
    """Base of every error that this project raises on purpose."""

    retriable: ClassVar[bool] = False
    """Whether the same call may succeed later with nothing changed by the caller."""


class InvalidValueError(SeamlessError, ValueError):
    """A value that a person or a program gave is outside what is allowed.

    Attributes:
        field: Which value.
        found: What it was.
        allowed: What it may be.
    """

    def __init__(self, field: str, found: object, allowed: str) -> None:
        super().__init__(f"{field} must be {allowed}, was {found!r}")
        self.field = field
        self.found = found
        self.allowed = allowed
