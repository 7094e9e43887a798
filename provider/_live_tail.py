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
        feed, interval = self._feed, call.ask.series.interval
        newest = sight.session[-1] if sight.session.size else None
        if feed is None or newest is None or sight.missing[-1] != newest:
            return [], None
        if call.ask.window.end < call.limit:
            return [], None  # not the tail: a feed brings what is new
        wanted = {int(ts) for ts in sight.missing}
        pieces: list[Piece] = []

        async def collect() -> None:
            about: Any = {"node_id": call.ask.series.node, "interval": interval}
            if not await feed.is_live_available(**about):
                return
            async with aclosing(feed.subscribe(**about)) as bars:  # type: ignore[type-var]
                async for ts, frame in bars:
                    if ts in wanted and frame.attrs.get(FINAL_KEY, True):
                        wanted.discard(ts)
                        found, _ = reconcile(frame, "live")
                        window = Window(ts, ts + interval)
                        pieces.append(Piece(window, found.inside(window), "live", versioned=False))
                    if ts >= newest:
                        return

        try:
            await call.budget.run(LIVE, collect(), at_most_s=WAIT_S)
        except DeadlineExceededError as e:
            patience = math.isinf(call.budget.phase_s(LIVE)) and call.budget.left_s(LIVE) > 0
            return pieces, None if patience else e
        except Exception as e:  # noqa: BLE001  a feed is anybody's code
            log.warning("source_passed_over", source="live", error=f"{type(e).__name__}: {e}")
        return pieces, None
