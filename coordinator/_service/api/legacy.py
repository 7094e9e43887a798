"""The lease protocol of QMTL's SDK, so that its client works unchanged.

A lease is the right to one key. What it stands for is a window of a series: nobody else fetches
any part of that until it is completed, failed or expired, neither by this protocol nor a worker
of ours; and while one of them does, there is no lease on it. In the log it is a claim with a
session of its own, so it expires by the same clock, is known to every node, and its token is above
all that were granted before. The machine sees to the rest in one command.

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
from bars.series import Series
from bars.window import Window, intersect, merge
from coordinator._service.api.asked import Answered, Asked, Handler, Route
from coordinator._service.api.auth import Role
from coordinator._service.api.body import TEXT_CHARS_MAX, only, text_of, whole_of
from coordinator._service.api.errors import RequestRefusedError
from coordinator._service.api.forward import Forward
from coordinator._service.api.keys import LeaseKey, parse_key
from coordinator._service.api.service import Service
from coordinator._service.log import NotLeaderError
from coordinator.machine import ClaimWindow, Code, EndClaim, KeepSession, State
from runtime.log import logger

LEASE_MS = (1_000, 3_600_000)
"""As long as a session may live."""

KEY_CHARS_MAX = 1_000
REASON_CHARS_LOGGED = 500

MARK_BYTES = 8
"""What a holder shows beside its token: who has seen the number of another's does not know it."""

_PREFIX = "qmtl"
_TOKEN = re.compile(r"([0-9]{1,19})(?:-([0-9a-f]{16}))?")

_log = logger(__name__)


@dataclass(frozen=True, slots=True)
class _Claimed:
    """The body of a completion or a failure."""

    key: LeaseKey
    session_id: str
    token: int


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

    async def claim(self, asked: Asked) -> Answered:
        """Give the key to whoever asks, or say that somebody has it."""
        only(asked.body, "key", "lease_ms")
        key = parse_key(text_of(asked.body, "key", most=KEY_CHARS_MAX))
        lease_ms = whole_of(asked.body, "lease_ms", *LEASE_MS)
        asked_ms = self._service.clock.wall_us() // 1_000
        mark = sha256(asked.key.encode()).digest()[:MARK_BYTES] if asked.key else self._mark()
        session_id = _sessions_of(key) + mark.hex()
        command = ClaimWindow(
            session_id=session_id, ttl_ms=lease_ms, series=_series_of(key), window=_window_of(key)
        )
        reply = (await self._service.propose(command, f"{session_id}:{lease_ms}")).reply
        if reply.code is Code.CONFLICT:
            raise _held(key)
        if reply.code is not Code.OK:
            raise RequestRefusedError(503, reply.code.value, reply.message)
        state = self._service.log.state()
        session = state.sessions.get(session_id)
        if session is None or session.claim is None or session.claim.token != reply.found:
            raise _held(key)  # an answer that is told again, of a lease that is over
        token = f"{reply.found}-{mark.hex()}"
        _log.info("legacy_claimed", key=key.text, token=token, lease_ms=lease_ms)
        until_ms = asked_ms + session.expires_ms - state.clock_ms
        lease = {"token": token, "lease_until_ms": until_ms}
        return Answered(document={"lease": lease, "completion_ratio": done_ratio(state, key)})

    def _mark(self) -> bytes:
        return self._service.rng.randbytes(MARK_BYTES)

    async def keep(self, asked: Asked) -> Answered:
        """Let a claim live on, as long again; not of that protocol: QMTL's client never asks."""
        claimed = _claimed(asked, "key", "token")
        command = KeepSession(session_id=claimed.session_id)
        answer = await self._service.propose(command, "")
        session = self._service.log.state().sessions.get(claimed.session_id)
        claim = None if session is None else session.claim
        if answer.reply.code is not Code.OK or claim is None or claim.token != claimed.token:
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
        command = EndClaim(session_id=claimed.session_id, token=claimed.token)
        named = f"{claimed.session_id}:{claimed.token}:end"
        answer = await self._service.propose(command, named)
        if answer.reply.code is not Code.OK:
            raise _ended(claimed.key)


def done_ratio(state: State, key: LeaseKey) -> float:
    """Return how much of a key's range is known as done, in any lane of its series."""
    wanted = _window_of(key)
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
    found = _TOKEN.fullmatch(str(token) if isinstance(token, int | str) else "")
    if found is None or int(found[1]) >= 2**63:
        raise InvalidValueError("token", token, "the token of the claim")
    number, mark = found.groups()
    return _Claimed(key, _sessions_of(key) + (mark or ""), int(number))


def _series_of(key: LeaseKey) -> Series:
    try:
        return Series(key.node, key.interval)
    except InvalidValueError as error:
        raise InvalidValueError("key", key.text, f"of a series: {error}") from None


def _window_of(key: LeaseKey) -> Window:
    return Window(key.start, key.end + key.interval)


def _sessions_of(key: LeaseKey) -> str:
    """Return what the ids of all sessions that hold a key begin with."""
    return f"{_PREFIX}:{sha256(key.text.encode()).hexdigest()[:32]}:"


def _ended(key: LeaseKey) -> RequestRefusedError:
    return RequestRefusedError(409, "expired", f"nobody holds {key.text} any more")


def _held(key: LeaseKey) -> RequestRefusedError:
    return RequestRefusedError(409, "held", f"somebody else holds {key.text}, or a part of it")
