"""The world that a node lives in, and what PySyncObj is told of it."""

from collections.abc import Callable
from dataclasses import dataclass

from pysyncobj import SyncObjConf
from pysyncobj.node import Node
from pysyncobj.poller import Poller
from pysyncobj.transport import Transport

from coordinator._service.raft.files import Files
from coordinator._service.raft.journal import Journal
from coordinator._service.raft.settings import RaftSettings
from coordinator._service.raft.store import Spawn, inline


@dataclass(frozen=True, slots=True, kw_only=True)
class Outside:
    """The world that a node lives in."""

    files: Files
    """Its folder."""

    transport: type[Transport]
    """How it speaks with the others."""

    node: Callable[[str], Node]
    """Returns what PySyncObj calls the node with an address."""

    poller: Poller
    """What it waits with."""

    wake: Callable[[], None]
    """Ends that wait; callable from any thread."""

    monotonic: Callable[[], float]
    """Returns seconds that never go back."""

    secret: bytes | None = None
    """What the nodes know each other by; None: the transport knows by itself."""

    spawn: Spawn = inline
    """Has a snapshot written down."""


def library_settings(
    settings: RaftSettings,
    outside: Outside,
    journal: Journal,
    changed: Callable[[int, int], None],
) -> SyncObjConf:
    """Return what PySyncObj is told: ours where its own would not hold or not be safe."""
    low, high = settings.election_s
    never = 10**9
    return SyncObjConf(
        password=outside.secret,
        autoTick=False,
        pollerType=outside.poller,
        bindAddress=settings.bind,
        maxBindRetries=1,
        dnsFailCacheTime=1.0,
        appendEntriesUseBatch=False,
        appendEntriesBatchSizeBytes=settings.send_bytes,
        appendEntriesPeriod=settings.heartbeat_s,
        raftMinTimeout=low,
        raftMaxTimeout=high,
        leaderFallbackTimeout=settings.fallback_s,
        connectionRetryTime=settings.reconnect_s,
        connectionTimeout=settings.silence_s,
        commandsWaitLeader=False,
        commandsQueueSize=1,
        dynamicMembershipChange=False,
        useFork=False,
        journalFile=journal,
        logCompactionMinEntries=never,
        logCompactionMinTime=never,
        onStateChanged=changed,
    )
