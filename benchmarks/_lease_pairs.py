"""A client of the lease service that costs next to nothing: what is measured is the service."""

import asyncio
import re
import secrets
import time

_LENGTH = re.compile(rb"content-length: *(\d+)", re.IGNORECASE)
_TOKEN = re.compile(rb'"token": *(\d+)')
_BLANK = b"\r\n\r\n"


class Pairs(asyncio.Protocol):
    """Takes windows of one session and completes them, one at a time, over one connection."""

    def __init__(self, session_id: str) -> None:
        self._session = f'{{"session_id":"{session_id}",'.encode()
        self._name = secrets.token_hex(8).encode()
        self._asked = 0
        self._heard = b""
        self._holds = False
        self._until_s = self._began_s = 0.0
        self._took: list[float] = []
        self._done: asyncio.Future[list[float]] | None = None
        self._transport: asyncio.Transport | None = None

    async def measure(self, until_s: float) -> list[float]:
        """Return how long each pair took, seconds, up to a moment of the monotonic clock."""
        self._until_s, self._took = until_s, []
        self._done = asyncio.get_running_loop().create_future()
        self._acquire()
        return await self._done

    def close(self) -> None:
        """End the connection."""
        if self._transport is not None:
            self._transport.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the way out."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def connection_lost(self, exc: Exception | None) -> None:
        """Whoever waits for the rest waits in vain."""
        if self._done is not None and not self._done.done():
            self._done.set_exception(ConnectionError(f"the node has hung up: {exc}"))

    def data_received(self, data: bytes) -> None:
        """Go on as soon as an answer is whole."""
        self._heard += data
        head = self._heard.find(_BLANK)
        if head < 0:
            return
        length = _LENGTH.search(self._heard, 0, head)
        assert length is not None, self._heard
        if len(self._heard) < head + len(_BLANK) + int(length[1]):
            return
        answer, self._heard = self._heard, b""
        assert self._done is not None
        if not answer.startswith(b"HTTP/1.1 200"):
            self._done.set_exception(RuntimeError(answer.decode()))
        elif not self._holds:
            token = _TOKEN.search(answer, head)
            assert token is not None, answer
            self._holds = True
            self._post(b"complete", b'"token":' + token[1])
        else:
            self._holds = False
            now_s = time.monotonic()
            self._took.append(now_s - self._began_s)
            if now_s < self._until_s:
                self._acquire()
            else:
                self._done.set_result(self._took)

    def _acquire(self) -> None:
        self._began_s = time.monotonic()
        self._post(b"acquire", b'"limit":1')

    def _post(self, verb: bytes, rest: bytes) -> None:
        self._asked += 1
        body = self._session + rest + b"}"
        assert self._transport is not None
        self._transport.write(
            b"POST /v1/leases:%b HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
            b"Idempotency-Key: %b-%d\r\nContent-Length: %d\r\n\r\n%b"
            % (verb, self._name, self._asked, len(body), body)
        )
