"""Queries over HTTP, answered as Parquet: the fast way to read many rows."""

import base64
import http.client
import json
import threading
from urllib.parse import urlencode

from store._pgwire import server_error
from store._time import Until
from store.dsn import Dsn
from store.errors import RefusedQueryError, StoreError, StoreUnavailableError

EXPORTS_MAX = 4
"""At a time in one process. A server without our settings allows two, from everybody together."""

_PIECE_BYTES = 1 << 20
_END = b"PAR1"
"""The last bytes of every Parquet file."""

_FORMAT = {
    "fmt": "parquet",
    # Prices hardly compress (49 bytes a row become 47), and plain is 1.3 times as fast to make.
    "compression_codec": "uncompressed",
    # Nobody filters by them, and they cost the server time.
    "statistics_enabled": "false",
}


class Export:
    """Parquet files made by the server. Thread-safe."""

    def __init__(self, dsn: Dsn) -> None:
        self._dsn = dsn
        self._free = threading.BoundedSemaphore(EXPORTS_MAX)
        self._headers = {"Connection": "close"}
        if dsn.user is not None:
            pair = f"{dsn.user}:{dsn.password or ''}".encode()
            self._headers["Authorization"] = "Basic " + base64.b64encode(pair).decode()

    def parquet(self, sql: str, until: Until) -> bytearray | None:
        """Return the result of a SELECT as a Parquet file; None: too many others export now.

        Every export has a connection of its own: the server keeps the slot of an export as
        long as its connection lives, idle or not.

        Raises:
            StoreUnavailableError: The connection broke or time ran out.
            StoreError: The server refused.
        """
        if not self._free.acquire(timeout=until.left_s):
            raise StoreUnavailableError(self._dsn.address, f"{EXPORTS_MAX} exports were running")
        try:
            return self._get("/exp?" + urlencode({"query": sql, **_FORMAT}), until)
        except (OSError, http.client.HTTPException) as error:
            reason = f"{type(error).__name__}: {error}"
            raise StoreUnavailableError(self._dsn.address, reason) from error
        finally:
            self._free.release()

    def _get(self, target: str, until: Until) -> bytearray | None:
        # A timeout of 0 would mean "do not block" to a socket.
        connection = http.client.HTTPConnection(
            self._dsn.host, self._dsn.http_port, timeout=max(until.left_s, 0.001)
        )
        try:
            connection.request("GET", target, headers=self._headers)
            response = connection.getresponse()
            body = self._body(connection, response, until)
        finally:
            connection.close()
        if response.status == http.client.TOO_MANY_REQUESTS:
            return None
        if response.status != http.client.OK:
            raise self._refusal(response.status, body)
        if not body.endswith(_END):
            # Not every way in which an answer is cut short is an error to the HTTP client.
            raise http.client.IncompleteRead(bytes(body[-4:]))
        return body

    def _body(
        self,
        connection: http.client.HTTPConnection,
        response: http.client.HTTPResponse,
        until: Until,
    ) -> bytearray:
        body = bytearray()
        while piece := response.read1(_PIECE_BYTES):
            body += piece
            if until.left_s == 0:
                raise TimeoutError("the answer did not end in time")
            if connection.sock is not None:
                connection.sock.settimeout(until.left_s or 0.001)
        return body

    def _refusal(self, status: int, body: bytearray) -> StoreError:
        text = body.decode(errors="replace").strip()
        if status in (http.client.UNAUTHORIZED, http.client.FORBIDDEN):
            return RefusedQueryError(f"user and password: HTTP {status}")
        if status >= http.client.INTERNAL_SERVER_ERROR:
            return StoreUnavailableError(self._dsn.address, f"HTTP {status} {text[:200]}")
        try:
            text = str(json.loads(text)["error"])
        except (ValueError, KeyError, TypeError):
            text = f"HTTP {status} {text[:200]}"
        return server_error(self._dsn.address, text)
