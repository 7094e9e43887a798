"""`StreamInput`: where a strategy's stream takes its history from. Immutable."""

from dataclasses import dataclass, field

import pandas as pd

from bars.errors import InvalidValueError
from bars.history_coverage import WarmupWindow
from bars.protocols import EventRecorder, HistoryProvider
from bars.window import Grid
from provider._ask import check_moment, check_series, whole
from runtime import Clock, SystemClock

PERIOD_MAX = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamInput:
    """One series as a strategy's input, with as many bars of warm-up as it wants.

    Any `HistoryProvider` fits: a `SeamlessDataProvider`, or a bare `QuestDBLoader`.
    """

    node_id: str
    """Whose bars."""

    interval: int
    """Bar length in seconds."""

    period: int
    """Bars of warm-up, the one that is open now among them."""

    history_provider: HistoryProvider
    """Gives the bars before the stream; bound to this input when it is made."""

    event_recorder: EventRecorder | None = None
    """Keeps what the stream produces; bound to this input too."""

    origin: int = 0
    """One of the open times that the bars may have."""

    clock: Clock = field(default_factory=SystemClock)
    """Where time comes from."""

    def __post_init__(self) -> None:
        check_series(self.node_id, self.interval)
        allowed = f"a whole number from 1 to {PERIOD_MAX}"
        if not 1 <= whole(self.period, "period", allowed) <= PERIOD_MAX:
            raise InvalidValueError("period", self.period, allowed)
        given: object = self.history_provider
        if not isinstance(given, HistoryProvider):
            wanted = "a HistoryProvider: fetch, coverage, ensure_range, fill_missing, bind_stream"
            raise InvalidValueError("history_provider", given, wanted)
        self.history_provider.bind_stream(self)
        if self.event_recorder is not None:
            self.event_recorder.bind_stream(self)

    def warmup_window(self, now: int | None = None) -> WarmupWindow:
        """Return the bars of the warm-up: `period` of them, up to the one that is open.

        Args:
            now: Epoch seconds; the clock's if not given.
        """
        at = self.clock.wall_us() // 1_000_000 if now is None else check_moment(now, "now")
        aligned = Grid(self.interval, self.origin).floor(at)
        first = aligned - self.interval * self.period + self.interval
        return WarmupWindow(first, aligned, self.interval)

    async def load(self, now: int | None = None) -> pd.DataFrame:
        """Have the warm-up's bars fetched as far as they have closed, and return them.

        Args:
            now: Epoch seconds; the clock's if not given.

        Raises:
            SeamlessError: As the history provider's `ensure_range` and `fetch` do.
        """
        window = self.warmup_window(now)
        about = (self.node_id, self.interval)
        await self.history_provider.ensure_range(
            window.start, window.end, node_id=about[0], interval=about[1]
        )
        return await self.history_provider.fetch(
            window.start, window.end + self.interval, node_id=about[0], interval=about[1]
        )
