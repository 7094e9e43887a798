"""Queries over PGWire: a small pool, every wait bounded, results as they came.

Works on libpq's own interface because a query then has a timeout on our side, whatever the
server does, and because a result becomes arrays without a Python object for every value.
"""

import re
import selectors
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
from psycopg import pq
from psycopg.pq import abc

from store._time import Until
from store.dsn import Dsn
from store.errors import (
    MissingTableError,
    RefusedQueryError,
    StoreError,
    StoreUnavailableError,
    SuspendedTableError,
)
from store.sql import wait_for_wal

CONNECTIONS_MAX = 8
"""Of one process; the server takes 64 by default, from everybody together."""

CONNECT_S_MAX = 5.0
"""A server that does not greet within this is not there."""

_TRANSIENT = ("timeout", "timed out", "busy", "too many", "out of memory", "cancelled", "closed")
_TABLE = re.compile(r"\[table(?:Name)?=([^\]]*)\]")
_BINARY = pq.Format.BINARY


class PgLink:
    """One connection. For one thread at a time."""

    def __init__(self, connection: psycopg.Connection, address: str) -> None:
        self._connection = connection
        self._pgconn = connection.pgconn
        self._address = address
        self.caught_up: set[str] = set()
        """Tables whose WAL has been waited for since this connection was made.

        The server applies what it had acknowledged before a crash only after its restart, and
        shows old data meanwhile. A restart breaks every connection; so a table is waited for
        once in the life of a connection before it is read.
        """

    @property
    def usable(self) -> bool:
        """Whether the connection may be given to the next caller."""
        return not self._connection.closed and (
            self._pgconn.transaction_status == pq.TransactionStatus.IDLE
        )

    def alive(self) -> bool:
        """Whether the connection has not ended while it was idle."""
        if not self.usable:
            return False
        with selectors.DefaultSelector() as selector:
            selector.register(self._pgconn.socket, selectors.EVENT_READ)
            # An idle server says nothing: whatever is there to read is the end.
            return not selector.select(0)

    def close(self) -> None:
        """Close the connection; never fails."""
        self._connection.close()

    def query(self, sql: str, until: Until) -> abc.PGresult:
        """Return the result of one statement, its values in binary.

        Raises:
            StoreUnavailableError: The connection broke or time ran out; the connection is closed.
            StoreError: The server refused.
        """
        try:
            result = self._round_trip(sql.encode(), until)
        except psycopg.Error as error:
            self.close()
            raise StoreUnavailableError(self._address, _one_line(str(error))) from error
        except BaseException:
            self.close()
            raise
        if result.status == pq.ExecStatus.FATAL_ERROR:
            message = (result.error_message or b"").decode(errors="replace")
            raise server_error(self._address, message)
        return result

    def catch_up(self, table: str, until: Until) -> None:
        """Wait for the table's WAL unless this connection has done so before."""
        if table not in self.caught_up:
            self.query(wait_for_wal(table), until)
            self.caught_up.add(table)

    def _round_trip(self, sql: bytes, until: Until) -> abc.PGresult:
        pgconn = self._pgconn
        last: abc.PGresult | None = None
        with selectors.DefaultSelector() as selector:
            selector.register(pgconn.socket, selectors.EVENT_READ | selectors.EVENT_WRITE)
            pgconn.send_query_params(sql, None, result_format=_BINARY)
            while pgconn.flush():
                if self._wait(selector, until) & selectors.EVENT_READ:
                    pgconn.consume_input()
            selector.modify(pgconn.socket, selectors.EVENT_READ)
            while True:
                while pgconn.is_busy():
                    self._wait(selector, until)
                    pgconn.consume_input()
                result = pgconn.get_result()
                if result is None:
                    break
                last = result
        if last is None:
            raise StoreUnavailableError(self._address, "the server sent no result")
        return last

    def _wait(self, selector: selectors.BaseSelector, until: Until) -> int:
        ready = selector.select(until.left_s)
        if not ready:
            raise StoreUnavailableError(self._address, "no answer in time")
        return ready[0][1]


class PgWire:
    """A bounded pool of connections to one server. Thread-safe."""

    def __init__(self, dsn: Dsn) -> None:
        self._dsn = dsn
        self._address = f"{dsn.host}:{dsn.pg_port}"
        self._free = threading.BoundedSemaphore(CONNECTIONS_MAX)
        self._lock = threading.Lock()
        self._idle: list[PgLink] = []
        self._closed = False

    @contextmanager
    def link(self, until: Until) -> Iterator[PgLink]:
        """Lend a connection, the one that was used last if it is still good."""
        if not self._free.acquire(timeout=until.left_s):
            raise StoreUnavailableError(
                self._address, f"all {CONNECTIONS_MAX} connections were in use"
            )
        try:
            link = self._take() or self._connect(until)
            try:
                yield link
            finally:
                self._give_back(link)
        finally:
            self._free.release()

    def query(self, sql: str, until: Until) -> abc.PGresult:
        """Return the result of one statement on any connection."""
        with self.link(until) as link:
            return link.query(sql, until)

    def close(self) -> None:
        """Close every idle connection, and those in use when they come back."""
        with self._lock:
            self._closed = True
            idle, self._idle = self._idle, []
        for link in idle:
            link.close()

    def _take(self) -> PgLink | None:
        while True:
            with self._lock:
                if not self._idle:
                    return None
                link = self._idle.pop()
            if link.alive():
                return link
            link.close()

    def _give_back(self, link: PgLink) -> None:
        with self._lock:
            if link.usable and not self._closed:
                self._idle.append(link)
                return
        link.close()

    def _connect(self, until: Until) -> PgLink:
        dsn = self._dsn
        try:
            connection = psycopg.Connection.connect(
                host=dsn.host,
                port=dsn.pg_port,
                user="admin" if dsn.user is None else dsn.user,
                password="quest" if dsn.password is None else dsn.password,
                dbname="qdb",
                autocommit=True,
                gssencmode="disable",
                # psycopg waits for whole seconds, two at least.
                connect_timeout=max(1, round(min(CONNECT_S_MAX, until.left_s))),
            )
        except psycopg.Error as error:
            raise _connect_error(self._address, _one_line(str(error))) from error
        return PgLink(connection, self._address)


def server_error(address: str, message: str) -> StoreError:
    """Return the error that the server's message means."""
    text = _one_line(message)
    named = _TABLE.search(text)
    table = named[1] if named else "?"
    if "table is suspended" in text:
        return SuspendedTableError(table, text)
    if "table does not exist" in text or "table name is reserved" in text:
        return MissingTableError(table)  # reserved: somebody is making it just now
    if any(word in text.lower() for word in _TRANSIENT):
        return StoreUnavailableError(address, text)
    return RefusedQueryError(text)


def _connect_error(address: str, text: str) -> StoreError:
    if "invalid username/password" in text.lower():
        return RefusedQueryError(f"user and password: {text}")
    return StoreUnavailableError(address, text)


def _one_line(text: str) -> str:
    return " ".join(text.split())[:500]
