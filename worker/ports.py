"""What the worker needs from outside, as protocols: topics, the ledger, evidence.

`worker.kafka` has the real ones, `worker.testing` those in memory.
"""

from collections.abc import Collection, Mapping
from typing import NamedTuple, Protocol, TypeAlias

from avro_schemas import (
    BackfillRequest,
    BackfillStatus,
    BarChunk,
    ConformanceReport,
    Receipt,
)
from bars.series import Series
from bars.window import Window
from topics import RawMessage

Proof: TypeAlias = ConformanceReport | Receipt
"""What tells how a chunk fared."""


class Place(NamedTuple):
    """Where a chunk stands."""

    partition: int
    offset: int


class Moved(NamedTuple):
    """Partitions that have changed hands."""

    gained: frozenset[int]
    """Ours now, and somebody else's before, or nobody's."""

    lost: frozenset[int]
    """Were ours. One that was somebody else's in between is among both."""


class Inbox(Protocol):
    """The request topic, read as a member of its group."""

    async def poll(self, timeout_s: float) -> list[RawMessage]:
        """Return the next records; empty when none came in time."""
        ...

    def moved(self) -> Moved:
        """Return what the group has given and taken since the last call; asked after each poll."""
        ...

    async def answered(self, partitions: Collection[int]) -> list[BackfillStatus]:
        """Return the final statuses of late of the requests in some partitions, newest last."""
        ...

    async def decode(self, message: RawMessage) -> BackfillRequest:
        """Return the request; `UnreadableRecordError` when it never will be one."""
        ...

    async def commit(self, offsets: Mapping[int, int]) -> None:
        """Commit the first offset of each partition that is not finished."""
        ...

    async def pause(self) -> None:
        """Let polls return nothing more until `resume`; the membership stays alive."""
        ...

    async def resume(self) -> None:
        """Go on."""
        ...


class Outbox(Protocol):
    """Everything that the worker publishes; each call returns when it is acknowledged."""

    async def tell(self, status: BackfillStatus) -> None:
        """Publish how far a request is."""
        ...

    async def publish(self, chunk: BarChunk) -> Place:
        """Publish a chunk and return where it stands."""
        ...

    async def bury(
        self, message: RawMessage, error_class: str, reason: str, first_seen_us: int
    ) -> None:
        """Publish the original bytes of a record to the dead letter topic."""
        ...


class Evidence(Protocol):
    """Verdicts and receipts, all that are committed from the start of the worker on."""

    async def poll(self, timeout_s: float) -> list[Proof]:
        """Return the next ones; empty when none came in time."""
        ...


class LedgerView(Protocol):
    """What is covered."""

    async def windows(
        self, series: Series, lanes: tuple[str, ...] | None, window: Window
    ) -> tuple[Window, ...]:
        """Return what of a window these lanes cover; None: whichever lane."""
        ...

    async def windows_since(
        self, series: Series, lane: str, window: Window, token: int
    ) -> tuple[Window, ...]:
        """Return what of a window a lane covers by leases with a higher token."""
        ...

    async def judged(self, series: Series) -> int:
        """Return the first chunk offset of a series' partition of which nothing is known.

        Whatever passed of the chunks below it is visible to those who read the ledger afterwards.
        """
        ...
