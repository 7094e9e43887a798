"""Windows that somebody chose, by the older lease protocol: nobody else fetches in them meanwhile.

Such a window is one of a series, in all of its lanes. Its holder is no worker of ours: nothing is
done, failed or tried again by what becomes of it.
"""

from collections.abc import Iterator

from bars.series import Series
from bars.window import Window
from coordinator.machine import commands as c
from coordinator.machine._draft import Draft
from coordinator.machine._sessions import begin_session, end_session, session_refusal
from coordinator.machine.replies import Code, Reply, StaleClaim, WindowClaimed
from coordinator.machine.state import Claim
from coordinator.machine.values import StaleKind


def claim_window(draft: Draft, command: c.ClaimWindow) -> Reply:
    """Give a window to a session of its own, if nobody has any part of it."""
    refusal = session_refusal(draft, command.session_id, command.ttl_ms)
    if refusal is not None:
        return refusal
    if command.session_id in draft.sessions:
        return Reply(code=Code.CONFLICT, message=f"session {command.session_id} is open already")
    holder = next(_holders(draft, command.series, command.window), None)
    if holder is not None:
        message = f"{command.series} {command.window} is held under token {holder}"
        return Reply(code=Code.CONFLICT, message=message, found=holder)
    claim = Claim(series=command.series, window=command.window, token=draft.next_token())
    begin_session(draft, command.session_id, command.ttl_ms, claim)
    draft.events.append(WindowClaimed(session_id=command.session_id, claim=claim))
    return Reply(code=Code.OK, found=claim.token)


def end_claim(draft: Draft, command: c.EndClaim) -> Reply:
    """Let others have a window that was claimed."""
    session = draft.sessions.get(command.session_id)
    if session is not None and session.claim and session.claim.token == command.token:
        end_session(draft, command.session_id, expired=False)
        return Reply(code=Code.OK)
    if 0 < command.token <= draft.last_token:
        kind, token = StaleKind.LATE, command.token
        draft.events.append(StaleClaim(kind=kind, token=token, session_id=command.session_id))
    return Reply(code=Code.UNKNOWN_TOKEN)


def _holders(draft: Draft, series: Series, window: Window) -> Iterator[int]:
    """Yield the tokens under which parts of a window are held, in any lane of its series."""
    for claim in draft.claims_of(series):
        if claim.window.intersect(window):
            yield claim.token
    for lane in draft.lanes_of(series):
        for token in lane.tokens:
            if draft.leases[token].window.intersect(window):
                yield token
