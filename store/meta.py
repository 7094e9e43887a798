"""Who writes into a store."""

from dataclasses import dataclass
from typing import Literal

Writers = Literal["kafka", "direct"]


@dataclass(frozen=True, slots=True)
class Owner:
    """Who claimed a store first."""

    writers: Writers
    prefix: str
    """The topic prefix of Kafka writers, empty for direct ones."""

    created: int
    """When, by the server's clock, epoch microseconds."""


class Meta:
    """The table that says who owns the store."""

    def owner(self) -> Owner | None:
        """Return who owns the store, None while nobody has claimed it."""
        raise NotImplementedError

    def claim(self, writers: Writers, prefix: str = "") -> Owner:
        """Return the owner if the caller may write, having claimed a free store for it.

        Kafka writers take over a store that only direct writers used; from then on `claim` refuses
        these. So direct writers claim before every write.

        Raises:
            StoreOwnedError: Kafka writers (with another prefix) own it.
        """
        raise NotImplementedError
