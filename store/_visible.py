"""From acknowledged to readable: waiting for a table's WAL, and seeing when nobody applies it."""

from collections.abc import Iterable

from store._query import Query
from store._time import Until
from store.columns import PgColumns
from store.errors import StoreUnavailableError, SuspendedTableError
from store.sql import one_of, select, wait_for_wal


def wait_visible(query: Query, tables: Iterable[str], until: Until) -> None:
    """Return once all that the tables have acknowledged can be read.

    Raises:
        SuspendedTableError: A table does not apply what it acknowledges.
        StoreUnavailableError: It did not become visible in time, or the server is away.
    """
    names = sorted(set(tables))
    if not names:
        return
    try:
        for name in names:
            query.pg.query(wait_for_wal(name), until)
    except SuspendedTableError:
        _raise_if_suspended(query, names, Until.after(max(until.left_s, 1.0)))
        raise
    except StoreUnavailableError:
        # A wait that took too long may be a table that was suspended meanwhile: say so then.
        _raise_if_suspended(query, names, Until.after(1.0))
        raise
    # A table that was suspended with nothing left to apply answers the wait.
    _raise_if_suspended(query, names, until)


def _raise_if_suspended(query: Query, names: Iterable[str], until: Until) -> None:
    found = PgColumns(
        query.pg.query(
            select(
                "name, errorTag, errorMessage",
                "wal_tables()",
                f"suspended AND {one_of('name', names)}",
            ),
            until,
        )
    )
    if len(found):
        name, tag, message = (
            str(found.symbols(column).texts()[0] or "")
            for column in ("name", "errorTag", "errorMessage")
        )
        raise SuspendedTableError(name, " ".join(filter(None, (tag, message))))
