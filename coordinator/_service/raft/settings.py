"""What a node has to be told: who the others are, where its files lie, how patient it is."""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from bars.errors import InvalidValueError

COMMAND_BYTES_MAX: Final = 2**20
"""The longest command; the API takes no longer bodies. A message takes more than one entry, which
is a little longer: PySyncObj's way of sending an entry in parts forgets the last part of some."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """One node of the cluster."""

    node_id: str
    """Its name; its folder is bound to it."""

    address: str
    """`host:port` at which the other nodes reach it. A number is better than a name: a name
    server that is slow holds the node up."""

    url: str
    """Its API, for those who ask the wrong node."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RaftSettings:
    """One node of a cluster whose members do not change."""

    node_id: str
    """Which of the members this is."""

    members: tuple[Member, ...]
    """All of them, in the same order everywhere."""

    bind: str
    """`host:port` to listen on for the other nodes. There is no default: what listens everywhere
    is reached by everybody."""

    folder: Path
    """Where its files lie; no other node's do."""

    secret_file: Path
    """What the nodes share to know each other by."""

    heartbeat_s: float = 0.05
    """Between two messages of a leader."""

    election_s: tuple[float, float] = (0.25, 0.6)
    """How long a follower waits for one before it wants to lead: drawn anew each time. Measured:
    a leader's death costs 0.7 s in the median, 2 s at worst with PySyncObj's own values."""

    fallback_s: float = 0.8
    """A leader that hears of no majority for so long leads no more."""

    reconnect_s: float = 0.2
    """Between two attempts to reach a node."""

    silence_s: float = 1.0
    """A connection on which nothing came for so long is dead."""

    send_bytes: int = 2 * COMMAND_BYTES_MAX
    """Entries sent in one message, and one more."""

    pending_max: int = 1_000
    """Commands that wait for the log; more are refused."""

    compact_entries: int = 5_000
    """Entries after which the log gives way to a snapshot: a second of work after a restart."""

    digest_every: int = 1_000
    """Entries between two digests of the state, the same on every node."""

    def __post_init__(self) -> None:
        names = [member.node_id for member in self.members]
        if self.node_id not in names:
            raise InvalidValueError("node_id", self.node_id, f"one of {', '.join(names)}")
        for field in ("node_id", "address", "url"):
            values = [getattr(member, field) for member in self.members]
            if len(set(values)) != len(values):
                raise InvalidValueError(f"members.{field}", values, "different for each member")
        for field, address in [
            ("bind", self.bind),
            *(("address", m.address) for m in self.members),
        ]:
            host, _, port = address.rpartition(":")
            if not host or not port.isdigit():
                raise InvalidValueError(field, address, "host:port")

    @property
    def me(self) -> Member:
        """This node."""
        return self.members[self.place]

    @property
    def place(self) -> int:
        """Where this node stands among the members."""
        return [member.node_id for member in self.members].index(self.node_id)

    @property
    def compact_at(self) -> int:
        """Entries after which this node compacts: not all at once, for it makes them slow."""
        return self.compact_entries + self.place * (self.compact_entries // (2 * len(self.members)))

    def url_of(self, address: str | None) -> str | None:
        """Return the API of the node with that address."""
        return next((m.url for m in self.members if m.address == address), None)
