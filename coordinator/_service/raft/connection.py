"""PySyncObj's connection, with nothing believed and nothing kept that has no limit.

A frame is its length and, encrypted and authenticated with the cluster's secret, the compressed
pickle of (key that the receiver drew, number of the frame, message). A stranger cannot make a
frame that opens; a recorded one opens on no other connection, and on its own only once.
"""

import hmac
import pickle
import struct
import zlib
from typing import Any, Final, cast

from cryptography.fernet import InvalidToken
from pysyncobj.tcp_connection import TcpConnection

from coordinator._service.raft.unpickler import Refusals, loads

STRANGER_BYTES_MAX: Final = 4_096
"""Longest frame of who has not proved anything yet; a key or an address takes some 300 bytes."""

FRAME_BYTES_MAX: Final = 8 * 2**20
"""Longest frame of a peer, and what it may unfold to."""

KEY_BYTES: Final = 32

_LENGTH: Final = struct.Struct("<i")
_COMPRESSION: Final = 1
"""JSON shrinks to a quarter at once; more effort costs more than it saves on a local network."""


class _FrameError(Exception):
    """A frame that no peer of this cluster has made for this connection."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class GuardedConnection(TcpConnection):  # type: ignore[misc]  # the library has no types
    """One connection to a peer or to somebody who says so."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.refusals = Refusals()
        """Where refused frames are counted."""

        self._TcpConnection__readBuffer: bytes
        self._forget_peer()

    def _forget_peer(self) -> None:
        self._limit = STRANGER_BYTES_MAX
        self._sent = 0
        self._received = 0

    def trust(self) -> None:
        """Take long frames from now on: the peer has the secret."""
        self._limit = FRAME_BYTES_MAX

    def send(self, message: object) -> None:
        """Send a message when the socket takes it."""
        parts = (self.sendRandKey or b"", self._sent, message)
        self._sent += 1
        packed = zlib.compress(pickle.dumps(parts, pickle.HIGHEST_PROTOCOL), _COMPRESSION)
        data = self.encryptor.encrypt(packed)
        self._TcpConnection__writeBuffer += _LENGTH.pack(len(data)) + data
        self._TcpConnection__trySendBuffer()

    def disconnect(self) -> None:
        """End the connection and forget who was at its other end."""
        self._forget_peer()
        super().disconnect()

    def _TcpConnection__processRead(self) -> bool:  # noqa: N802 - called by the library
        if len(self._TcpConnection__readBuffer) > self._limit + _LENGTH.size:
            return False  # Parsed first: what one peer has sent must not fill the memory.
        more: bool = super()._TcpConnection__processRead()
        return more

    def _TcpConnection__processParseMessage(self) -> object:  # noqa: N802
        try:
            frame = self._next_frame()
            return None if frame is None else self._open(frame)
        except _FrameError as error:
            self.refusals.count(error.reason)
            self.disconnect()
            return None

    def _next_frame(self) -> bytes | None:
        buffer: bytes = self._TcpConnection__readBuffer
        if len(buffer) < _LENGTH.size:
            return None
        (length,) = _LENGTH.unpack_from(buffer)
        if not 0 < length <= self._limit:
            raise _FrameError("frame_length")
        end = _LENGTH.size + length
        if len(buffer) < end:
            return None
        self._TcpConnection__readBuffer = buffer[end:]
        return buffer[_LENGTH.size : end]

    def _open(self, frame: bytes) -> object:
        try:
            unfolding = zlib.decompressobj()
            packed = unfolding.decompress(self.encryptor.decrypt(frame), FRAME_BYTES_MAX)
            if not unfolding.eof:
                raise _FrameError("frame_unfolds")
            key, number, message = loads(packed)
        except InvalidToken:
            raise _FrameError("frame_forged") from None
        except (pickle.UnpicklingError, TypeError, ValueError, zlib.error):
            raise _FrameError("frame_unreadable") from None
        if type(key) is not bytes or not hmac.compare_digest(key, self.recvRandKey or b""):
            raise _FrameError("frame_key")
        if number != self._received:
            raise _FrameError("frame_number")
        if message is None:
            # The caller would take it for "no frame yet" and wait.
            raise _FrameError("frame_empty")
        self._received += 1
        return cast("object", message)
