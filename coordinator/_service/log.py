"""What the API asks of a replicated log, whatever replicates it.

A command that was proposed has one of three outcomes: it was applied, and its answer is the
same whoever asks again with the same request id; it was never taken in, which a
`retriable` error says; or nobody knows, which `UnknownOutcomeError` says: ask again with the
same request id.
"""

from collections.abc import Callable, Sequence
from typing import Protocol, TypeAlias

from bars.errors import SeamlessError
from coordinator.machine import AnyCommand, Event, Reply, State
from coordinator.machine.frozen import frozen

Listener: TypeAlias = Callable[[int, Sequence[Event] | None], None]
"""Called with the raft index of an entry that was applied and the events it made, often none.
None in place of the events: entries up to that index were skipped by a snapshot, and nobody can
say what happened in them."""


@frozen
class Answer:
    """A command that was applied, and where in the log."""

    reply: Reply
    """What the machine said, refusals included."""

    text: bytes
    """The same as the machine has written it."""

    index: int
    """Raft index of the state that the reply belongs to; never decreases on one node."""

    term: int
    """Raft term that the command was proposed in."""

    clock_ms: int
    """The replicated clock after the command."""


@frozen
class LogStatus:
    """How one node sees the cluster."""

    node_id: str
    """This node."""

    leader_url: str | None
    """API address of the leader; None: there is none that this node knows of."""

    is_leader: bool
    """Whether this node may take commands."""

    has_quorum: bool
    """Whether it has heard of a majority lately."""

    term: int
    commit_index: int
    applied_index: int
    log_bytes: int
    """Size of the journal on disk."""

    leader_changes: int
    """Leaders that this node has seen come."""

    peers: tuple[str, ...] = ()
    """API addresses of all nodes, this one included, in the configured order."""


class LogError(SeamlessError):
    """A command did not become part of the log, or nobody knows whether it did."""


class NotLeaderError(LogError):
    """Another node leads, or none; the command was not taken in."""

    retriable = True

    def __init__(self, leader_url: str | None) -> None:
        super().__init__(f"this node does not lead; the leader is {leader_url or 'not known'}")
        self.leader_url = leader_url


class QueueFullError(LogError):
    """Too many commands wait for the log; the command was not taken in."""

    retriable = True

    def __init__(self, pending: int, allowed: int) -> None:
        super().__init__(f"{pending} commands wait already, at most {allowed} may")
        self.pending = pending
        self.allowed = allowed


class OlderNodesError(LogError):
    """A node that is heard runs a program that does not know the command; it was not taken in.

    Attributes:
        nodes: Which.
    """

    retriable = True

    def __init__(self, nodes: tuple[str, ...]) -> None:
        super().__init__(
            f"the program of {', '.join(nodes)} is too old for this: it waits for the end of the"
            " upgrade"
        )
        self.nodes = nodes


class UnknownOutcomeError(LogError):
    """The log did not answer in time, or its leader changed: ask again with the same id."""

    retriable = True

    def __init__(self, request_id: str, reason: str) -> None:
        super().__init__(f"nobody knows whether {request_id} was applied: {reason}")
        self.request_id = request_id
        self.reason = reason


class StoppedLogError(LogError):
    """This node has stopped, for a fault of its disk or because it was told to."""

    retriable = True

    def __init__(self, reason: str) -> None:
        super().__init__(f"this node has stopped: {reason}")
        self.reason = reason


class ReplicatedLog(Protocol):
    """One node's view of the log. Belongs to one event loop."""

    async def propose(self, command: AnyCommand, request_id: str, timeout_s: float) -> Answer:
        """Have a command applied on every node; at the leader only.

        The log measures the time since its last proposal and puts it on the command; what the
        caller has put into `elapsed_ms` is ignored.

        Args:
            command: What is to happen.
            request_id: Names it: a second proposal of the same id is answered with the first's
                reply and changes nothing. At most 200 characters.
            timeout_s: Budget; when it ends the outcome is unknown.

        Raises:
            NotLeaderError: Ask the leader that it names.
            QueueFullError: Ask again a little later.
            OlderNodesError: Ask again when all nodes run this program.
            UnknownOutcomeError: Ask again with the same id.
            StoppedLogError: Ask another node.
        """
        ...

    def state(self) -> State:
        """Return the state as this node has applied it; may lag behind the leader's."""
        ...

    def digest(self) -> tuple[int, str]:
        """Return a raft index and the digest of the state at that index."""
        ...

    def status(self) -> LogStatus:
        """Return how this node sees the cluster."""
        ...

    def subscribe(self, listener: Listener) -> Callable[[], None]:
        """Have a listener called on this loop for every entry, in order of the log.

        `state` already shows what the entry did when the listener is called. A listener must be
        quick and must not raise.

        Returns:
            What ends the subscription; may be called twice.
        """
        ...

    async def transfer_leadership(self, timeout_s: float) -> None:
        """Let another node lead; at the leader only.

        Raises:
            NotLeaderError: This node does not lead.
            UnknownOutcomeError: No other node has taken over within the time.
        """
        ...

    async def snapshot(self, timeout_s: float) -> bytes:
        """Return this node's state as a snapshot document.

        Raises:
            StoppedLogError: This node has stopped.
        """
        ...
