"""Making the tables and checking those that are there."""

import time
from collections.abc import Iterable

from store._query import Query
from store._time import Until
from store.columns import PgColumns
from store.errors import MissingTableError, TableMismatchError
from store.layout import Column, Found, Table, differences
from store.sql import literal, one_of, select

_PAUSE_S = 0.05


def ensure(query: Query, tables: Iterable[Table], until: Until) -> tuple[str, ...]:
    """Create what is not there, check all, and return the names of what was created.

    Raises:
        TableMismatchError: A table is there and differs from ours.
    """
    wanted = tuple(tables)
    before = _existing(query, wanted, until)
    created = [table for table in wanted if table.name not in before]
    for table in created:
        _create(query, table, until)
    now = _existing(query, wanted, until)
    for table in wanted:
        found = _describe(query, table.name, until, wal=now.get(table.name, False))
        told = differences(table, found)
        if told:
            raise TableMismatchError(table.name, told)
    return tuple(table.name for table in created)


def _create(query: Query, table: Table, until: Until) -> None:
    while True:
        try:
            query.pg.query(table.ddl, until)
        except MissingTableError:  # reserved: somebody else is making it just now
            time.sleep(_PAUSE_S)
        else:
            return


def _existing(query: Query, tables: Iterable[Table], until: Until) -> dict[str, bool]:
    """Return which tables there are, and whether each is a WAL table."""
    names = one_of("table_name", (table.name for table in tables))
    found = PgColumns(
        query.pg.query(
            select(
                "table_name name, CASE WHEN walEnabled THEN 1L ELSE 0L END wal", "tables()", names
            ),
            until,
        )
    )
    return dict(zip(found.symbols("name").texts(), found.longs("wal") == 1, strict=True))


def _describe(query: Query, name: str, until: Until, *, wal: bool) -> Found:
    flags = ", ".join(
        f"CASE WHEN {flag} THEN 1L ELSE 0L END {flag}"
        for flag in ("indexed", "designated", "upsertKey")
    )
    found = PgColumns(
        query.pg.query(select(f'"column", type, {flags}', f"table_columns({literal(name)})"), until)
    )
    names = [str(text) for text in found.symbols("column").texts()]
    types = [str(text) for text in found.symbols("type").texts()]
    indexed, designated, keys = (
        found.longs(flag) == 1 for flag in ("indexed", "designated", "upsertKey")
    )
    return Found(
        tuple(Column(n, kind, bool(i)) for n, kind, i in zip(names, types, indexed, strict=True)),
        frozenset(n for n, key in zip(names, keys, strict=True) if key),
        next((n for n, is_one in zip(names, designated, strict=True) if is_one), ""),
        wal,
    )
