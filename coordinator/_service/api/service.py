"""What the handlers share: proposing, reading, and the shape of every answer."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from random import Random

from bars.errors import InvalidValueError
from coordinator._service.api.asked import Answered, Asked, json_text
from coordinator._service.api.limits import Limits
from coordinator._service.api.waiting import WaitingRoom
from coordinator._service.api.watch import Watch
from coordinator._service.log import Answer, NotLeaderError, QueueFullError, ReplicatedLog
from coordinator.machine import AnyCommand, Barrier, Code, Reply, State, apply, wire
from runtime.clock import Clock

STATUS: Mapping[Code, int] = {
    Code.OK: 200,
    Code.RETRY_LATER: 200,
    Code.GIVEN_UP: 200,
    Code.INVALID: 400,
    Code.UNKNOWN_SESSION: 404,
    Code.UNKNOWN_JOB: 404,
    Code.UNKNOWN_TOKEN: 404,
    Code.LATE: 409,
    Code.NOT_YOURS: 409,
    Code.JOB_CONFLICT: 409,
    Code.CONFLICT: 409,
    Code.TOO_MANY: 409,
    Code.STALE_LEADER: 503,
    Code.BROKEN: 500,
}
"""HTTP's number for every answer of the machine."""

_NAMING = json.JSONEncoder(sort_keys=True)

READS = ("linearizable", "local")


@dataclass(frozen=True, slots=True)
class Seen:
    """A state that was read, and what is told with it."""

    state: State
    place: Mapping[str, int]
    """Raft index, term and clock."""


class Service:
    """One node's API, without HTTP."""

    def __init__(self, log: ReplicatedLog, clock: Clock, rng: Random, limits: Limits) -> None:
        """Serve a log.

        Args:
            log: This node's.
            clock: Measures waits.
            rng: Draws the random part of retries, and ids of what this node asks by itself.
            limits: Every bound.
        """
        self.log = log
        self.clock = clock
        self.rng = rng
        self.limits = limits
        self.room = WaitingRoom(log, clock)
        self.watch = Watch(log, clock)
        self._pending = 0

    @property
    def pending(self) -> int:
        """Commands that wait for the log."""
        return self._pending

    async def obey(self, asked: Asked, command: AnyCommand) -> Answered:
        """Have the command of a request applied once, and tell the reply."""
        return told(await self.propose(command, request_id(asked, command)))

    async def propose(self, command: AnyCommand, named: str) -> Answer:
        """Have a command applied on every node.

        Raises:
            LogError: It was not taken in, or nobody knows.
        """
        if self._pending >= self.limits.pending:
            raise QueueFullError(self._pending, self.limits.pending)
        self._pending += 1
        try:
            answer = await self.log.propose(command, named, self.limits.propose_s)
        finally:
            self._pending -= 1
        if answer.reply.code is Code.STALE_LEADER:  # changed nothing, and is not remembered
            status = self.log.status()
            raise NotLeaderError(None if status.is_leader else status.leader_url)
        return answer

    async def barrier(self) -> Answer:
        """Return once this node has applied all that was acknowledged before.

        Raises:
            LogError: It does not lead, or nobody knows.
        """
        return await self.propose(Barrier(), "")  # one that comes twice does no harm

    async def read(self, asked: Asked) -> Seen:
        """Return the state as the request wants it: `read=linearizable`, or `local` and older.

        Raises:
            InvalidValueError: It wants something else.
            LogError: It is to be linearizable, and this node does not lead.
        """
        how = asked.query.get("read", READS[0])
        if how not in READS:
            raise InvalidValueError("read", how, f"one of {', '.join(READS)}")
        if how == READS[0]:
            await self.barrier()
        status, state = self.log.status(), self.log.state()
        place = {
            "raft_index": status.applied_index,
            "term": status.term,
            "clock_ms": state.clock_ms,
        }
        return Seen(state, place)

    def peek(self, state: State, command: AnyCommand) -> Reply:
        """Return what a command would be answered; nothing happens."""
        return apply(state, command).reply


def request_id(asked: Asked, command: AnyCommand) -> str:
    """Return what names the command of a request.

    A key names a change of one role; used for another change it names another command, so
    nobody is answered with a reply to something else.
    """
    text = _NAMING.encode(wire.command_document(command))
    return f"{asked.role.word}:{asked.key}:{sha256(text.encode()).hexdigest()[:32]}"


def told(answer: Answer, **more: int) -> Answered:
    """Return the answer that tells a reply and its place in the log."""
    place = {"raft_index": answer.index, "term": answer.term, "clock_ms": answer.clock_ms, **more}
    return _told(answer.reply, wire.reply_text(answer.text), place)


def told_reply(reply: Reply, place: Mapping[str, int]) -> Answered:
    """Return the answer that tells a reply."""
    return _told(reply, wire.reply_text(wire.encode_reply(reply)), place)


def _told(reply: Reply, text: bytes, numbers: Mapping[str, int]) -> Answered:
    """Return the answer around a reply that is written already."""
    status = STATUS[reply.code]
    rest = "".join([f',"{name}":{number}' for name, number in numbers.items()]).encode()
    if status >= 400:  # noqa: PLR2004
        rest += b',"error":' + json_text({"code": reply.code.value, "message": reply.why})
    return Answered(raw=b'{"reply":%b%b}' % (text, rest), status=status)


def command_of(op: str, body: Mapping[str, object], *hidden: str) -> AnyCommand:
    """Return the command that a body describes.

    Args:
        op: Which one.
        body: The request's.
        hidden: Fields that a client may not say.

    Raises:
        InvalidValueError: A field is unknown, missing or not what it may be.
    """
    for name in ("op", *hidden):
        if name in body:
            raise InvalidValueError(name, body[name], "left out: the service says it")
    return wire.command_of({**body, "op": op}, "")
