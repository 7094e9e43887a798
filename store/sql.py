"""Text of SQL: QuestDB binds neither table names nor anything over HTTP, so values are written out.

A text goes between single quotes with each of its quotes doubled; a backslash means nothing to
QuestDB. Times go in as integers. Nothing else is ever put into a statement.
"""

from collections.abc import Iterable, Sequence

from bars.errors import InvalidValueError
from bars.series import Series
from bars.window import Window

MICROSECONDS = 1_000_000
"""A second, in the unit of the store's timestamps."""


def select(columns: str, source: str, condition: str = "") -> str:
    """Return a SELECT of parts that the functions here, or constants, have made."""
    where = f" WHERE {condition}" if condition else ""
    return f"SELECT {columns} FROM {source}{where}"  # noqa: S608 - see the module's docstring


def insert(table: str, *values: str) -> str:
    """Return an INSERT of one row of such parts."""
    return f"INSERT INTO {table} VALUES ({', '.join(values)})"  # noqa: S608 - as above


def wait_for_wal(table: str) -> str:
    """Return the query that answers when all that a table has acknowledged can be read."""
    return f"SELECT wait_wal_table({literal(table)})"


def literal(text: str) -> str:
    """Return the text as a literal.

    Raises:
        InvalidValueError: It contains NUL, which ends a statement on the wire.
    """
    if "\0" in text:
        raise InvalidValueError("text", text, "without NUL")
    return "'" + text.replace("'", "''") + "'"


def one_of(column: str, texts: Iterable[str]) -> str:
    """Return a condition that the column equals one of the texts; there is at least one.

    The server looks a literal with a quote in it up in a symbol's index as it is written, still
    doubled, and finds nothing or another name. So these are compared as texts, row by row: slow,
    and right.
    """
    found = sorted(set(texts))
    plain = [text for text in found if "'" not in text]
    quoted = [text for text in found if "'" in text]
    parts = [
        _equals(name, group)
        for name, group in ((column, plain), (f"{column}::varchar", quoted))
        if group
    ]
    return parts[0] if len(parts) == 1 else f"({' OR '.join(parts)})"


def _equals(column: str, texts: Sequence[str]) -> str:
    if len(texts) == 1:
        return f"{column} = {literal(texts[0])}"
    return f"{column} IN ({', '.join(map(literal, texts))})"


def inside(series: Series, window: Window) -> str:
    """Return the condition that a bar is of the series and inside the window."""
    return f"{one_of('node', (series.node,))} AND {between(window)}"


def between(window: Window) -> str:
    """Return the condition that a bar opens inside the window."""
    return f"ts >= {window.start * MICROSECONDS:d} AND ts < {window.end * MICROSECONDS:d}"
