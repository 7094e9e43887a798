"""Sessions: who lives, and what becomes of the leases of who does not."""

from dataclasses import replace

from coordinator.machine import commands as c
from coordinator.machine._draft import Draft
from coordinator.machine._refuse import invalid
from coordinator.machine._windows import end_lease, expire, put_back
from coordinator.machine.replies import Code, Reply, SessionEnded, SessionOpened, StaleClaim
from coordinator.machine.state import Claim, Session
from coordinator.machine.values import NAME_CHARS_MAX, LeaseEnd, StaleKind

SESSION_TTL_MS = (1_000, 3_600_000)


def open_session(draft: Draft, command: c.OpenSession) -> Reply:
    """Open a session, or let it begin its life anew."""
    refusal = session_refusal(draft, command.session_id, command.ttl_ms)
    if refusal is not None:
        return refusal
    known = draft.sessions.get(command.session_id)
    if known is None:
        begin_session(draft, command.session_id, command.ttl_ms)
    else:
        _keep(draft, replace(known, ttl_ms=command.ttl_ms))
    return Reply(code=Code.OK)


def session_refusal(draft: Draft, session_id: str, ttl_ms: int) -> Reply | None:
    """Return why a session cannot be opened; None: it can."""
    low, high = SESSION_TTL_MS
    if not 0 < len(session_id) <= NAME_CHARS_MAX:
        return invalid("session_id", session_id, f"1 to {NAME_CHARS_MAX} characters")
    if not low <= ttl_ms <= high:
        return invalid("ttl_ms", ttl_ms, f"{low} to {high}")
    most = draft.config.sessions_max
    if session_id not in draft.sessions and len(draft.sessions) >= most:
        return Reply(code=Code.TOO_MANY, message=f"{most} sessions are open already")
    return None


def begin_session(draft: Draft, session_id: str, ttl_ms: int, claim: Claim | None = None) -> None:
    """Open a session that is not there yet."""
    draft.events.append(SessionOpened(session_id=session_id))
    _keep(draft, Session(session_id=session_id, ttl_ms=ttl_ms, expires_ms=0, claim=claim))


def keep_session(draft: Draft, command: c.KeepSession) -> Reply:
    """Let a session live on."""
    session = draft.sessions.get(command.session_id)
    if session is None:
        return Reply(code=Code.UNKNOWN_SESSION)
    _keep(draft, session)
    return Reply(code=Code.OK)


def close_session(draft: Draft, command: c.CloseSession) -> Reply:
    """End a session whose worker goes."""
    if command.session_id not in draft.sessions:
        return Reply(code=Code.UNKNOWN_SESSION)
    end_session(draft, command.session_id, expired=False)
    return Reply(code=Code.OK)


def end_session(draft: Draft, session_id: str, *, expired: bool) -> None:
    """End a session and its leases: as attempts if nobody has heard of it, else untried."""
    claim = draft.sessions[session_id].claim
    draft.drop_session(session_id)
    if claim is not None and expired:
        kind, token = StaleKind.EXPIRED, claim.token
        draft.events.append(StaleClaim(kind=kind, token=token, session_id=session_id))
    for token in draft.held.get(session_id) or ():
        lease = draft.leases[token]
        if expired:
            expire(draft, lease, LeaseEnd.ORPHANED)
        else:
            end_lease(draft, lease, LeaseEnd.RELEASED)
            put_back(draft, lease)
    draft.events.append(SessionEnded(session_id=session_id, expired=expired))


def _keep(draft: Draft, session: Session) -> None:
    draft.put_session(replace(session, expires_ms=draft.clock_ms + session.ttl_ms))
