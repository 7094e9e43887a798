"""The ledger: which windows are covered by verified records. It only grows."""

from collections.abc import Iterable, Sequence

import numpy as np
import pandas as pd

from bars.series import Series
from bars.window import Window, intersect, merge
from store._ingest import Ingest
from store._query import Query
from store._time import Until
from store._visible import wait_visible
from store.columns import PgColumns
from store.errors import UnstorableRowError
from store.layout import Layout
from store.rows import LedgerEntry, LedgerState
from store.sql import MICROSECONDS, one_of, select

_ALL = 'start, "end", lane, known, token, bars, hash, "partition", "offset"'


class Ledger:
    """Coverage, proved: one row per covered window of a verified record. Thread-safe.

    Every method raises `StoreUnavailableError` where the server is away or too slow.
    """

    def __init__(self, query: Query, layout: Layout) -> None:
        self._query = query
        self._table = layout.ledger_name
        self._ingest = Ingest(query.dsn)

    def add(self, entries: Sequence[LedgerEntry], timeout_s: float = 60.0) -> None:
        """Append entries and return once they are visible; repeating it changes nothing.

        Raises:
            UnstorableRowError: A window begins before 1970 or `known` is no time.
            SuspendedTableError: The ledger does not apply what it acknowledges.
        """
        if not entries:
            return
        for entry in entries:
            _check(entry)
        until = Until.after(timeout_s)
        self._ingest.send(self._table, _frame(entries), "start", timeout_s)
        wait_visible(self._query, (self._table,), until)

    def entries(
        self,
        series: Series,
        window: Window | None = None,
        lane: str | None = None,
        timeout_s: float = 30.0,
    ) -> tuple[LedgerEntry, ...]:
        """Return the entries that overlap `window`, ascending by (start, end, lane, known)."""
        lanes = None if lane is None else (lane,)
        found = self._select(_ALL, _about(series, window, lanes), timeout_s)
        numbers = (
            found.times("start") // MICROSECONDS,
            found.times("end") // MICROSECONDS,
            found.times("known"),
            *(found.longs(name) for name in ("token", "bars", "partition", "offset")),
        )
        texts = (found.symbols("lane").texts(), found.symbols("hash").texts())
        made = [
            LedgerEntry(
                series=series,
                lane=str(a_lane),
                window=Window(start, end),
                known=known,
                token=token,
                bars=bars,
                content_hash=str(content_hash),
                partition=partition,
                offset=offset,
            )
            for (start, end, known, token, bars, partition, offset), a_lane, content_hash in zip(
                zip(*(column.tolist() for column in numbers), strict=True), *texts, strict=True
            )
        ]
        return tuple(sorted(made, key=lambda e: (e.window, e.lane, e.known)))

    def windows(
        self,
        series: Series,
        lanes: Iterable[str] | None = None,
        window: Window | None = None,
        timeout_s: float = 30.0,
    ) -> tuple[Window, ...]:
        """Return what is covered, merged, and clipped to `window` when one is given.

        Args:
            series: Which bars.
            lanes: Only what these lanes cover; None: whichever.
            window: Only inside it; None: everywhere.
            timeout_s: Budget of the query.
        """
        wanted = None if lanes is None else tuple(lanes)
        if wanted == ():
            return ()
        found = self._select('start, "end"', _about(series, window, wanted), timeout_s)
        start, end = (found.times(name) // MICROSECONDS for name in ("start", "end"))
        held = merge(map(Window, start.tolist(), end.tolist()))
        return held if window is None else intersect((window,), held)

    def highest_token(self, timeout_s: float = 30.0) -> int:
        """Return the highest fencing token of all entries, 0 if there is none."""
        return self._highest("token", "true", timeout_s, none=0)

    def highest_token_of(
        self, series: Series, lane: str, window: Window, timeout_s: float = 30.0
    ) -> int:
        """Return the highest token of the lane's entries that overlap `window`, 0 if none."""
        return self._highest("token", _about(series, window, (lane,)), timeout_s, none=0)

    def highest_offset(self, partition: int, timeout_s: float = 30.0) -> int:
        """Return the highest history offset of a Kafka partition in the ledger, -1 if none.

        A store whose highest offset is below one that it has already proved to hold went back
        in time.
        """
        return self.highest_offsets((partition,), timeout_s)[partition]

    def highest_offsets(self, partitions: Iterable[int], timeout_s: float = 30.0) -> dict[int, int]:
        """Return the same of several partitions, with one look at the ledger."""
        highest = dict.fromkeys(partitions, -1)
        if not highest:
            return highest
        numbers = ", ".join(f"{partition:d}" for partition in highest)
        found = self._select(
            '"partition", max("offset") highest', f'"partition" IN ({numbers})', timeout_s
        )
        of, offsets = found.longs("partition").tolist(), found.longs("highest").tolist()
        return highest | dict(zip(of, offsets, strict=True))

    def state(self, series: Series, window: Window, timeout_s: float = 30.0) -> LedgerState:
        """Return a fingerprint of the entries that overlap `window`.

        Read it before the bars: then what is cached with it can only be newer than it says.
        """
        columns = "count() rows, max(known) known"
        found = self._select(columns, _about(series, window, None), timeout_s)
        rows, known = int(found.longs("rows")[0]), int(found.times("known")[0])
        return LedgerState(rows, known if rows else 0)

    def close(self) -> None:
        """Close the connection for writing."""
        self._ingest.close()

    def _highest(self, column: str, condition: str, timeout_s: float, *, none: int) -> int:
        found = self._select(f'max("{column}") highest', condition, timeout_s)
        return max(none, int(found.longs("highest")[0]))

    def _select(self, columns: str, condition: str, timeout_s: float) -> PgColumns:
        until = Until.after(timeout_s)
        with self._query.pg.link(until) as link:
            link.catch_up(self._table, until)
            return PgColumns(link.query(select(columns, self._table, condition), until))


def _about(series: Series, window: Window | None, lanes: Sequence[str] | None) -> str:
    conditions = [one_of("node", (series.node,)), f"interval = {series.interval:d}"]
    if window is not None:
        conditions.append(f"start < {window.end * MICROSECONDS:d}")
        conditions.append(f'"end" > {window.start * MICROSECONDS:d}')
    if lanes is not None:
        conditions.append(one_of("lane", lanes))
    return " AND ".join(conditions)


def _check(entry: LedgerEntry) -> None:
    if entry.window.start < 0:
        raise UnstorableRowError("window start", entry.window.start, "not before 1970-01-01")
    if entry.known <= 0:
        raise UnstorableRowError("known", entry.known, "epoch microseconds after 1970-01-01")


def _frame(entries: Sequence[LedgerEntry]) -> pd.DataFrame:
    ordered = sorted(entries, key=lambda entry: entry.window)

    def seconds(times: list[int]) -> np.ndarray[tuple[int], np.dtype[np.datetime64]]:
        return (np.array(times, np.int64) * MICROSECONDS).view("M8[us]")

    return pd.DataFrame(
        {
            "start": seconds([e.window.start for e in ordered]),
            "node": pd.Categorical([e.series.node for e in ordered]),
            "interval": np.array([e.series.interval for e in ordered], np.int64),
            "lane": pd.Categorical([e.lane for e in ordered]),
            "end": seconds([e.window.end for e in ordered]),
            "known": np.array([e.known for e in ordered], np.int64).view("M8[us]"),
            "token": np.array([e.token for e in ordered], np.int64),
            "bars": np.array([e.bars for e in ordered], np.int64),
            "hash": np.array([e.content_hash for e in ordered], object),
            "partition": np.array([e.partition for e in ordered], np.int64),
            "offset": np.array([e.offset for e in ordered], np.int64),
        }
    )
