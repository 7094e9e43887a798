"""Bars in a database that speaks PostgreSQL's protocol and dialect."""

import re
from typing import ClassVar

import psycopg
from psycopg.conninfo import conninfo_to_dict

from bars.errors import InvalidValueError
from store._connections import Connection
from store.errors import RefusedQueryError, StoreUnavailableError
from store.relational import RelationalStore

CONNECT_S = 5
_PREFIX = re.compile(r"[a-z0-9_]{0,40}")


class PostgresStore(RelationalStore):
    """Bars in a PostgreSQL database, or one that understands the same."""

    blob: ClassVar[str] = "BYTEA"
    mark: ClassVar[str] = "%s"

    def __init__(self, dsn: str, prefix: str = "seamless_") -> None:
        """Make a store without asking its server anything.

        Args:
            dsn: As libpq reads it: `postgresql://user:password@host:5432/database`.
            prefix: What every table's name begins with; `schema.` does not belong here.

        Raises:
            InvalidValueError: The dsn or the prefix is not one. The password is not shown.
        """
        super().__init__(prefix)
        if _PREFIX.fullmatch(prefix) is None:
            raise InvalidValueError("prefix", prefix, "at most 40 of a-z 0-9 _")
        try:
            parts = conninfo_to_dict(dsn)
        except psycopg.ProgrammingError:
            allowed = "like postgresql://user:password@host:5432/database"
            raise InvalidValueError("dsn", "something else", allowed) from None
        self._dsn = dsn
        host, port = parts.get("host", "localhost"), parts.get("port", 5432)
        self._address = f"{host}:{port}/{parts.get('dbname', '')}"

    @property
    def address(self) -> str:
        """Host, port and database."""
        return self._address

    @property
    def _errors(self) -> tuple[type[Exception], ...]:
        return (psycopg.Error,)

    def _connect(self) -> Connection:
        connection = psycopg.connect(self._dsn, autocommit=True, connect_timeout=CONNECT_S)
        try:
            with connection.transaction():
                # Two that make the same tables at a time would trip over each other.
                connection.execute("SELECT pg_advisory_xact_lock(7365616)")
                self._make_tables(connection)
        except BaseException:
            connection.close()
            raise
        return connection

    def _begin(self) -> str:
        return "BEGIN"

    def _told(self, error: Exception) -> Exception:
        if isinstance(error, psycopg.OperationalError | psycopg.InterfaceError):
            return StoreUnavailableError(self._address, str(error).strip())
        return RefusedQueryError(str(error).strip())
