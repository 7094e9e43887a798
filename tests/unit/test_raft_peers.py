"""Strangers and liars on a node's port: nothing of theirs is run, kept or believed."""

import asyncio
import os
import pickle
import secrets
import socket
import struct
import subprocess
import sys
import zlib
from collections import Counter
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from coordinator._service.raft import unpickler
from coordinator._service.raft.connection import FRAME_BYTES_MAX
from coordinator._service.raft.errors import SecretError
from coordinator._service.raft.node import RaftLog
from coordinator._service.raft.secret import read_secret
from coordinator._service.raft.settings import RaftSettings
from coordinator._service.raft.transport import STRANGERS_MAX
from coordinator.machine import Barrier, OpenSession
from tests.unit.raft_peers import RawPeer, cluster_settings, new_log, running, until


class _Evil:
    """Runs a command where it is unpickled."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __reduce__(self) -> tuple[Callable[[str], int], tuple[str]]:
        return os.system, (f"touch {self._path}",)


@pytest.fixture
async def node(tmp_path: Path) -> AsyncIterator[tuple[RaftLog, RaftSettings]]:
    """The first of two nodes; this test plays the second, which is the one that connects."""
    settings = cluster_settings(tmp_path, 2)
    settings.sort(key=lambda each: each.me.address)
    async with running(settings[0]) as (log,):
        yield log, settings[0]


def _secret(settings: RaftSettings) -> bytes:
    return read_secret(settings.secret_file)


def _other(settings: RaftSettings) -> str:
    return next(m.address for m in settings.members if m is not settings.me)


async def _refused(log: RaftLog, reason: str) -> None:
    await until(lambda: reason in log.numbers().refused)


def _rss_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


async def test_a_stranger_s_bytes_are_refused_before_they_are_read(
    node: tuple[RaftLog, RaftSettings], tmp_path: Path
) -> None:
    """PySyncObj unpickles what anybody sends: one packet runs any command."""
    log, settings = node
    flag = tmp_path / "pwned"
    pickled = zlib.compress(pickle.dumps(_Evil(flag)))
    with RawPeer(settings.bind) as peer:
        peer.socket.sendall(struct.pack("<i", len(pickled)) + pickled)
        await asyncio.to_thread(peer.wait_closed)
    with RawPeer(settings.bind) as peer:
        peer.send(secrets.token_bytes(32))
        await asyncio.to_thread(peer.wait_closed)
    assert log.numbers().refused == {"frame_forged": 2}
    assert not flag.exists()


async def test_even_who_has_the_secret_runs_nothing(
    node: tuple[RaftLog, RaftSettings], tmp_path: Path
) -> None:
    """A node that was taken over must not take the others with it."""
    log, settings = node
    flag = tmp_path / "pwned"
    with RawPeer(settings.bind, _secret(settings)) as peer:
        peer.send(_Evil(flag))
        await asyncio.to_thread(peer.wait_closed)
    assert log.numbers().refused == {"frame_unreadable": 1}
    assert not flag.exists()


@pytest.mark.parametrize("length", [-1, 0, 4_097, 2**31 - 1])
async def test_a_length_that_no_greeting_has_ends_the_connection(
    node: tuple[RaftLog, RaftSettings], length: int
) -> None:
    """Before a byte of it is waited for."""
    log, settings = node
    with RawPeer(settings.bind) as peer:
        peer.socket.sendall(struct.pack("<i", length))
        await asyncio.to_thread(peer.wait_closed)
    assert log.numbers().refused == {"frame_length": 1}


async def test_what_unfolds_without_end_is_refused(node: tuple[RaftLog, RaftSettings]) -> None:
    """A hundred megabytes fit into a hundred kilobytes."""
    log, settings = node
    with RawPeer(settings.bind, _secret(settings)) as peer:
        peer.greet(_other(settings))
        peer.send(bytes(FRAME_BYTES_MAX + 1))
        await asyncio.to_thread(peer.wait_closed)
    assert log.numbers().refused == {"frame_unfolds": 1}


async def test_a_frame_counts_once_and_in_its_place(node: tuple[RaftLog, RaftSettings]) -> None:
    """Recorded and sent again, a vote would count twice."""
    log, settings = node
    with RawPeer(settings.bind, _secret(settings)) as peer:
        peer.greet(_other(settings))
        frame = peer.frame({"type": "ping"})
        peer.socket.sendall(frame + frame)
        await asyncio.to_thread(peer.wait_closed)
    with RawPeer(settings.bind, _secret(settings)) as peer:
        peer.greet(_other(settings))
        peer.socket.sendall(frame)
        await asyncio.to_thread(peer.wait_closed)
    assert log.numbers().refused == {"frame_number": 1, "frame_key": 1}


@pytest.mark.parametrize(
    "name", ["readonly", ["status"], ["add", "evil:1"], "127.0.0.1:1", {"type": "ping"}]
)
async def test_only_the_other_nodes_are_let_in(
    node: tuple[RaftLog, RaftSettings], name: object
) -> None:
    """PySyncObj lets anybody read the log, add members and take the lead away."""
    log, settings = node
    with RawPeer(settings.bind, _secret(settings)) as peer:
        peer.greet(name)
        await asyncio.to_thread(peer.wait_closed)
    assert log.numbers().refused == {"stranger_name": 1}


async def test_a_greeting_is_a_key_and_nothing_else(node: tuple[RaftLog, RaftSettings]) -> None:
    """What is no key would be answered as one."""
    log, settings = node
    for greeting in (b"short", "text", 5, [b"x" * 32]):
        with RawPeer(settings.bind, _secret(settings)) as peer:
            peer.send(greeting)
            await asyncio.to_thread(peer.wait_closed)
    assert log.numbers().refused == {"stranger_greeting": 4}


async def test_a_message_of_nothing_ends_the_connection(
    node: tuple[RaftLog, RaftSettings],
) -> None:
    """PySyncObj would take it for no message at all."""
    log, settings = node
    with RawPeer(settings.bind, _secret(settings)) as peer:
        peer.send(None)
        await asyncio.to_thread(peer.wait_closed)
    assert log.numbers().refused == {"frame_empty": 1}


async def test_a_command_of_a_peer_is_not_applied(node: tuple[RaftLog, RaftSettings]) -> None:
    """Commands come through the API, where somebody is asked who he is."""
    log, settings = node
    with RawPeer(settings.bind, _secret(settings)) as peer:
        peer.greet(_other(settings))
        peer.send({"type": "apply_command", "command": b"\x00{}", "request_id": 1})
        await _refused(log, "message_command")
        assert log.status().applied_index == 1


async def test_a_node_that_comes_again_takes_the_place_of_its_dead_connection(
    node: tuple[RaftLog, RaftSettings],
) -> None:
    """Two at once would mix up the order of its messages."""
    log, settings = node
    with RawPeer(settings.bind, _secret(settings)) as before:
        before.greet(_other(settings))
        await until(lambda: log.status().has_quorum)
        with RawPeer(settings.bind, _secret(settings)) as now:
            now.greet(_other(settings))
            await asyncio.to_thread(before.wait_closed)
            assert log.status().has_quorum


async def test_a_node_says_nothing_but_its_key_to_who_does_not_answer(tmp_path: Path) -> None:
    """And tries again: whoever sits on the port of a node may go, or was the node itself."""
    settings = cluster_settings(tmp_path, 2)
    settings.sort(key=lambda each: each.me.address)
    host, port = settings[0].bind.split(":")
    with socket.create_server((host, int(port))) as mute:
        mute.settimeout(10)
        async with running(settings[1]):
            first, _ = await asyncio.to_thread(mute.accept)
            second, _ = await asyncio.to_thread(mute.accept)
            with first, second:
                said = await asyncio.to_thread(_read_all, first)
    (length,) = struct.unpack_from("<i", said)
    assert len(said) == 4 + length, "one frame"


def _read_all(connection: socket.socket) -> bytes:
    data = b""
    while part := connection.recv(65_536):
        data += part
    return data


async def test_strangers_fill_neither_the_port_nor_the_memory(tmp_path: Path) -> None:
    """Silent ones, loud ones, a hundred at once: the node serves as before."""
    (settings,) = cluster_settings(tmp_path, 1)
    async with running(settings) as (log,):
        await log.propose(OpenSession(session_id="s", ttl_ms=60_000), "s", 5)
        before = _rss_bytes()
        silent = [RawPeer(settings.bind) for _ in range(3 * STRANGERS_MAX)]
        await asyncio.to_thread(_shout, settings.bind, 64 * 2**20)
        answer = await log.propose(Barrier(), "b", 5)
        assert _rss_bytes() - before <= 16 * 2**20
        assert answer.index > 1
        # The last ones have still to say who they are; in time they are sent away too.
        for peer in silent:
            await asyncio.to_thread(peer.wait_closed)
            peer.socket.close()
        refused = Counter(log.numbers().refused)
        assert refused["stranger_crowd"] >= STRANGERS_MAX
        assert refused["stranger_crowd"] + refused["stranger_silent"] == len(silent)
        assert set(refused) <= {"stranger_crowd", "stranger_silent", "frame_length"}


def _shout(address: str, count: int) -> None:
    """Send so many bytes, on as many connections as it takes."""
    noise = b"\x7f" * 2**20
    sent = 0
    while sent < count:
        with RawPeer(address) as peer:
            try:
                while sent < count:
                    sent += peer.socket.send(noise)
            except OSError:
                sent += 2**20


def test_an_unpickler_looks_up_no_name() -> None:
    """Not even a harmless one: there is nothing in a message that needs it."""
    plain = {"type": "x", "entries": [(b"\x00", 1, 2)], "flag": None}
    assert unpickler.loads(pickle.dumps(plain)) == plain
    evil = [b"cos\nsystem\n(S'true'\ntR.", pickle.dumps(socket.socket), pickle.dumps(Path("x"))]
    for data in (*evil, b"", b"\x80\x04.", b"not a pickle", pickle.dumps(plain)[:-3]):
        with pytest.raises(pickle.UnpicklingError):
            unpickler.loads(data)


@pytest.mark.parametrize(
    ("content", "mode", "reason"),
    [
        (None, 0, "cannot be read: No such file.*openssl rand"),
        (b"short\n", 0o600, "at least 32 bytes, was 5"),
        (b" " * 40, 0o600, "at least 32 bytes, was 0"),
        (b"x" * 32, 0o644, "must not be open to all, was -rw-r--r--"),
    ],
)
def test_a_secret_that_is_none_is_refused(
    tmp_path: Path, content: bytes | None, mode: int, reason: str
) -> None:
    """Without one anybody is a node; the message says how to make one."""
    path = tmp_path / "secret"
    if content is not None:
        path.write_bytes(content)
        path.chmod(mode)
    with pytest.raises(SecretError, match=reason):
        read_secret(path)


async def test_a_node_without_a_secret_does_not_start(tmp_path: Path) -> None:
    """It must not even listen."""
    (settings,) = cluster_settings(tmp_path, 1)
    settings.secret_file.unlink()
    with pytest.raises(SecretError):
        await new_log(settings).start()


@pytest.mark.parametrize("module", ["coordinator._service.raft.folder", "coordinator.client"])
def test_neither_offline_reading_nor_a_client_loads_the_servers_libraries(module: str) -> None:
    """Who looks at a broken node's files, or asks for a lease, has neither of them to install."""
    code = f"import sys, {module}\nsys.exit(bool({{'pysyncobj', 'aiohttp'}} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
