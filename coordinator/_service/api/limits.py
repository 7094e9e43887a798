"""Every bound of the API in one place."""

from dataclasses import dataclass

from bars.errors import InvalidValueError


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What one node puts up with."""

    body_bytes: int = 1_048_576
    """A job with ten thousand ranges has a third of it."""

    body_s: float = 10.0
    """A body that is not there by then never will be."""

    idle_s: float = 30.0
    """A connection on which nothing is asked is closed after so long."""

    connections: int = 1_000
    pending: int = 1_000
    """Commands that wait for the log; more are told to come again."""

    propose_s: float = 5.0
    """A command whose outcome is not known by then is answered as such."""

    wait_s: float = 60.0
    """Longest wait of an acquire or a watch."""

    windows: int = 100_000
    """Windows of one job: more than ten years of minutes have."""

    page: int = 1_000
    """Rows or events of one answer."""

    def __post_init__(self) -> None:
        for name in self.__dataclass_fields__:
            if getattr(self, name) <= 0:
                raise InvalidValueError(name, getattr(self, name), "above 0")
