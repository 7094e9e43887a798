"""Connections of a database by Python's DB-API, lent one at a time and kept for the next."""

import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Any, TypeAlias

Connection: TypeAlias = Any
"""A DB-API connection; sqlite3's and psycopg's have no type in common."""

_KEPT_MAX = 8
"""Idle connections that are kept."""


class Connections:
    """Lends connections. Thread-safe."""

    def __init__(self, connect: Callable[[], Connection]) -> None:
        self._connect = connect
        self._lock = threading.Lock()
        self._idle: list[Connection] = []
        self._closed = False

    @contextmanager
    def lend(self) -> Generator[Connection]:
        """Yield a connection that nobody else has; it is closed when what is done with it fails."""
        with self._lock:
            connection = self._idle.pop() if self._idle else None
        if connection is None:
            connection = self._connect()
        try:
            yield connection
        except BaseException:
            connection.close()
            raise
        with self._lock:
            if not self._closed and len(self._idle) < _KEPT_MAX:
                self._idle.append(connection)
                return
        connection.close()

    def close(self) -> None:
        """Close what is idle, and whatever comes back; harmless when repeated."""
        with self._lock:
            self._closed = True
            idle, self._idle = self._idle, []
        for connection in idle:
            connection.close()
