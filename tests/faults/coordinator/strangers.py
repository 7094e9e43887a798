"""Peers that are none, clients that mean no good, and requests that come more than once."""

import asyncio
import json
import pickle
import secrets
import socket
import time
import zlib
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from random import Random

import httpx

from coordinator.machine import State
from coordinator.recovery.offline import verify_snapshot
from tests.faults.coordinator.trial import LEASE_TTL_MS, LOOK_S, RESUME_S, Trial, require, trial
from tests.unit.raft_peers import RawPeer

ROUNDS = 3
NOISE_BYTES = 4 * 2**20
SILENT = 40
GROWTH_BYTES = 16 * 2**20
REFUSED = "coordinator_unpickle_rejected_total "

COPIES = ("/v1/leases:progress", "/v1/leases:complete", "/v1/leases:fail", "/v1/leases:renew")
LATE_S = 1.0

STILL_S = 5 * LEASE_TTL_MS / 1_000
"""Within it every lease has ended and every retry come due."""

HEADERS = {"Idempotency-Key": "k"}


@dataclass(frozen=True, slots=True)
class _Evil:
    flag: Path

    def __reduce__(self) -> tuple[object, ...]:
        return Path.touch, (self.flag,)


async def knock(folder: Path, seed: int) -> str:
    """Have strangers do what they can at the ports of all nodes."""
    async with trial(folder, seed, victims=False) as t:
        flag = folder / "run"
        before = [_memory_bytes(process.pid) for process in t.nodes.running.values()]
        began = time.monotonic()
        for _ in range(ROUNDS):
            for url, peer in zip(t.nodes.urls, t.nodes.peers, strict=True):
                await asyncio.to_thread(_harass, peer, flag)
                await _pester(url)
        took = time.monotonic() - began
        after = [_memory_bytes(process.pid) for process in t.nodes.running.values()]
        waited = await t.longest_wait(began, began + took)
        refused = [await _refused(t, url) for url in t.nodes.urls]
        await t.prove(time.monotonic())
        growth = max(now - then for now, then in zip(after, before, strict=True))
        strange = t.logs.request_ids - {op.request_id for op in t.history.ops}
        require(not flag.exists(), "code of a stranger was run")
        require(not strange, f"commands of strangers were applied: {strange}")
        require(min(refused) >= ROUNDS, f"refused only {refused}")
        require(growth <= GROWTH_BYTES, f"the memory of a node grew by {growth / 2**20:.1f} MiB")
        require(waited <= RESUME_S, f"nothing was granted for {waited:.2f} s")
        return (
            f"{sum(refused):.0f} refused, memory +{growth / 2**20:.1f} MiB,"
            f" longest time without a grant {waited:.2f} s"
        )


def _harass(address: str, flag: Path) -> None:
    """Do at the port for nodes what somebody without the secret can do."""
    pickled = zlib.compress(pickle.dumps(_Evil(flag)))
    noise = secrets.token_bytes(2**16)
    for data in (
        len(pickled).to_bytes(4, "little") + pickled,
        b"\xff\xff\xff\x7f" + noise,
        noise * (NOISE_BYTES // len(noise)),
        b"GET / HTTP/1.1\r\n\r\n",
    ):
        with RawPeer(address) as peer, suppress(OSError):
            peer.socket.sendall(data)
    with RawPeer(address) as peer:
        peer.send(secrets.token_bytes(32))
        peer.wait_closed()
    with ExitStack() as silent:
        for _ in range(SILENT):
            silent.enter_context(RawPeer(address))


async def _pester(url: str) -> None:
    """Do at the API what somebody who means no good can do; nothing of it is accepted."""
    host, _, port = url.removeprefix("http://").rpartition(":")
    with ExitStack() as slow:
        for _ in range(SILENT):
            half = socket.create_connection((host, int(port)), timeout=5)
            slow.enter_context(half)
            half.sendall(b"POST /v1/sessions HTTP/1.1\r\nContent-Length: 9\r\n")
        async with httpx.AsyncClient(base_url=url, trust_env=False, timeout=20) as http:
            for path, content in _bad_bodies():
                answer = await http.post(path, content=content, headers=HEADERS)
                require(400 <= answer.status_code < 500, f"{path}: {answer.status_code}")


def _bad_bodies() -> Iterator[tuple[str, bytes]]:
    yield "/v1/sessions", b"x" * 2**21
    yield "/v1/sessions", b"[" * 20_000
    yield "/v1/sessions", b'{"session_id": "evil", "ttl_ms": 1e999}'
    yield "/v1/sessions", b'{"session_id": "evil", "ttl_ms": 60000, "elapsed_ms": 9999999}'
    yield "/v1/leases:complete", json.dumps({"session_id": "w0", "token": "1"}).encode()
    yield "/v1/nowhere", b"{}"


async def _refused(t: Trial, url: str) -> float:
    text = (await t.http.get(f"{url}/metrics")).text
    return next(float(line.split()[-1]) for line in text.splitlines() if line.startswith(REFUSED))


def _memory_bytes(pid: int) -> int:
    """Return what a process has in memory; 0 where nobody says it."""
    with suppress(OSError):
        for line in Path(f"/proc/{pid}/status").read_text("ascii").splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) * 1024
    return 0


@dataclass(slots=True)
class Way:
    """What goes by a way that loses answers, and brings requests twice and late."""

    chance: Random
    replies: dict[str, str] = field(default_factory=dict)
    """By key of the request."""

    others: list[str] = field(default_factory=list)
    """Replies that were not what the same request had been answered before."""

    sent: list[httpx.Request] = field(default_factory=list)
    repeated: int = 0

    def take(self, request: httpx.Request, response: httpx.Response) -> None:
        """Compare an answer with the one before to the same request."""
        document = response.json()
        if "reply" not in document:
            return  # of a node that does not lead
        key, reply = request.headers["Idempotency-Key"], json.dumps(document["reply"])
        if self.replies.setdefault(key, reply) != reply:
            self.others.append(f"{request.url.path}: {self.replies[key]}, then {reply}")


class BadWay(httpx.AsyncBaseTransport):
    """One client's connection by such a way."""

    def __init__(self, way: Way) -> None:
        self._way = way
        self._real = httpx.AsyncHTTPTransport()
        self._late: set[asyncio.Task[None]] = set()

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send it, or something like it."""
        await request.aread()
        how = self._way.chance.random()
        if request.url.path in COPIES:
            self._way.sent.append(request)
        if how < 0.2:  # twice
            await self.again(request)
        elif how < 0.35:  # once more, when others have come in between
            self._later(request)
        elif how < 0.45:  # now the first is on its way still, and its repetition comes before it
            self._later(request)
            raise httpx.ReadTimeout("lost on purpose", request=request)
        elif how < 0.6:
            await self.again(request)
            raise httpx.ReadError("lost on purpose", request=request)
        return await self._send(request)

    async def again(self, request: httpx.Request) -> None:
        """Send a copy."""
        self._way.repeated += 1
        with suppress(httpx.TransportError):
            await self._send(request)

    async def aclose(self) -> None:
        """Let everything arrive that is under way."""
        await asyncio.gather(*self._late)
        await self._real.aclose()

    def _later(self, request: httpx.Request) -> None:
        async def come() -> None:
            await asyncio.sleep(self._way.chance.uniform(0.0, LATE_S))
            await self.again(request)

        task = asyncio.create_task(come())
        self._late.add(task)
        task.add_done_callback(self._late.discard)

    async def _send(self, request: httpx.Request) -> httpx.Response:
        copy = httpx.Request(
            request.method, request.url, headers=request.headers, content=request.content
        )
        response = await self._real.handle_async_request(copy)
        await response.aread()
        self._way.take(request, response)
        return response


async def repeat(folder: Path, seed: int) -> str:
    """Bring requests twice, late and out of order, and lose answers."""
    way = Way(Random(seed))
    async with trial(folder, seed, victims=False, way=lambda: BadWay(way)) as t:
        await t.heard.worked(3 * len(COPIES) * 20)
        await t.prove(time.monotonic())
        leader, _ = await t.leader()
        before = await _still(t, leader)
        once_more = BadWay(way)
        for request in reversed(way.sent):
            url = request.url.copy_with(port=httpx.URL(t.nodes.urls[leader - 1]).port)
            again = httpx.Request("POST", url, headers=request.headers, content=request.content)
            await once_more.again(again)
        await once_more.aclose()
        require(await _state(t, leader) == before, "requests that came again changed the state")
        require(not way.others, "\n".join(way.others[:5]))
        return f"{way.repeated} requests came again, in any order"


async def _still(t: Trial, number: int) -> State:
    """Return what a node holds once time alone changes nothing of it.

    A lease whose grant was never answered lives until it expires, and a window that failed waits.
    """
    end = time.monotonic() + STILL_S
    while (state := await _state(t, number)).leases or state.index.due:
        require(time.monotonic() < end, f"leases or retries are left after {STILL_S} s")
        await asyncio.sleep(LOOK_S)
    return state


async def _state(t: Trial, number: int) -> State:
    """Return what a node holds, whatever the time is."""
    return replace(verify_snapshot(await t.state(number)).state, clock_ms=0)
