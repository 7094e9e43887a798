"""Writing bars: checked, flushed, waited for and read back."""

from collections.abc import Iterable, Iterator, Sequence
from types import TracebackType
from typing import Self

from bars.frame import PRICE_COLUMNS
from store._ingest import Ingest
from store._query import Query, Select
from store._time import Until
from store._verify import Group, groups, mismatches, most_rows
from store._visible import wait_visible
from store.batch import Batch, batches, pack, spans
from store.columns import Columns, PgColumns
from store.layout import Layout
from store.rows import Mismatch, RecordRows
from store.sql import between, one_of, select

_FLUSH_ROWS_MAX = 250_000
"""Larger flushes are no faster, and each is held in memory three times."""

_NODES_MAX = 50
"""In one query: names are up to 200 bytes, and the server reads 64 KB of a request line."""

_COLUMNS = ", ".join(("ts", "node", "lane", "known", *PRICE_COLUMNS))


class BarWriter:
    """Puts versions of bars into the store and proves that they are there. Thread-safe."""

    def __init__(self, query: Query, layout: Layout) -> None:
        self._query = query
        self._layout = layout
        self._ingest = Ingest(query.dsn)

    def write(self, rows: Sequence[RecordRows], timeout_s: float = 60.0) -> tuple[str, ...]:
        """Check all rows, then send them, sorted, one flush a table.

        More than 250,000 rows for one table go as several flushes. Sending the same rows again
        changes nothing, so after any retriable error do just that.

        Args:
            rows: What to store; rows whose prices are NaN are withdrawn bars.
            timeout_s: Budget of each flush.

        Returns:
            The tables that were written to, for `wait_visible`.

        Raises:
            UnstorableRowError: A row fails a check; nothing was sent.
            StoreUnavailableError: The outcome is unknown.
            RefusedRowsError: The server will never take these rows.
            MissingTableError: `ensure_tables` has not run for such an interval.
        """
        tables = []
        for batch in batches(rows):
            table = self._layout.bars_name(batch.interval)
            for start in range(0, len(batch), _FLUSH_ROWS_MAX):
                frame = batch.frame(slice(start, start + _FLUSH_ROWS_MAX))
                self._ingest.send(table, frame, "ts", timeout_s)
            tables.append(table)
        return tuple(tables)

    def wait_visible(self, tables: Iterable[str], timeout_s: float = 60.0) -> None:
        """Return once everything that the tables have acknowledged can be read.

        Raises:
            SuspendedTableError: A table does not apply what it acknowledges.
            StoreUnavailableError: It took longer than `timeout_s`, or the server is away.
        """
        wait_visible(self._query, tables, Until.after(timeout_s))

    def verify(self, rows: Sequence[RecordRows], timeout_s: float = 60.0) -> list[Mismatch]:
        """Read the rows back and compare every (ts, lane, known) with what was sent.

        Values are equal when their bytes are; NaN and NULL are the same. Rows of others do
        not matter.

        Returns:
            What is absent or differs; empty when all is well.

        Raises:
            StoreError: The rows could not be read back, or not be sent in the first place.
        """
        until = Until.after(timeout_s)
        found: list[Mismatch] = []
        for batch in pack(rows):
            wanted = groups(spans(rows, batch.interval), batch.interval)
            found += mismatches(
                batch, (columns for g in wanted for columns in self._read_back(batch, g, until))
            )
        return found

    def close(self) -> None:
        """Close the connection for writing; harmless when repeated."""
        self._ingest.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _read_back(self, batch: Batch, group: Group, until: Until) -> Iterator[Columns]:
        table = self._layout.bars_name(batch.interval)
        during, most = between(group.window), most_rows(group.sent)
        rows = self._rows(table, during, until)
        conditions = [during]
        if rows > most:
            rows = most
            conditions = [f"{one_of('node', nodes)} AND {during}" for nodes in _parts(group.nodes)]
        for condition in conditions:
            wanted = Select(select(_COLUMNS, table, condition), table, rows // len(conditions))
            yield self._query.columns(wanted, until)

    def _rows(self, table: str, condition: str, until: Until) -> int:
        """Return how many rows there are; the server knows without reading them."""
        sql = select("count() rows", table, condition)
        return int(PgColumns(self._query.pg.query(sql, until)).longs("rows")[0])


def _parts(nodes: Iterable[str]) -> Iterator[list[str]]:
    ordered = sorted(nodes)
    for start in range(0, len(ordered), _NODES_MAX):
        yield ordered[start : start + _NODES_MAX]
