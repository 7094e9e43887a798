"""The newest bars of a window from a live feed, as far as the time for it lasts."""

import math
from contextlib import aclosing
from typing import Any

from bars.protocols import LiveDataFeed
from bars.window import Window
from provider._budget import LIVE
from provider._call import Call
from provider._join import Piece, reconcile
from provider._sight import Sight
from provider.live import FINAL_KEY
from runtime import DeadlineExceededError
from runtime.log import logger

WAIT_S = 1.0
"""How long the newest bars are waited for without a service level that says so."""

log = logger(__name__)


class LiveTail:
    """Asks a feed, if there is one, for closed bars that no source has yet."""

    def __init__(self, feed: LiveDataFeed | None) -> None:
        self._feed = feed

    async def bars(
        self, call: Call, sight: Sight
    ) -> tuple[list[Piece], DeadlineExceededError | None]:
        """Return the newest missing bars, and why not all of them came if time was over."""
        feed = self._feed
        newest = sight.session[-1] if sight.session.size else None
        if feed is None or newest is None or sight.missing[-1] != newest:
            return [], None
        if call.ask.window.end < call.limit:
            return [], None  # not the tail: a feed brings what is new
        pieces: list[Piece] = []
        try:
            work = _collect(feed, call, sight, pieces)
            await call.budget.run(LIVE, work, at_most_s=WAIT_S)
        except DeadlineExceededError as e:
            patience = math.isinf(call.budget.phase_s(LIVE)) and call.budget.left_s(LIVE) > 0
            return pieces, None if patience else e
        except Exception as e:  # noqa: BLE001  a feed is anybody's code
            log.warning("source_passed_over", source="live", error=f"{type(e).__name__}: {e}")
        return pieces, None


async def _collect(feed: LiveDataFeed, call: Call, sight: Sight, pieces: list[Piece]) -> None:
    """Gather the closed bars that are missing until the newest is there."""
    interval = call.ask.series.interval
    about: Any = {"node_id": call.ask.series.node, "interval": interval}
    wanted, newest = {int(ts) for ts in sight.missing}, int(sight.session[-1])
    if not await feed.is_live_available(**about):
        return
    async with aclosing(feed.subscribe(**about)) as bars:  # type: ignore[type-var]
        async for ts, frame in bars:
            if not frame.attrs.get(FINAL_KEY, True):
                continue
            if ts in wanted:
                wanted.discard(ts)
                found, _ = reconcile(frame, "live")
                window = Window(ts, ts + interval)
                pieces.append(Piece(window, found.inside(window), "live", versioned=False))
            if ts >= newest:
                return
