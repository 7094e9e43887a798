"""What sends a client's requests: to whom it is told and nobody else, and what no answer is."""

import asyncio
import json
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing, asynccontextmanager

import pytest

from runtime.aio import AioHttp
from runtime.http import HttpRequest, NoAnswerError

Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def listening(serve: Serve) -> AsyncGenerator[str]:
    """Serve connections with a function; yield the address."""

    async def served(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await serve(reader, writer)
        finally:
            writer.close()

    server = await asyncio.start_server(served, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"


def http() -> AioHttp:
    """Return what sends, with a token."""
    return AioHttp(trust=True, headers={"Authorization": "Bearer secret"})


async def _answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, text: bytes) -> bytes:
    head = await reader.readuntil(b"\r\n\r\n")
    length = head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0]
    body = await reader.readexactly(int(length or 0))
    writer.write(text)
    await writer.drain()
    return head + body


async def test_a_request_is_sent_as_it_is_and_its_answer_comes_back_whole() -> None:
    heard: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        text = b"HTTP/1.1 429 Too Many\r\nRetry-After: 7\r\nContent-Length: 2\r\n\r\n{}"
        heard.append(await _answer(reader, writer, text))

    async with listening(serve) as url, aclosing(http()) as sender:
        request = HttpRequest(
            method="POST",
            url=f"{url}/v1/a%2Fb/leases:acquire",
            headers={"Idempotency-Key": "k"},
            query={"read": "local"},
            body=json.dumps({"a": 1}).encode(),
        )
        answer = await sender.send(request)
    assert (answer.status, answer.headers["retry-after"], answer.body) == (429, "7", b"{}")
    (text,) = heard
    assert text.startswith(b"POST /v1/a%2Fb/leases:acquire?read=local HTTP/1.1\r\n")
    assert text.endswith(b'\r\n\r\n{"a": 1}')
    for line in (b"Authorization: Bearer secret", b"Idempotency-Key: k", b"application/json"):
        assert line in text


async def test_no_redirect_is_followed_and_no_proxy_asked(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Either would show our token to somebody who is none of the nodes."""
    strangers: list[str] = []

    async def stranger(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        strangers.append("came")
        await _answer(reader, writer, b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")

    async with listening(stranger) as elsewhere:

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            to = elsewhere.encode()
            text = b"HTTP/1.1 307 There\r\nLocation: %b\r\nContent-Length: 0\r\n\r\n" % to
            await _answer(reader, writer, text)

        for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
            monkeypatch.setenv(name, elsewhere)
        async with listening(serve) as url, aclosing(http()) as sender:
            answer = await sender.send(HttpRequest(method="GET", url=f"{url}/v1/state"))
    assert answer.status == 307
    assert strangers == []


async def test_a_port_that_nobody_listens_on_is_no_answer() -> None:
    async with listening(_hang_up) as url:
        pass
    async with aclosing(http()) as sender:
        with pytest.raises(NoAnswerError, match="Connect"):
            await sender.send(HttpRequest(method="GET", url=url))


async def test_an_answer_that_breaks_off_is_none() -> None:
    """What has come of it might have been anything."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await _answer(reader, writer, b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{}")

    for how in (_hang_up, serve):
        async with listening(how) as url, aclosing(http()) as sender:
            with pytest.raises(NoAnswerError):
                await sender.send(HttpRequest(method="POST", url=url, body=b"{}"))


async def test_who_waits_no_longer_hangs_up() -> None:
    """The node is told that nobody wants the answer: it gives what it waited for to others."""
    came, gone = asyncio.Event(), asyncio.Event()

    async def serve(reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        came.set()
        assert await reader.read() == b""
        gone.set()

    async with listening(serve) as url, aclosing(http()) as sender:
        asking = asyncio.create_task(sender.send(HttpRequest(method="GET", url=url)))
        await came.wait()
        asking.cancel()
        async with asyncio.timeout(5):
            await gone.wait()
        assert asking.cancelled()


async def test_nothing_is_sent_after_the_end() -> None:
    """A connection that was made then would never be closed."""
    sender = http()
    await sender.aclose()
    await sender.aclose()
    with pytest.raises(RuntimeError, match="closed"):
        await sender.send(HttpRequest(method="GET", url="http://127.0.0.1:1"))


async def _hang_up(_reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
    """Close at once."""
