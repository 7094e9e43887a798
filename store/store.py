"""The store as one object: connections, tables and the four things to do with them."""

from collections.abc import Iterable
from types import TracebackType
from typing import Self

from runtime.settings import StoreSettings
from store.ledger import Ledger
from store.meta import Meta
from store.reader import BarReader
from store.writer import BarWriter


class Store:
    """One QuestDB and one table prefix. Thread-safe; blocking, so async callers use a thread."""

    ledger: Ledger
    reader: BarReader
    meta: Meta

    def __init__(self, settings: StoreSettings) -> None:
        """Make a store that opens its connections on first use."""
        raise NotImplementedError

    @classmethod
    def connect(cls, settings: StoreSettings, timeout_s: float = 5.0) -> Self:
        """Return a store whose server has answered once.

        Raises:
            StoreUnavailableError: It did not.
            InvalidValueError: The dsn or the table prefix is not one.
        """
        raise NotImplementedError

    def ensure_tables(self, intervals: Iterable[int]) -> tuple[str, ...]:
        """Create what is not there, check what is, and return the names of the created tables.

        Raises:
            TableMismatchError: A table exists and differs from what we would create.
        """
        raise NotImplementedError

    def writer(self) -> BarWriter:
        """Return a writer with a connection of its own."""
        raise NotImplementedError

    def close(self) -> None:
        """Close every connection; harmless when repeated."""
        raise NotImplementedError

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
