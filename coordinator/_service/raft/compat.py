"""What of PySyncObj's inside this package stands on, by name, and where it is put to use.

PySyncObj has no points to hook into for most of what is set right here. So private names are
used, and each of them is listed and looked for before a node starts: a version in which one has
moved is refused with its name, instead of running without the rule that hung on it.
"""

import _socket
import socket
from collections.abc import Callable, Iterator
from types import CodeType, ModuleType
from typing import Final

import pysyncobj
import pysyncobj.pickle
import pysyncobj.syncobj
import pysyncobj.tcp_server
import pysyncobj.transport
from pysyncobj import SyncObj
from pysyncobj.journal import Journal as LibraryJournal
from pysyncobj.poller import Poller
from pysyncobj.tcp_connection import TcpConnection
from pysyncobj.tcp_server import TcpServer
from pysyncobj.transport import TCPTransport
from pysyncobj.version import VERSION

from coordinator._service.raft import unpickler
from coordinator._service.raft.connection import GuardedConnection
from coordinator._service.raft.errors import IncompatibleLibraryError

# PySyncObj puts a function for Windows alone into the socket module, on every system: whatever
# else in this process writes an address as text would fail.
socket.inet_ntop = _socket.inet_ntop

VERSION_MIN: Final = (0, 3, 17)
"""Before it, terms and votes did not survive a restart."""

ROUTES: Final[tuple[tuple[type, str, str], ...]] = (
    (SyncObj, "__init__", "_SyncObj__onMessageReceived"),
    (SyncObj, "__init__", "_SyncObj__serializer"),
    (SyncObj, "__init__", "_SyncObj__transport"),
    (SyncObj, "__init__", "_SyncObj__needLoadDumpFile"),
    (SyncObj, "__init__", "_SyncObj__raftLastApplied"),
    (SyncObj, "__init__", "_SyncObj__raftNextIndex"),
    (SyncObj, "__init__", "_SyncObj__raftCommitIndex"),
    (SyncObj, "__init__", "_SyncObj__commandsWaitingCommit"),
    (SyncObj, "__init__", "_SyncObj__raftElectionDeadline"),
    (SyncObj, "__init__", "createJournal"),
    (SyncObj, "__init__", "createPoller"),
    (SyncObj, "__init__", "PIPE_NOTIFIER_ENABLED"),
    (SyncObj, "_onTick", "_checkCommandsToApply"),
    (SyncObj, "_onTick", "_SyncObj__raftElectionDeadline"),
    (SyncObj, "_onTick", "_SyncObj__needLoadDumpFile"),
    (SyncObj, "_onTick", "_SyncObj__sendAppendEntries"),
    (SyncObj, "_onTick", "_SyncObj__applyLogEntries"),
    (SyncObj, "_SyncObj__applyLogEntries", "_SyncObj__raftCommitIndex"),
    (SyncObj, "_SyncObj__applyLogEntries", "_SyncObj__doApplyCommand"),
    (SyncObj, "_SyncObj__applyLogEntries", "_SyncObj__commandsWaitingCommit"),
    (SyncObj, "_SyncObj__onMessageReceived", "_SyncObj__sendNextNodeIdx"),
    (SyncObj, "_SyncObj__onMessageReceived", "_SyncObj__deleteEntriesFrom"),
    (SyncObj, "_SyncObj__onMessageReceived", "_SyncObj__loadDumpFile"),
    (SyncObj, "_SyncObj__onMessageReceived", "setTransmissionData"),
    (SyncObj, "_SyncObj__sendAppendEntries", "getTransmissionData"),
    (SyncObj, "_SyncObj__sendAppendEntries", "cancelTransmisstion"),
    (SyncObj, "_SyncObj__tryLogCompaction", "checkSerializing"),
    (SyncObj, "_SyncObj__tryLogCompaction", "serialize"),
    (TcpConnection, "__init__", "_TcpConnection__readBuffer"),
    (TcpConnection, "__init__", "_TcpConnection__writeBuffer"),
    (TcpConnection, "__init__", "sendRandKey"),
    (TcpConnection, "__init__", "recvRandKey"),
    (TcpConnection, "__init__", "encryptor"),
    (TcpConnection, "_TcpConnection__processConnection", "_TcpConnection__processParseMessage"),
    (TcpConnection, "_TcpConnection__tryReadBuffer", "_TcpConnection__processRead"),
    (TcpConnection, "_TcpConnection__processConnection", "_TcpConnection__trySendBuffer"),
    (TcpServer, "_TcpServer__onNewConnection", "TcpConnection"),
    (TcpServer, "__init__", "_TcpServer__fileno"),
    (TcpServer, "bind", "_TcpServer__socket"),
    (TCPTransport, "__init__", "_onTick"),
    (TCPTransport, "_onTick", "_maybeBind"),
    (TCPTransport, "__init__", "_nodeAddrToNode"),
    (TCPTransport, "__init__", "_connections"),
    (TCPTransport, "__init__", "_ready"),
    (TCPTransport, "addNode", "TcpConnection"),
    (TCPTransport, "_createServer", "_onNewIncomingConnection"),
    (TCPTransport, "_onNewIncomingConnection", "_onIncomingMessageReceived"),
    (TCPTransport, "_onOutgoingConnected", "_onOutgoingMessageReceived"),
    (TCPTransport, "_connectIfNecessarySingle", "_shouldConnect"),
)
"""A class, a method of it, and a name that the method uses: where our code is passed by."""

METHODS: Final[tuple[tuple[type, str], ...]] = (
    (SyncObj, "_SyncObj__onMessageReceived"),
    (SyncObj, "_SyncObj__sendNextNodeIdx"),
    (SyncObj, "_SyncObj__deleteEntriesFrom"),
    (SyncObj, "_SyncObj__loadDumpFile"),
    (SyncObj, "_SyncObj__applyLogEntries"),
    (SyncObj, "_SyncObj__doApplyCommand"),
    (SyncObj, "_SyncObj__sendAppendEntries"),
    (SyncObj, "_SyncObj__generateRaftTimeout"),
    (SyncObj, "_checkCommandsToApply"),
    (SyncObj, "_isLeader"),
    (SyncObj, "_getLeader"),
    (SyncObj, "forceLogCompaction"),
    (SyncObj, "transferLeadership"),
    (TcpConnection, "_TcpConnection__processRead"),
    (TcpConnection, "_TcpConnection__processParseMessage"),
    (TcpConnection, "_TcpConnection__trySendBuffer"),
    (TCPTransport, "_onIncomingMessageReceived"),
    (TCPTransport, "_onOutgoingMessageReceived"),
    (TCPTransport, "_onNewIncomingConnection"),
    (TCPTransport, "_onDisconnected"),
    (TCPTransport, "_onTick"),
    (TCPTransport, "_maybeBind"),
    (TCPTransport, "_shouldConnect"),
)
"""Methods that are called or put in the place of."""

GLOBALS: Final[tuple[tuple[ModuleType, str], ...]] = (
    (pysyncobj.syncobj, "createJournal"),
    (pysyncobj.syncobj, "createPoller"),
    (pysyncobj.syncobj, "PIPE_NOTIFIER_ENABLED"),
    (pysyncobj.syncobj, "monotonicTime"),
    (pysyncobj.syncobj, "random"),
    (pysyncobj.tcp_server, "TcpConnection"),
    (pysyncobj.transport, "TcpConnection"),
    (pysyncobj.pickle, "load"),
    (pysyncobj.pickle, "loads"),
)
"""Names of modules that `install` or the simulation puts something else under."""


def _itself(kind: type) -> Callable[[object], object]:
    def itself(given: object) -> object:
        if not isinstance(given, kind):
            raise TypeError(f"a {kind.__name__} was expected, was {given!r}")
        return given

    return itself


def moved() -> tuple[str, ...]:
    """Return what this package needs of PySyncObj and is not there."""
    return tuple(_moved())


def _moved() -> Iterator[str]:
    numbers = tuple(int(part) for part in VERSION.split(".")[:3])
    if numbers < VERSION_MIN:
        yield f"version {VERSION}, below {'.'.join(map(str, VERSION_MIN))}"
    for owner, name in METHODS:
        if not callable(getattr(owner, name, None)):
            yield f"{owner.__name__}.{name}"
    for module, name in GLOBALS:
        if not hasattr(module, name):
            yield f"{module.__name__}.{name}"
    for owner, method, name in ROUTES:
        code = getattr(getattr(owner, method, None), "__code__", None)
        if not isinstance(code, CodeType) or name not in code.co_names:
            yield f"{owner.__name__}.{method} no longer uses {name}"


def install() -> None:
    """Check all of it, and have PySyncObj use our journal, poller and connections. Repeatable.

    Raises:
        IncompatibleLibraryError: Something has moved; nothing was changed.
    """
    found = moved()
    if found:
        raise IncompatibleLibraryError(found)
    # The settings that name a file and a kind carry the objects themselves.
    pysyncobj.syncobj.createJournal = _itself(LibraryJournal)
    pysyncobj.syncobj.createPoller = _itself(Poller)
    # It opens two files for each node and never closes them; our poller has a bell of its own.
    pysyncobj.syncobj.PIPE_NOTIFIER_ENABLED = False
    pysyncobj.tcp_server.TcpConnection = GuardedConnection
    pysyncobj.transport.TcpConnection = GuardedConnection
    pysyncobj.pickle.loads = unpickler.loads
    pysyncobj.pickle.load = unpickler.load
