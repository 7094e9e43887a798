"""The store as one object: connections, tables and the four things to do with them."""

from collections.abc import Iterable
from types import TracebackType
from typing import Self

from runtime.settings import StoreSettings
from store._query import Query
from store._time import Until
from store.dsn import Dsn
from store.events import EventLog
from store.layout import Layout
from store.ledger import Ledger
from store.meta import Meta
from store.reader import BarReader
from store.tables import ensure
from store.writer import BarWriter


class Store:
    """One QuestDB and one table prefix. Thread-safe; blocking, so async callers use a thread.

    Connections are made when they are needed, and again after they broke: the call that
    noticed raises `StoreUnavailableError`, the next one connects.
    """

    def __init__(self, settings: StoreSettings) -> None:
        """Make a store without asking its server anything.

        Raises:
            InvalidValueError: The dsn or the table prefix is not one.
        """
        self.dsn = Dsn.parse(settings.dsn)
        self._layout = Layout(settings.table_prefix, settings.series_expected)
        self._query = Query(self.dsn)
        self.ledger = Ledger(self._query, self._layout)
        self.reader = BarReader(self._query, self._layout)
        self.meta = Meta(self._query, self._layout)
        self.events = EventLog(self._query, self._layout)
        self._writers: list[BarWriter] = []

    @classmethod
    def connect(cls, settings: StoreSettings, timeout_s: float = 5.0) -> Self:
        """Return a store whose server has answered once.

        Raises:
            StoreUnavailableError: It did not.
            RefusedQueryError: It refused user or password.
            InvalidValueError: The dsn or the table prefix is not one.
        """
        store = cls(settings)
        try:
            store.ping(timeout_s)
        except BaseException:
            store.close()
            raise
        return store

    def ping(self, timeout_s: float = 5.0) -> None:
        """Return if the server answers queries.

        Raises:
            StoreUnavailableError: It does not.
        """
        self._query.pg.query("SELECT 1", Until.after(timeout_s))

    def ensure_tables(self, intervals: Iterable[int], timeout_s: float = 30.0) -> tuple[str, ...]:
        """Create what is not there, check what is, and return the names of the created tables.

        Raises:
            TableMismatchError: A table exists and differs from what we would create.
        """
        return ensure(self._query, self._layout.tables(intervals), Until.after(timeout_s))

    def bars_table(self, interval: int) -> str:
        """Return the name of the table of bars of one length."""
        return self._layout.bars_name(interval)

    def writer(self) -> BarWriter:
        """Return a writer with a connection of its own; it closes with the store."""
        writer = BarWriter(self._query, self._layout)
        self._writers.append(writer)
        return writer

    def close(self) -> None:
        """Close every connection; harmless when repeated."""
        for writer in self._writers:
            writer.close()
        self.ledger.close()
        self.events.close()
        self._query.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
