"""Bars in one SQLite file: for one machine, without any server."""

import sqlite3
from pathlib import Path
from typing import ClassVar

from bars.errors import InvalidValueError
from store._connections import Connection
from store.errors import RefusedQueryError, StoreUnavailableError
from store.relational import RelationalStore

BUSY_S = 30.0
"""How long a writer waits for another one, in this process or the next."""

_PASSING = ("locked", "busy", "unable to open", "disk is full", "disk i/o")


def open_file(path: Path) -> sqlite3.Connection:
    """Return a connection to a file, for any thread: readers do not wait for a writer (WAL).

    In WAL with `synchronous=NORMAL` the file cannot be spoilt by a crash; what was committed last
    may be lost when the machine itself goes down, and is then fetched again.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    connection = sqlite3.connect(
        path, timeout=BUSY_S, isolation_level=None, check_same_thread=False
    )
    try:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=NORMAL")
    except BaseException:
        connection.close()
        raise
    return connection


def told(error: Exception, path: Path) -> Exception:
    """Return what an error of sqlite3 is called here: it may pass, or it will not."""
    text = str(error)
    if isinstance(error, sqlite3.OperationalError) and any(p in text.lower() for p in _PASSING):
        return StoreUnavailableError(str(path), text)
    return RefusedQueryError(f"{path}: {text}")


class SQLiteStore(RelationalStore):
    """Bars in one file. Several processes may use it at a time."""

    blob: ClassVar[str] = "BLOB"
    mark: ClassVar[str] = "?"

    def __init__(self, path: str | Path) -> None:
        """Make a store; the file and its folder are made when it is first used.

        Raises:
            InvalidValueError: The path is empty or `:memory:`, which no two connections share.
        """
        super().__init__()
        if str(path) in {"", ":memory:", "."}:
            raise InvalidValueError("path", str(path), "the path of a file")
        self._path = Path(path).expanduser()

    @property
    def address(self) -> str:
        """The file."""
        return str(self._path)

    @property
    def _errors(self) -> tuple[type[Exception], ...]:
        return (sqlite3.Error, OSError)

    def _connect(self) -> Connection:
        connection = open_file(self._path)
        try:
            self._make_tables(connection)
        except BaseException:
            connection.close()
            raise
        return connection

    def _begin(self) -> str:
        return "BEGIN IMMEDIATE"

    def _told(self, error: Exception) -> Exception:
        if isinstance(error, OSError):
            return StoreUnavailableError(self.address, str(error))
        return told(error, self._path)
