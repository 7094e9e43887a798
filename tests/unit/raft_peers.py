"""Real nodes on loopback, and somebody on a raw socket who says to be one."""

import asyncio
import base64
import pickle
import secrets
import socket
import struct
import zlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from cryptography.fernet import Fernet
from pysyncobj.encryptor import getEncryptor

from coordinator._service.raft.node import RaftLog
from coordinator._service.raft.settings import Member, RaftSettings
from coordinator.machine import MachineConfig, initial
from coordinator.machine.replica import Replica
from runtime import SystemClock

_LENGTH = struct.Struct("<i")


def free_addresses(count: int) -> list[str]:
    """Return addresses on loopback that nobody listens on."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    try:
        return [f"127.0.0.1:{each.getsockname()[1]}" for each in sockets]
    finally:
        for each in sockets:
            each.close()


def write_secret(folder: Path) -> Path:
    """Return a file with a new secret that only its owner may read."""
    path = folder / "secret"
    path.write_text(secrets.token_hex(32))
    path.chmod(0o600)
    return path


def cluster_settings(folder: Path, nodes: int, **settings: Any) -> list[RaftSettings]:
    """Return the settings of all nodes of a new cluster."""
    secret = write_secret(folder)
    members = tuple(
        Member(node_id=f"c{number}", address=address, url=f"http://c{number}")
        for number, address in enumerate(free_addresses(nodes))
    )
    return [
        RaftSettings(
            node_id=member.node_id,
            members=members,
            bind=member.address,
            folder=folder / member.node_id,
            secret_file=secret,
            **settings,
        )
        for member in members
    ]


def new_log(settings: RaftSettings) -> RaftLog:
    """Return a node that is not started."""
    return RaftLog(settings, Replica(initial(1, MachineConfig())), SystemClock())


@asynccontextmanager
async def running(*settings: RaftSettings) -> AsyncIterator[list[RaftLog]]:
    """Run nodes, and wait until one of them leads where there is a majority."""
    logs = [new_log(each) for each in settings]
    try:
        for log in logs:
            await log.start()
        if len(logs) > len(settings[0].members) // 2:
            await leader_of(logs)
        yield logs
    finally:
        for log in logs:
            await log.stop()


async def until(condition: Callable[[], bool], seconds: float = 10.0) -> None:
    """Wait until something holds: a node tells nobody when it comes to."""
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110 - there is nothing to wait on
            await asyncio.sleep(0.005)


async def leader_of(logs: list[RaftLog], but: RaftLog | None = None) -> RaftLog:
    """Wait until a node leads, another than `but`."""
    others = [log for log in logs if log is not but]
    await until(lambda: any(log.status().is_leader for log in others))
    return next(log for log in others if log.status().is_leader)


class RawPeer:
    """Somebody who connects to a node and sends what he likes."""

    def __init__(self, address: str, secret: bytes = b"") -> None:
        host, port = address.split(":")
        self.socket = socket.create_connection((host, int(port)), timeout=5)
        self._fernet: Fernet = getEncryptor(secret) if secret else Fernet(_any_key())
        self._key = b""
        self._number = 0

    def __enter__(self) -> "RawPeer":
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def frame(self, message: object, **other: Any) -> bytes:
        """Return the frame that a peer would send; `key`, `number` in place of the right ones."""
        key, number = other.get("key", self._key), other.get("number", self._number)
        self._number += 1
        packed = zlib.compress(pickle.dumps((key, number, message)))
        data = self._fernet.encrypt(packed)
        return _LENGTH.pack(len(data)) + data

    def send(self, message: object) -> None:
        """Send a message as a peer does."""
        self.socket.sendall(self.frame(message))

    def greet(self, name: object) -> None:
        """Exchange keys, and say a name."""
        mine = secrets.token_bytes(32)
        self.send(mine)
        key, _, theirs = self.receive()
        assert key == mine
        self._key = theirs
        self.send(name)

    def receive(self) -> Any:
        """Return what a frame holds."""
        (length,) = _LENGTH.unpack(self._exactly(_LENGTH.size))
        return pickle.loads(zlib.decompress(self._fernet.decrypt(self._exactly(length))))

    def _exactly(self, count: int) -> bytes:
        data = b""
        while len(data) < count:
            part = self.socket.recv(count - len(data))
            if not part:
                raise ConnectionError("closed by the node")
            data += part
        return data

    def wait_closed(self) -> None:
        """Return when the node has ended the connection."""
        try:
            while self.socket.recv(65_536):
                pass
        except ConnectionError:
            pass


def _any_key() -> bytes:
    return base64.urlsafe_b64encode(secrets.token_bytes(32))
