"""What streams produced: one text a bar and recorder, kept beside the bars. It only grows."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from bars.series import Series
from bars.window import Window
from store._ingest import Ingest
from store._query import Query
from store._time import Until
from store._visible import wait_visible
from store.columns import PgColumns
from store.errors import MissingTableError, UnstorableRowError
from store.layout import Layout
from store.sql import MICROSECONDS, between, one_of, select
from store.tables import ensure

TEXT_BYTES_MAX = 1 << 20
"""Of one payload."""


@dataclass(frozen=True, slots=True)
class Event:
    """One payload of one bar."""

    series: Series
    ts: int
    """Open time of the bar."""

    recorded_us: int
    """When it was recorded, epoch microseconds; of several the newest counts."""

    payload: str


class EventLog:
    """Payloads by bar. Thread-safe; every method may raise `StoreUnavailableError`."""

    def __init__(self, query: Query, layout: Layout) -> None:
        self._query = query
        self._table = layout.events
        self._ingest = Ingest(query.dsn)
        self._made = False

    def add(self, events: Sequence[Event], timeout_s: float = 60.0) -> None:
        """Append payloads and return once they are visible; repeating it changes nothing.

        Raises:
            UnstorableRowError: A time lies before 1970, or a payload is too long.
        """
        if not events:
            return
        for event in events:
            _check(event)
        until = Until.after(timeout_s)
        if not self._made:
            ensure(self._query, (self._table,), until)
            self._made = True
        self._ingest.send(self._table.name, _frame(events), "ts", timeout_s)
        wait_visible(self._query, (self._table.name,), until)

    def newest(self, series: Series, window: Window, timeout_s: float = 30.0) -> tuple[Event, ...]:
        """Return the newest payload of each bar in the window, ascending."""
        condition = (
            f"{one_of('node', (series.node,))} AND interval = {series.interval:d} "
            f"AND {between(window)}"
        )
        sql = select("ts, recorded, payload", self._table.name, condition)
        until = Until.after(timeout_s)
        try:
            with self._query.pg.link(until) as link:
                link.catch_up(self._table.name, until)
                found = PgColumns(link.query(sql, until))
        except MissingTableError:
            return ()
        newest: dict[int, Event] = {}
        rows = zip(
            (found.times("ts") // MICROSECONDS).tolist(),
            found.times("recorded").tolist(),
            found.symbols("payload").texts(),
            strict=True,
        )
        for ts, recorded, payload in rows:
            held = newest.get(ts)
            if held is None or recorded > held.recorded_us:
                newest[ts] = Event(series, ts, recorded, str(payload))
        return tuple(newest[ts] for ts in sorted(newest))

    def close(self) -> None:
        """Close the connection for writing; harmless when repeated."""
        self._ingest.close()


def _check(event: Event) -> None:
    if event.ts < 0 or event.recorded_us <= 0:
        raise UnstorableRowError("timestamp", event.ts, "not before 1970-01-01")
    size = len(event.payload.encode())
    if size > TEXT_BYTES_MAX:
        raise UnstorableRowError("payload", f"{size} bytes", f"at most {TEXT_BYTES_MAX} bytes")


def _frame(events: Sequence[Event]) -> pd.DataFrame:
    ordered = sorted(events, key=lambda event: event.ts)

    def micros(values: list[int]) -> "np.ndarray[tuple[int], np.dtype[np.datetime64]]":
        return np.array(values, np.int64).view("M8[us]")

    return pd.DataFrame(
        {
            "ts": micros([e.ts * MICROSECONDS for e in ordered]),
            "node": pd.Categorical([e.series.node for e in ordered]),
            "interval": np.array([e.series.interval for e in ordered], np.int64),
            "recorded": micros([e.recorded_us for e in ordered]),
            "payload": np.array([e.payload for e in ordered], object),
        }
    )
