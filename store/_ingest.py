"""Sending frames: ILP over HTTP, where one flush to one table is one transaction."""

import threading

import pandas as pd
import questdb
from questdb import Protocol, QuestDBError, QuestDBErrorCode, Sender

from store.dsn import Dsn
from store.errors import (
    MissingTableError,
    RefusedQueryError,
    RefusedRowsError,
    StoreError,
    StoreUnavailableError,
)

_PROTOCOL_VERSION = 2
"""Doubles travel as their bytes. Asking the server what it speaks costs a request at each start."""

_BUFFER_BYTES = 13 << 20
"""What 75,000 bars take, and a little more: a buffer that grows by doubling is kept half empty."""

_BUFFER_BYTES_MAX = 512 << 20
"""Of one flush: about 4 million rows, far above what a caller coalesces."""

_LOCAL = (
    QuestDBErrorCode.BadDataFrame,
    QuestDBErrorCode.InvalidApiCall,
    QuestDBErrorCode.InvalidName,
    QuestDBErrorCode.InvalidTimestamp,
    QuestDBErrorCode.InvalidUtf8,
)
"""The client itself refuses the frame: nothing was sent, and nothing ever will be."""


# Each failure ends a connection, and callers try again: the client would warn of what is meant so,
# and where warnings are errors that would be one that nobody here expects.
questdb.WARN_HIGH_RECONNECTS = False  # type: ignore[attr-defined]  # its stub lacks it


class Ingest:
    """One connection for writing. Thread-safe: flushes of several threads queue up."""

    def __init__(self, dsn: Dsn) -> None:
        self._dsn = dsn
        self._lock = threading.Lock()
        self._sender: Sender | None = None
        self._timeout_s = 0.0

    def send(self, table: str, frame: pd.DataFrame, at: str, timeout_s: float) -> None:
        """Send one frame and return when the server has acknowledged it.

        Text columns of the frame that are categorical become symbols.

        Raises:
            StoreUnavailableError: Nobody knows whether the rows are there; send them again.
            RefusedRowsError: The server, or the client for it, will never take them.
            MissingTableError: There is no such table.
        """
        symbols = [name for name in frame.columns if frame[name].dtype == "category"]
        with self._lock:
            try:
                sender = self._connected(timeout_s)
                sender.dataframe(frame, table_name=table, symbols=symbols, at=at)
                sender.flush()
            except QuestDBError as error:
                self._drop()
                raise self._meaning(table, error) from error
            except BaseException:
                self._drop()
                raise

    def close(self) -> None:
        """Close the connection; rows are never left in it."""
        with self._lock:
            self._drop()

    def _connected(self, timeout_s: float) -> Sender:
        if self._sender is not None and self._timeout_s == timeout_s:
            return self._sender
        self._drop()
        sender = Sender(
            Protocol.Http,
            self._dsn.host,
            self._dsn.http_port,
            username=self._dsn.user,
            password=self._dsn.password,
            auto_flush=False,
            init_buf_size=_BUFFER_BYTES,
            max_buf_size=_BUFFER_BYTES_MAX,
            protocol_version=_PROTOCOL_VERSION,
            request_timeout=max(1, int(timeout_s * 1_000)),
            # The caller sends again, with a delay of its own; and a slow link gets no extra time.
            retry_timeout=0,
            request_min_throughput=0,
        )
        sender.establish()  # type: ignore[no-untyped-call]  # its stub lacks "-> None"
        self._sender, self._timeout_s = sender, timeout_s
        return sender

    def _drop(self) -> None:
        sender, self._sender = self._sender, None
        if sender is not None:
            sender.close(flush=False)

    def _meaning(self, table: str, error: QuestDBError) -> StoreError:
        text = " ".join(str(error).split())[:500]
        if error.code == QuestDBErrorCode.AuthError:
            return RefusedQueryError(f"user and password: {text}")
        if "table does not exist" in text:
            return MissingTableError(table)
        if error.code in _LOCAL or '"code":"invalid"' in text:
            return RefusedRowsError(table, text)
        return StoreUnavailableError(self._dsn.address, f"{error.code.name}: {text}")
