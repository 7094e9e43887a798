"""How nodes speak with each other: after the disk, with limits, and only with each other.

What PySyncObj's transport also does is refused here: read-only followers, administration by
whoever connects, commands passed on.
"""

from typing import Any, Final

from pysyncobj.node import TCPNode
from pysyncobj.tcp_connection import CONNECTION_STATE
from pysyncobj.transport import TCPTransport

from coordinator._service.raft.connection import KEY_BYTES, GuardedConnection

STRANGERS_MAX: Final = 32
"""Connections that have not said yet who they are; the oldest gives way."""

STRANGER_S: Final = 2.0
"""How long one has to say it: a peer needs two messages."""

BACKLOG: Final = 128
"""Connections that wait to be accepted; PySyncObj's five let a stranger keep a peer waiting."""

UNSENT_BYTES_MAX: Final = 64 * 2**20
"""What may wait for one peer: more than a snapshot, less than the memory."""

PING_S: Final = 0.3
"""Between two signs of life: followers have nothing else to say to each other, and a connection
that was silent for too long is given up just when a vote is to be asked for."""

_PING: Final = {"type": "ping"}


class SyncsFirst:
    """A transport that sends nothing before the journal is safe: what peers are told is true."""

    _syncObj: Any  # noqa: N815 - the library's

    def send(self, node: TCPNode, message: Any) -> bool:
        """Send a message to a node; False: it is not connected."""
        self._syncObj.journal.sync()
        sent: bool = super().send(node, message)  # type: ignore[misc]  # the transport's
        return sent


class GuardedTransport(SyncsFirst, TCPTransport):  # type: ignore[misc]  # the library has no types
    """TCP between the nodes of one cluster."""

    def __init__(self, syncObj: Any, selfNode: TCPNode, otherNodes: set[TCPNode]) -> None:  # noqa: N803 - the library's own
        self._accepted: dict[GuardedConnection, float] = {}
        self._dialling: dict[TCPNode, float] = {}
        self._pinged = 0.0
        super().__init__(syncObj, selfNode, otherNodes)

    def addNode(self, node: TCPNode) -> None:  # noqa: N802
        """Know a node of the cluster."""
        super().addNode(node)
        connection = self._connections.get(node)
        if connection is not None:
            connection.refusals = self._syncObj.refusals

    def send(self, node: TCPNode, message: Any) -> bool:
        """Send a message to a node; False: it is not connected, or takes nothing in."""
        connection = self._connections.get(node)
        if connection is None or not connection.sendRandKey:
            # PySyncObj asks for votes in the middle of a greeting, which would end it.
            return False
        sent = super().send(node, message)
        if sent and connection.getSendBufferSize() > UNSENT_BYTES_MAX:
            connection.disconnect()
            return False
        return sent

    def _maybeBind(self) -> None:  # noqa: N802
        if self.ready:
            return
        try:
            super()._maybeBind()
        finally:
            listening = self._server._TcpServer__socket  # noqa: SLF001
            if self.ready:
                listening.listen(BACKLOG)
            elif listening is not None:
                # The address is taken; the next attempt makes a socket of its own.
                listening.close()

    def _onNewIncomingConnection(self, conn: GuardedConnection) -> None:  # noqa: N802
        super()._onNewIncomingConnection(conn)
        conn.refusals = self._syncObj.refusals
        self._accepted[conn] = self._syncObj.monotonic()
        if len(self._accepted) > STRANGERS_MAX:
            self._turn_away(next(iter(self._accepted)), "stranger_crowd")

    def _onIncomingMessageReceived(self, conn: GuardedConnection, message: object) -> None:  # noqa: N802
        if not conn.sendRandKey:
            if type(message) is bytes and len(message) == KEY_BYTES:
                super()._onIncomingMessageReceived(conn, message)
            else:
                self._turn_away(conn, "stranger_greeting")
            return
        node = self._nodeAddrToNode.get(message) if isinstance(message, str) else None
        if node is None or self._shouldConnect(node):
            # Of two nodes one connects, always the same.
            self._turn_away(conn, "stranger_name")
            return
        before = self._connections.get(node)
        if before is not None and before is not conn:
            # The old one is dead or a lie; two at once would mix up the order of messages.
            before.disconnect()
        self._accepted.pop(conn, None)
        conn.trust()
        super()._onIncomingMessageReceived(conn, message)

    def _onOutgoingMessageReceived(self, conn: GuardedConnection, message: object) -> None:  # noqa: N802
        if type(message) is not bytes or len(message) != KEY_BYTES:
            self._turn_away(conn, "stranger_greeting")
            return
        conn.trust()
        super()._onOutgoingMessageReceived(conn, message)

    def _onDisconnected(self, conn: GuardedConnection) -> None:  # noqa: N802
        self._accepted.pop(conn, None)
        super()._onDisconnected(conn)

    def _turn_away(self, conn: GuardedConnection, reason: str) -> None:
        self._accepted.pop(conn, None)
        self._syncObj.refusals.count(reason)
        conn.disconnect()

    def _onTick(self) -> None:  # noqa: N802
        now = self._syncObj.monotonic()
        for conn, since in list(self._accepted.items()):
            if now - since > STRANGER_S:
                self._turn_away(conn, "stranger_silent")
        self._give_up_greeting(now)
        if self._server._TcpServer__fileno is None:  # noqa: SLF001 - a failed accept has closed it
            self._ready = False
        super()._onTick()
        if now - self._pinged >= PING_S:
            self._pinged = now
            for node in self._nodes:
                self.send(node, _PING)

    def _give_up_greeting(self, now: float) -> None:
        """End attempts to reach a node that lead nowhere: the next one may find the way open.

        By itself a connection waits for minutes when its first packet was lost, and for ever for
        an answer.
        """
        for node in self._nodes:
            conn = self._connections.get(node)
            if conn is None or conn.sendRandKey or conn.state == CONNECTION_STATE.DISCONNECTED:
                self._dialling.pop(node, None)
            elif now - self._dialling.setdefault(node, now) > STRANGER_S:
                del self._dialling[node]
                conn.disconnect()
