"""What a replicated log applies: entries as bytes in, replies as bytes out, nothing raised.

Every node that applies the same entries in the same order holds the same state, gives the same
replies byte for byte and has the same digest. Nothing here reads a clock or draws a number.

In this order: an entry that nobody could read is refused, at one of a newer program the node ends
(the others go on, and it must not go on without it); one of an earlier term is refused and not
even its time counts; time passes; what is due expires; a request id that is remembered is answered
with what was said then; the command; its reply is remembered.
"""

import hashlib
import json
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import ClassVar

from bars.errors import InvalidValueError
from coordinator.machine import wire
from coordinator.machine._apply import apply
from coordinator.machine._codec import UnknownNameError, codec_of
from coordinator.machine._written import Written, table_of, text_of
from coordinator.machine.commands import Tick
from coordinator.machine.replies import Code, Event, Reply
from coordinator.machine.state import State

ELAPSED_MS_MAX = 5_000
"""Time that one entry may let pass: a leader that slept must not end every lease at once."""

REMEMBERED_MS = 600_000
"""How long replies are kept for those who ask again, by the replicated clock."""

REMEMBERED_MAX = 20_000
"""How many of them."""

REMEMBERED_BYTES_MAX = 16 * 2**20
"""And how much of them: replies to long jobs are long."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Said:
    """A reply that is remembered."""

    request_id: str
    clock_ms: int
    text: str


@dataclass(frozen=True, slots=True)
class _Kept:
    """The same as it stands in snapshots: it is in several, and is written once."""

    clock_ms: int
    chars: int
    row: bytes

    @classmethod
    def of(cls, request_id: str, clock_ms: int, text: str) -> "_Kept":
        # What the codec would make of it.
        row = b'{"clock_ms":%d,"request_id":%b,"text":%b}'
        return cls(clock_ms, len(text), row % (clock_ms, text_of(request_id), text_of(text)))

    @property
    def text(self) -> str:
        said: _Said = codec_of(_Said).decode(json.loads(self.row), "said")
        return said.text


@dataclass(frozen=True, slots=True, kw_only=True)
class _Rest:
    """What a replica holds beside the machine's state."""

    term: int
    chain: str
    applied: int
    said: tuple[_Said, ...]


@dataclass(slots=True, kw_only=True)
class Counts:
    """What a replica has met since it was made; not replicated."""

    applied: int = 0
    """Entries applied, all those below included."""

    unreadable: int = 0
    """Entries refused because nobody could read them."""

    stale: int = 0
    """Entries of a leader that had been replaced."""

    repeated: int = 0
    """Entries answered from memory."""

    broken: int = 0
    """Faults of the machine itself: must stay 0."""

    deaf: int = 0
    """Faults of whoever listens to events: must stay 0."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Capture:
    """A replica at one instant; never changes, so any thread may write it down."""

    state: State
    _rest: _Rest = field(repr=False)
    """Without what is remembered."""

    _kept: tuple[_Kept, ...] = field(repr=False)
    _written: Written = field(repr=False, compare=False)

    @property
    def applied(self) -> int:
        """Entries that were applied until then, since the first of the log."""
        return self._rest.applied

    def snapshot(self) -> bytes:
        """Return all of it as one document."""
        rest: dict[str, Iterable[bytes]] = {
            name: (text_of(value),) for name, value in codec_of(_Rest).encode(self._rest).items()
        }
        rest["said"] = (b"[", b",".join([kept.row for kept in self._kept]), b"]")
        fields = {"state": self._written.state(self.state), "rest": table_of(rest)}
        return b"".join(wire.pack_parts(fields))

    def digest(self) -> str:
        """Return the SHA-256 of the state and of everything ever answered.

        Of the same text always, so that nodes of two programs can be compared; what has not
        changed since the replica's last digest is not written for it again.
        """
        return _digest(self.state, self._rest.chain, self._written)


def _digest(state: State, chain: str, written: Written) -> str:
    found = hashlib.sha256()
    fields = {"state": written.state(state), "chain": (text_of(chain),)}
    for part in wire.pack_parts(fields):
        found.update(part)
    return found.hexdigest()


class Replica:
    """One node's copy of the machine. Not for several threads at a time."""

    level: ClassVar[int] = wire.LEVEL
    """Which commands it knows."""

    def __init__(
        self, state: State, on_events: Callable[[Sequence[Event]], None] | None = None
    ) -> None:
        """Begin with a state.

        Args:
            state: The same on every node.
            on_events: Called with what a command has made happen, after the state has it. It
                should not raise; if it does, that is counted and nothing else.
        """
        self.state = state
        self.term = 0
        self.counts = Counts()
        self.reply: Reply | None = None
        """What the entry before was answered; None: that was not made of a value here, its bytes
        are all there is."""

        self._on_events = on_events
        self._chain = hashlib.sha256(b"").hexdigest()
        self._applied = 0
        self._said: OrderedDict[str, _Kept] = OrderedDict()
        self._said_bytes = 0
        self._written = Written()

    def apply(self, data: bytes) -> bytes:
        """Apply an entry and return the reply.

        An `Exception` out of the machine would be a fault of it, the same on every node: it is
        answered as BROKEN, and nothing has changed.

        Raises:
            UnsupportedVersionError: A newer program has written it. The replica must not be used
                any more: other nodes know the entry, and whatever is applied behind it.
        """
        self.counts.applied += 1
        self._applied += 1
        self.reply = None
        try:
            reply = self._apply(data)
        except (MemoryError, wire.UnsupportedVersionError):
            raise  # of this node alone: to go on would part it from the others
        except Exception as error:  # noqa: BLE001 - a log would apply the entry for ever
            self.counts.broken += 1
            self.reply = None
            reply = wire.encode_reply(Reply(code=Code.BROKEN, message=type(error).__name__))
        self._chain = hashlib.sha256(self._chain.encode() + reply).hexdigest()
        return reply

    def _apply(self, data: bytes) -> bytes:
        try:
            entry = wire.decode_entry(data)
        except InvalidValueError as error:
            self.counts.unreadable += 1
            return wire.encode_reply(Reply(code=Code.INVALID, message=str(error)))
        if entry.term < self.term:
            self.counts.stale += 1
            message = f"term is {self.term}, was {entry.term}"
            return wire.encode_reply(Reply(code=Code.STALE_LEADER, message=message))
        return self._obey(entry)

    def _obey(self, entry: wire.Entry) -> bytes:
        elapsed_ms = min(max(entry.elapsed_ms, 0), ELAPSED_MS_MAX)
        self._forget(self.state.clock_ms + elapsed_ms)  # what is too old by then
        said = self._said.get(entry.request_id)
        command = Tick() if said is not None else entry.command
        if command.elapsed_ms != elapsed_ms:
            command = replace(command, elapsed_ms=elapsed_ms)
        applied = apply(self.state, command)
        reply = wire.encode_reply(applied.reply) if said is None else said.text.encode()
        # Nothing has changed until here, so a fault before it changes nothing.
        self.state, self.term = applied.state, entry.term
        if said is not None:
            self.counts.repeated += 1
        else:
            self.reply = applied.reply
            if entry.request_id:
                self._remember(entry.request_id, reply.decode())
        if applied.events:
            self._tell(applied.events)
        return reply

    def _remember(self, request_id: str, text: str) -> None:
        self._said[request_id] = _Kept.of(request_id, self.state.clock_ms, text)
        self._said_bytes += len(text)
        while len(self._said) > REMEMBERED_MAX or self._said_bytes > REMEMBERED_BYTES_MAX:
            self._forget_oldest()

    def _forget(self, clock_ms: int) -> None:
        while self._said:
            oldest = next(iter(self._said.values()))
            if clock_ms - oldest.clock_ms < REMEMBERED_MS:
                return
            self._forget_oldest()

    def _forget_oldest(self) -> None:
        _, said = self._said.popitem(last=False)
        self._said_bytes -= said.chars

    def _tell(self, events: Sequence[Event]) -> None:
        if self._on_events is None:
            return
        try:
            self._on_events(events)
        except Exception:  # noqa: BLE001 - an exception out of a log applies the entry twice
            self.counts.deaf += 1

    @property
    def applied(self) -> int:
        """Entries applied since the first of the log, refused ones included."""
        return self._applied

    def capture(self) -> Capture:
        """Return the replica as it stands; costs little, unlike what is made of it."""
        rest = _Rest(
            term=self.term,
            chain=self._chain,
            applied=self._applied,
            said=(),
        )
        kept = tuple(self._said.values())
        return Capture(state=self.state, _rest=rest, _kept=kept, _written=self._written)

    def snapshot(self) -> bytes:
        """Return everything that is replicated as one document."""
        return self.capture().snapshot()

    def digest(self) -> str:
        """Return a number that is the same on all nodes that have applied the same entries."""
        return self.digest_of_now()()

    def digest_of_now(self) -> Callable[[], str]:
        """Return what works out the digest of the replica as it stands; any thread may call it."""
        return partial(_digest, self.state, self._chain, self._written)

    def restore(self, data: bytes) -> None:
        """Become what another replica was when it made the snapshot.

        Raises:
            UnsupportedVersionError: A newer program has written it; nothing changed.
            InvalidValueError: It is no snapshot, and which field is not allowed; nothing changed.
        """
        document = wire.unpack(data)
        try:
            state = wire.state_of(document.get("state"))
            rest: _Rest = codec_of(_Rest).decode(document.get("rest"), "rest")
        except UnknownNameError as error:
            raise wire.newer(error) from None
        self.state = state
        self.term, self._chain, self._applied = rest.term, rest.chain, rest.applied
        self._said = OrderedDict(
            (said.request_id, _Kept.of(said.request_id, said.clock_ms, said.text))
            for said in rest.said
        )
        self._said_bytes = sum(len(said.text) for said in rest.said)
