"""A replica with a session, for tests of what goes into it and what it keeps."""

from coordinator.machine import (
    Acquire,
    AnyCommand,
    Complete,
    Event,
    MachineConfig,
    OpenSession,
    Reply,
    SubmitJob,
    initial,
    wire,
)
from coordinator.machine.replica import Replica
from tests.unit.machine_help import spec

SUBMIT = SubmitJob(spec=spec("job", 0, 100))
ACQUIRE = Acquire(session_id="w")


class Node:
    """A replica with a session `w`, and what goes into it."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.replica = Replica(initial(1, MachineConfig()), self.events.extend)
        self.do(OpenSession(session_id="w", ttl_ms=3_600_000))

    def bytes_of(
        self, command: AnyCommand, request_id: str = "", term: int = 1, elapsed_ms: int = 0
    ) -> bytes:
        entry = wire.Entry(term=term, elapsed_ms=elapsed_ms, request_id=request_id, command=command)
        data = self.replica.apply(wire.encode_entry(entry))
        assert self.replica.reply in {None, wire.decode_reply(data)}, "the value says the same"
        return data

    def do(
        self, command: AnyCommand, request_id: str = "", term: int = 1, elapsed_ms: int = 0
    ) -> Reply:
        return wire.decode_reply(self.bytes_of(command, request_id, term, elapsed_ms))


def worked() -> Node:
    """Return a replica in the middle of a job."""
    node = Node()
    node.do(SUBMIT, "submit", elapsed_ms=5)
    for number in range(4):
        (lease,) = node.do(ACQUIRE, f"a{number}", elapsed_ms=10).leases
        if number % 2:
            node.do(Complete(session_id="w", token=lease.token), f"c{number}")
    return node
