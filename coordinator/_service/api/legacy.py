"""The lease protocol of QMTL's SDK, so that its client works unchanged.

A lease is the right to one key, whatever it stands for: nobody else gets it until it is
completed, failed or expired. It has nothing to do with the windows of our own workers. In the log
it is a session of its own, so it expires by the same clock and is known to every node.

Exclusion: a barrier shows that no session holds the key, then one is opened. Only the leader of a
term puts entries into the log, it serves a key once at a time, and an entry of an earlier term is
refused: if both have the same term, nothing of that key came between them. The token is the
barrier's place in the log, so it only ever grows.

That protocol has no idempotency key. Who sends one anyway, as our own client does, gets the same
lease when it asks again; others wait for the lease to expire when an answer was lost.

`lease_until_ms` is epoch milliseconds by this node's wall clock, which is what that client wants.
Nothing here compares it with anything.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha256

from bars.errors import InvalidValueError
from bars.window import Window, intersect, merge
from coordinator._service.api.asked import Answered, Asked, Handler, Route
from coordinator._service.api.auth import Role
from coordinator._service.api.body import TEXT_CHARS_MAX, only, text_of, whole_of
from coordinator._service.api.errors import RequestRefusedError
from coordinator._service.api.forward import Forward
from coordinator._service.api.keys import LeaseKey, parse_key
from coordinator._service.api.service import Service
from coordinator._service.log import NotLeaderError
from coordinator.machine import CloseSession, Code, KeepSession, OpenSession, State
from runtime.log import logger

LEASE_MS = (1_000, 3_600_000)
"""As long as a session may live."""

KEY_CHARS_MAX = 1_000
REASON_CHARS_LOGGED = 500
_PREFIX = "qmtl"
_TOKEN = re.compile(r"[0-9]{1,20}(-[0-9a-f]{16})?")

_log = logger(__name__)


@dataclass(frozen=True, slots=True)
class _Claimed:
    """The body of a completion or a failure."""

    key: LeaseKey
    session_id: str


def routes(service: Service, forward: Forward) -> Iterator[Route]:
    """Yield the routes; a node that does not lead hands them on to the one that does."""
    legacy = _Legacy(service)
    handlers = {
        "claim": legacy.claim,
        "keep": legacy.keep,
        "complete": legacy.complete,
        "fail": legacy.fail,
    }
    for name, handler in handlers.items():
        path = f"/v1/leases/{name}"
        yield Route(
            method="POST", path=path, role=Role.WORKER, handler=_led(handler, path, forward)
        )


def _led(handler: Handler, path: str, forward: Forward) -> Handler:
    """That client knows one address and follows nobody: the answer comes from where it asked."""

    async def answer(asked: Asked) -> Answered:
        try:
            return await handler(asked)
        except NotLeaderError as error:
            if error.leader_url is None or asked.forwarded:
                raise
            return await forward(error.leader_url, path, asked)

    return answer


class _Legacy:
    def __init__(self, service: Service) -> None:
        self._service = service
        self._claiming: set[str] = set()

    async def claim(self, asked: Asked) -> Answered:
        """Give the key to whoever asks, or say that somebody has it."""
        only(asked.body, "key", "lease_ms")
        key = parse_key(text_of(asked.body, "key", most=KEY_CHARS_MAX))
        lease_ms = whole_of(asked.body, "lease_ms", *LEASE_MS)
        prefix = _sessions_of(key)
        if prefix in self._claiming:
            raise _held(key)
        suffix = f"-{sha256(asked.key.encode()).hexdigest()[:16]}" if asked.key else ""
        self._claiming.add(prefix)
        try:
            return await self._claim(key, suffix, lease_ms)
        finally:
            self._claiming.discard(prefix)

    async def _claim(self, key: LeaseKey, suffix: str, lease_ms: int) -> Answered:
        asked_ms = self._service.clock.wall_us() // 1_000
        prefix = _sessions_of(key)
        seen = await self._service.barrier()
        state = self._service.log.state()
        for session in state.sessions.values():
            if not session.session_id.startswith(prefix):
                continue
            if not suffix or not session.session_id.endswith(suffix):
                raise _held(key)
            left_ms = session.expires_ms - state.clock_ms
            return _lease(session.session_id.removeprefix(prefix), asked_ms + left_ms, state, key)
        token = f"{seen.index}{suffix}"
        session_id = prefix + token
        opened = await self._service.propose(
            OpenSession(session_id=session_id, ttl_ms=lease_ms), session_id
        )
        if opened.reply.code is not Code.OK:
            raise RequestRefusedError(503, opened.reply.code.value, opened.reply.message)
        if opened.term != seen.term:
            # Another node has led in between and may have given the key away.
            await self._service.propose(CloseSession(session_id=session_id), f"{session_id}:lost")
            raise _held(key)
        _log.info("legacy_claimed", key=key.text, token=token, lease_ms=lease_ms)
        return _lease(token, asked_ms + lease_ms, state, key)

    async def keep(self, asked: Asked) -> Answered:
        """Let a claim live on, as long again; not of that protocol: QMTL's client never asks."""
        claimed = _claimed(asked, "key", "token")
        command = KeepSession(session_id=claimed.session_id)
        answer = await self._service.propose(command, "")
        if answer.reply.code is not Code.OK:
            raise _ended(claimed.key)
        return Answered(document={"kept": True})

    async def complete(self, asked: Asked) -> Answered:
        """Take note that the key's range is there; whoever asks may have the key again."""
        claimed = _claimed(asked, "key", "token")
        await self._end(claimed)
        _log.info("legacy_completed", key=claimed.key.text)
        return Answered(document={"completion_ratio": 1.0})

    async def fail(self, asked: Asked) -> Answered:
        """Take note that it is not; whoever asks may have the key at once."""
        claimed = _claimed(asked, "key", "token", "reason")
        reason = text_of(asked.body, "reason", most=TEXT_CHARS_MAX, default="unknown")
        await self._end(claimed)
        told = reason[:REASON_CHARS_LOGGED]
        _log.warning("legacy_failed", key=claimed.key.text, reason=told)
        state = self._service.log.state()
        return Answered(document={"completion_ratio": done_ratio(state, claimed.key)})

    async def _end(self, claimed: _Claimed) -> None:
        command = CloseSession(session_id=claimed.session_id)
        answer = await self._service.propose(command, f"{claimed.session_id}:end")
        if answer.reply.code is not Code.OK:
            raise _ended(claimed.key)


def done_ratio(state: State, key: LeaseKey) -> float:
    """Return how much of a key's range is known as done, in any lane of its series."""
    wanted = Window(key.start, key.end + key.interval)
    series = (key.node, key.interval)
    done = [
        window
        for lane in state.lanes.values()
        if (lane.target.series.node, lane.target.series.interval) == series
        for window in intersect(lane.done, (wanted,))
    ]
    seconds = sum(window.end - window.start for window in merge(done))
    return seconds / (wanted.end - wanted.start)


def _claimed(asked: Asked, *names: str) -> _Claimed:
    only(asked.body, *names)
    key = parse_key(text_of(asked.body, "key", most=KEY_CHARS_MAX))
    token = asked.body.get("token")
    text = str(token) if isinstance(token, int | str) else ""
    if not _TOKEN.fullmatch(text):
        raise InvalidValueError("token", token, "the token of the claim")
    return _Claimed(key, _sessions_of(key) + text)


def _sessions_of(key: LeaseKey) -> str:
    """Return what the ids of all sessions that hold a key begin with."""
    return f"{_PREFIX}:{sha256(key.text.encode()).hexdigest()[:32]}:"


def _lease(token: str, until_ms: int, state: State, key: LeaseKey) -> Answered:
    lease = {"token": token, "lease_until_ms": until_ms}
    return Answered(document={"lease": lease, "completion_ratio": done_ratio(state, key)})


def _ended(key: LeaseKey) -> RequestRefusedError:
    return RequestRefusedError(409, "expired", f"nobody holds {key.text} any more")


def _held(key: LeaseKey) -> RequestRefusedError:
    return RequestRefusedError(409, "held", f"somebody else holds {key.text}")
