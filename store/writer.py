"""Writing bars: checked, flushed, waited for and read back."""

from collections.abc import Iterable, Sequence

from store.rows import Mismatch, RecordRows


class BarWriter:
    """Puts versions of bars into the store and proves that they are there. Thread-safe."""

    def write(self, rows: Sequence[RecordRows], timeout_s: float = 60.0) -> tuple[str, ...]:
        """Check all rows, then send them, one flush a table.

        Returns:
            The tables that were written to, for `wait_visible`.

        Raises:
            UnstorableRowError: A row fails a check; nothing was sent.
            StoreUnavailableError: The outcome is unknown; send the same rows again.
            RefusedRowsError: The server will never take these rows.
            MissingTableError: `ensure_tables` has not run for such an interval.
        """
        raise NotImplementedError

    def wait_visible(self, tables: Iterable[str], timeout_s: float = 60.0) -> None:
        """Return once everything sent to the tables so far can be read.

        Raises:
            SuspendedTableError: A table does not apply what it acknowledges.
            StoreUnavailableError: It took longer than `timeout_s`, or the server is away.
        """
        raise NotImplementedError

    def verify(self, rows: Sequence[RecordRows], timeout_s: float = 60.0) -> list[Mismatch]:
        """Read the rows back and compare every (ts, lane, known) with what was sent.

        Values are equal when their bytes are; NaN and NULL are the same. Rows of others do
        not matter.

        Returns:
            What is absent or differs; empty when all is well.
        """
        raise NotImplementedError
