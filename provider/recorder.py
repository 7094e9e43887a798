"""`QuestDBRecorder`: keeps what streams produced, one payload a bar."""

import asyncio
import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from bars.errors import InvalidValueError
from bars.series import Series
from provider._ask import check_moment, check_series, check_window
from provider.binding import Bound
from runtime import Clock, StoreSettings, SystemClock
from store import Event, Store


class QuestDBRecorder(Bound):
    """An `EventRecorder` in QuestDB. A payload is anything that JSON can say.

    A payload for a bar that has one already is kept beside it; the newest counts.
    """

    def __init__(self, dsn: str, *, table_prefix: str = "", clock: Clock | None = None) -> None:
        """Make a recorder. Nothing is opened before the first call.

        Args:
            dsn: Such as `questdb://127.0.0.1:9000?pg_port=8812`.
            table_prefix: What every table's name begins with.
            clock: Where time comes from.

        Raises:
            InvalidValueError: The dsn or the prefix is not one.
        """
        self._store = Store(StoreSettings(dsn=dsn, table_prefix=table_prefix))
        self._clock = clock or SystemClock()
        self._last_us = 0

    async def persist(self, node_id: str, interval: int, timestamp: int, payload: object) -> None:
        """Store one payload of the bar that opened at `timestamp`; return when it is visible.

        Raises:
            InvalidValueError: An argument is not what it may be; nothing was written.
            StoreError: It is not known to be stored.
        """
        series = check_series(node_id, interval)
        ts = check_moment(timestamp, "timestamp")
        text = to_json(payload)
        self._last_us = max(self._clock.wall_us(), self._last_us + 1)  # clocks step back
        event = Event(series, ts, self._last_us, text)
        await asyncio.to_thread(self._store.events.add, [event])

    async def recorded(
        self, start: int, end: int, *, node_id: str, interval: int
    ) -> dict[int, Any]:
        """Return the newest payload of each bar that opened in `[start, end)`, by open time."""
        series: Series = check_series(node_id, interval)
        window = check_window(start, end)
        events = await asyncio.to_thread(self._store.events.newest, series, window)
        return {event.ts: json.loads(event.payload) for event in events}

    async def close(self) -> None:
        """Let go of every connection; harmless when repeated."""
        await asyncio.to_thread(self._store.close)


def to_json(payload: object) -> str:
    """Return a payload as text.

    Numbers of numpy are numbers, a pandas row is a mapping, a frame a list of rows.

    Raises:
        InvalidValueError: JSON cannot say it; NaN and infinities among it.
    """
    try:
        return json.dumps(payload, default=_plain, allow_nan=False, ensure_ascii=False)
    except (TypeError, ValueError) as e:
        allowed = f"what JSON can say ({e})"
        raise InvalidValueError("payload", type(payload).__name__, allowed) from None


def _plain(value: object) -> object:
    if isinstance(value, pd.DataFrame):
        return value.to_dict("records")
    if isinstance(value, pd.Series):
        return value.to_dict()
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"{type(value).__name__} has no place in it")
