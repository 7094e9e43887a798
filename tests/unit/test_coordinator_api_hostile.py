"""What a hostile or broken client of the lease API gets: a refusal, and nothing else happens."""

import asyncio
import gzip
import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest

from coordinator._service.api.api import ApiOptions
from coordinator._service.api.limits import Limits
from tests.lease_help import eventually
from tests.unit.api_help import Service, serving

LIMITS = Limits(body_bytes=20_000, body_s=0.7, idle_s=0.7, connections=4)
HEADERS = {"Idempotency-Key": "k", "Content-Type": "application/json"}
OPEN = {"session_id": "w", "ttl_ms": 60_000}


@asynccontextmanager
async def attacked() -> AsyncGenerator[tuple[Service, httpx.AsyncClient]]:
    """Serve one node; afterwards it must be as it was, and serve an honest client."""
    async with serving(options=ApiOptions(limits=LIMITS)) as service:
        limits = httpx.Limits(max_keepalive_connections=0)
        async with httpx.AsyncClient(
            base_url=service.urls[0], limits=limits, trust_env=False
        ) as http:
            yield service, http
            log = service.nodes[0].log
            assert not log.state().sessions
            assert not log.state().jobs
            answer = await http.post("/v1/sessions", json=OPEN, headers=HEADERS)
            assert answer.status_code == 200


@pytest.mark.parametrize(
    ("body", "status", "told"),
    [
        (b"x" * 20_001, 413, "at most 20000 bytes"),
        (b"[" * 15_000, 400, "levels deep"),
        (b'{"a":' * 2_000 + b"1" + b"}" * 2_000, 400, "levels deep"),
        (b"[]", 400, "one JSON object"),
        (b"null", 400, "one JSON object"),
        (b'"text"', 400, "one JSON object"),
        (b"{", 400, "one JSON object"),
        (b"\xff\xfe", 400, "one JSON object"),
        (b'{"session_id":"w","session_id":"x","ttl_ms":60000}', 400, "given twice"),
        (b'{"session_id":"w","ttl_ms":NaN}', 400, "numbers that JSON has"),
        (b'{"session_id":"w","ttl_ms":-Infinity}', 400, "numbers that JSON has"),
        (b'{"session_id":"w","ttl_ms":1e999}', 400, "ttl_ms"),
        (b'{"session_id":"w","ttl_ms":' + b"9" * 5_000 + b"}", 400, "one JSON object"),
        (b'{"session_id":"w","ttl_ms":' + b"9" * 100 + b"}", 400, "64 bits"),
        (b'{"session_id":"\\ud800","ttl_ms":60000}', 400, "whole characters"),
    ],
    ids=lambda value: repr(value[:40]) if isinstance(value, bytes) else None,
)
async def test_a_body_that_is_none_is_refused(body: bytes, status: int, told: str) -> None:
    async with attacked() as (_, http):
        answer = await http.post("/v1/sessions", content=body, headers=HEADERS)
        assert answer.status_code == status
        assert told in answer.json()["error"]["message"]
        assert len(answer.content) < 1_000


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"session_id": None}, "session_id"),
        ({"session_id": 7}, "session_id"),
        ({"session_id": ["w"]}, "session_id"),
        ({"session_id": {"a": {"b": {"c": 1}}}}, "session_id"),
        ({"ttl_ms": "60000"}, "ttl_ms"),
        ({"ttl_ms": 1.5}, "ttl_ms"),
        ({"ttl_ms": True}, "ttl_ms"),
        ({"ttl_ms": None}, "ttl_ms"),
        ({"elapsed_ms": 10**9}, "elapsed_ms"),
        ({"op": "revoke"}, "op"),
        ({"more": 1}, "more"),
    ],
)
async def test_a_field_of_the_wrong_kind_is_named_with_what_is_allowed(
    changes: dict[str, Any], field: str
) -> None:
    async with attacked() as (_, http):
        answer = await http.post("/v1/sessions", json=OPEN | changes, headers=HEADERS)
        error = answer.json()["error"]
        assert (answer.status_code, error["field"]) == (400, field)
        assert error["allowed"]
        assert json.dumps(error["found"]) == json.dumps(changes[field])


async def test_a_long_value_is_shown_cut() -> None:
    async with attacked() as (_, http):
        body = OPEN | {"ttl_ms": "9" * 10_000}
        answer = await http.post("/v1/sessions", json=body, headers=HEADERS)
        assert answer.status_code == 400
        assert len(answer.content) < 1_000


async def test_a_name_without_end_is_refused_before_the_log_sees_it() -> None:
    async with attacked() as (service, http):
        body = OPEN | {"session_id": "w" * 15_000}
        answer = await http.post("/v1/sessions", json=body, headers=HEADERS)
        assert (answer.status_code, answer.json()["error"]["field"]) == (400, "session_id")
        assert service.cluster.index == 0


async def test_nobody_says_what_the_service_draws() -> None:
    async with attacked() as (_, http):
        body = {"session_id": "w", "token": 1, "error_class": "x", "chance_ppm": 0}
        answer = await http.post("/v1/leases:fail", json=body, headers=HEADERS)
        assert (answer.status_code, answer.json()["error"]["field"]) == (400, "chance_ppm")


async def test_a_bomb_is_not_unpacked() -> None:
    async with attacked() as (_, http):
        bomb = gzip.compress(b" " * 50_000_000)[:19_000]
        headers = {**HEADERS, "Content-Encoding": "gzip"}
        answer = await http.post("/v1/sessions", content=bomb, headers=headers)
        assert answer.status_code == 415


async def test_a_body_without_end_is_cut_off() -> None:
    async def chunks() -> AsyncGenerator[bytes]:
        while True:
            yield b" " * 1_000

    async with attacked() as (_, http):
        try:
            answer = await http.post("/v1/sessions", content=chunks(), headers=HEADERS)
        except httpx.TransportError:
            return  # the connection was closed while we were still sending
        assert answer.status_code == 413


async def raw(service: Service, text: bytes) -> bytes:
    """Send bytes and nothing more; return all that comes until the node hangs up."""
    reader, writer = await asyncio.open_connection("127.0.0.1", service.nodes[0].api.port)
    writer.write(text)
    try:
        async with asyncio.timeout(5):
            return await reader.read()
    finally:
        writer.close()


async def test_a_slow_body_is_waited_for_a_little_while() -> None:
    async with attacked() as (service, _):
        head = (
            b"POST /v1/sessions HTTP/1.1\r\nHost: localhost\r\nIdempotency-Key: k\r\n"
            b"Content-Type: application/json\r\nContent-Length: 100\r\n\r\n{"
        )
        assert b" 408 " in await raw(service, head)


async def test_who_never_asks_is_hung_up_on() -> None:
    async with attacked() as (service, _):
        for text in (b"", b"GET / HTTP/1.1\r\nHost: localhost\r\nX: "):
            assert await raw(service, text) == b""


async def test_what_is_no_http_is_hung_up_on() -> None:
    async with attacked() as (service, _):
        for text in (b"\x16\x03\x01\x02\x00\x01\x00", b"\x80\x04]q\x00.", b"A" * 100_000):
            answer = await raw(service, text + b"\r\n\r\n")
            assert answer == b"" or b" 400 " in answer.splitlines()[0]


async def test_one_connection_too_many_is_turned_away_and_the_others_are_not() -> None:
    async with attacked() as (service, _):
        port = service.nodes[0].api.port
        held = [await asyncio.open_connection("127.0.0.1", port) for _ in range(4)]
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        async with asyncio.timeout(5):
            assert await reader.read() == b""
        writer.close()
        _, one = held[0]
        one.write(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        async with asyncio.timeout(5):
            assert b" 200 " in await held[0][0].read()
        for _, each in held:
            each.close()
        await eventually(lambda: service.nodes[0].api.serving.connections == 0)


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/", 404),
        ("GET", "/v1/leases", 404),
        ("GET", "/v1/../etc/passwd", 404),
        ("GET", "/v1/sessions", 405),
        ("DELETE", "/v1/jobs", 405),
        ("PUT", "/v1/leases:acquire", 405),
    ],
)
async def test_what_is_not_there_is_not_found(method: str, path: str, status: int) -> None:
    async with attacked() as (_, http):
        answer = await http.request(method, path)
        assert (answer.status_code, "error" in answer.json()) == (status, True)


async def test_a_fault_of_ours_is_told_without_its_inside(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with attacked() as (service, http):
        with monkeypatch.context() as patch:
            patch.setattr(service.nodes[0].log, "status", lambda: 1 / 0)
            answer = await http.get("/readyz")
        assert (answer.status_code, answer.json()["error"]["code"]) == (500, "internal")
        assert "division" not in answer.text


async def test_who_hangs_up_while_waiting_leaves_nothing() -> None:
    async with serving() as service:
        url = service.urls[0]
        async with httpx.AsyncClient(base_url=url, trust_env=False) as http:
            await http.post("/v1/sessions", json=OPEN, headers=HEADERS)
            body = {"session_id": "w", "wait_s": 50}
            waiter = asyncio.create_task(
                http.post(
                    "/v1/leases:acquire", json=body, headers=HEADERS | {"Idempotency-Key": "a"}
                )
            )
            room = service.nodes[0].api.service.room
            await eventually(lambda: room.waiting == 1)
            waiter.cancel()
            await eventually(lambda: room.waiting == 0)


async def test_a_client_that_asks_before_it_sends_its_body_is_told_to_go_on() -> None:
    """As curl does with long bodies; one that may not ask is not told to send."""
    async with serving() as service:
        port = service.nodes[0].api.port
        for host, told in (("127.0.0.1", b"100 Continue"), ("evil.example", b"403 Forbidden")):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            body = b'{"session_id": "w", "ttl_ms": 60000}'
            head = (
                f"POST /v1/sessions HTTP/1.1\r\nHost: {host}\r\nExpect: 100-continue\r\n"
                "Content-Type: application/json\r\nIdempotency-Key: k\r\n"
                f"Content-Length: {len(body)}\r\n\r\n"
            )
            writer.write(head.encode())
            assert told in await reader.readuntil(b"\r\n\r\n")
            if told.startswith(b"100"):
                writer.write(body)
                assert b"200 OK" in await reader.readuntil(b"\r\n\r\n")
            writer.close()
            await writer.wait_closed()
