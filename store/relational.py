"""Bars in a relational database: the facts of the QuestDB store without its server.

A record's bars are one cell of bytes, its ledger row stands beside it, and both are written in
one transaction, so what the ledger covers is there. Facts only grow: a record that is there
already changes nothing. `store.sqlite` and `store.postgres` say how to connect.
"""

from abc import ABC, abstractmethod
from collections.abc import Generator, Iterable, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, ClassVar

from bars.frame import BarFrame
from bars.series import Series
from bars.versions import Versions, merge, newest, winners
from bars.window import Window
from store._blob import decode, encode
from store._connections import Connection, Connections
from store.errors import StoreError, TableMismatchError, UnstorableRowError
from store.rows import LedgerEntry

FORMAT = "1"
"""Of the tables; another one is refused, not guessed at."""

_RECORD = (
    "node TEXT NOT NULL, bar_s BIGINT NOT NULL, lane TEXT NOT NULL, "
    "start_s BIGINT NOT NULL, end_s BIGINT NOT NULL, known BIGINT NOT NULL"
)
_KEY = "PRIMARY KEY (node, bar_s, start_s, end_s, lane, known)"
_TABLES = {
    "meta": "name TEXT PRIMARY KEY, value TEXT NOT NULL",
    "ledger": f"{_RECORD}, token BIGINT NOT NULL, bars BIGINT NOT NULL, hash TEXT NOT NULL, {_KEY}",
    "bars": f"{_RECORD}, first_s BIGINT NOT NULL, last_s BIGINT NOT NULL, "
    f"data {{blob}} NOT NULL, {_KEY}",
}
_KEYS = "node, bar_s, lane, start_s, end_s, known"


@dataclass(frozen=True, slots=True, eq=False)
class Record:
    """What one record brings: versions of one lane and the window that they cover."""

    entry: LedgerEntry
    bars: BarFrame
    """Withdrawn bars (rows of NaN) included."""


class RelationalStore(ABC):
    """One database and one table prefix. Thread-safe; blocking."""

    blob: ClassVar[str]
    """The type of a cell of bytes."""

    mark: ClassVar[str]
    """What stands for a value in a statement."""

    def __init__(self, prefix: str = "") -> None:
        self._prefix = prefix
        self._connections = Connections(self._connect)

    @property
    @abstractmethod
    def address(self) -> str:
        """Where the database is, for people; without a password."""

    @abstractmethod
    def _connect(self) -> Connection:
        """Return a new connection, tables made; every statement is its own transaction."""

    @abstractmethod
    def _begin(self) -> str:
        """Return the statement that begins a transaction which writes."""

    @abstractmethod
    def _told(self, error: Exception) -> Exception:
        """Return what an error of the driver is called here."""

    @property
    @abstractmethod
    def _errors(self) -> tuple[type[Exception], ...]:
        """Return the driver's errors."""

    def add(self, records: Sequence[Record]) -> None:
        """Append records and enter them into the ledger; repeating it changes nothing.

        Raises:
            UnstorableRowError: A window begins before 1970 or `known` is no time; nothing was
                written.
            StoreUnavailableError: The outcome is unknown.
            StoreError: Another record has this window, lane and `known`; nothing was written.
        """
        for record in records:
            _check(record.entry)
        with self._use() as connection:
            connection.execute(self._begin())
            try:
                for record in records:
                    self._insert(connection, record)
                connection.execute("COMMIT")
            except BaseException:
                connection.execute("ROLLBACK")
                raise

    def entries(self, series: Series, window: Window | None = None) -> tuple[LedgerEntry, ...]:
        """Return the ledger's entries that overlap `window`, by (start, end, lane, known)."""
        condition, values = self._about(series, window, "end_s > {m} AND start_s < {m}")
        rows = self._rows(
            "SELECT start_s, end_s, lane, known, token, bars, hash "  # noqa: S608
            f"FROM {self._prefix}ledger WHERE {condition} ORDER BY start_s, end_s, lane, known",
            values,
        )
        return tuple(
            LedgerEntry(
                series=series,
                lane=lane,
                window=Window(start, end),
                known=known,
                token=token,
                bars=bars,
                content_hash=digest,
            )
            for start, end, lane, known, token, bars, digest in rows
        )

    def bars(self, series: Series, window: Window, ranks: Mapping[str, int]) -> BarFrame:
        """Return the winners, ascending and unique by ts, all with prices."""
        found = self._found(series, window)
        plain = BarFrame.concat(bars for _, _, bars in found)
        if bool((plain.ts[1:] > plain.ts[:-1]).all()):  # one version each: no order to decide
            priced = plain.has_prices
            return plain if priced.all() else plain.take(priced)
        return winners(_merged(found), ranks).bars

    def newest(self, series: Series, window: Window) -> Versions:
        """Return the newest version of each (ts, lane), withdrawn ones included."""
        return newest(self.versions(series, window))

    def versions(self, series: Series, window: Window) -> Versions:
        """Return every version that there is, ascending by (ts, lane, known)."""
        return _merged(self._found(series, window))

    def highest_known(self, series: Series) -> int:
        """Return the newest `known` in the series' ledger, epoch microseconds; 0 without one."""
        condition, values = self._about(series, None, "")
        sql = f"SELECT MAX(known) FROM {self._prefix}ledger WHERE {condition}"  # noqa: S608
        return int(self._rows(sql, values)[0][0] or 0)

    def prepare(self) -> None:
        """See that the database can be reached and its tables are ours."""
        with self._use():
            return

    def close(self) -> None:
        """Let go of every connection; harmless when repeated."""
        self._connections.close()

    def _make_tables(self, connection: Connection) -> None:
        """Make what is not there.

        Raises:
            TableMismatchError: The tables are of another format.
        """
        for name, columns in _TABLES.items():
            made = columns.format(blob=self.blob)
            connection.execute(f"CREATE TABLE IF NOT EXISTS {self._prefix}{name} ({made})")
        meta = f"{self._prefix}meta"
        insert = f"INSERT INTO {meta} VALUES ('format', {self.mark}) ON CONFLICT DO NOTHING"  # noqa: S608
        connection.execute(insert, (FORMAT,))
        select = f"SELECT value FROM {meta} WHERE name = 'format'"  # noqa: S608
        found = str(connection.execute(select).fetchone()[0])
        if found != FORMAT:
            raise TableMismatchError(meta, [f"format is {found!r}, must be {FORMAT!r}"])

    def _insert(self, connection: Connection, record: Record) -> None:
        entry, bars = record.entry, record.bars
        keys = (
            entry.series.node,
            entry.series.interval,
            entry.lane,
            entry.window.start,
            entry.window.end,
            entry.known,
        )
        marks = ", ".join([self.mark] * 9)
        into = f"INSERT INTO {self._prefix}"
        facts = (entry.token, entry.bars, entry.content_hash)
        connection.execute(f"{into}ledger VALUES ({marks}) ON CONFLICT DO NOTHING", (*keys, *facts))
        same = " AND ".join(f"{key} = {self.mark}" for key in _KEYS.split(", "))
        select = f"SELECT hash FROM {self._prefix}ledger WHERE {same}"  # noqa: S608
        (stored,) = connection.execute(select, keys).fetchone()
        if stored != entry.content_hash:
            raise StoreError(
                f"{entry.series} {entry.window} of lane {entry.lane} known {entry.known} is there "
                f"with other bars: hash {stored}, not {entry.content_hash}"
            )
        if len(bars):
            span = (int(bars.ts.min()), int(bars.ts.max()))
            values = (*keys, *span, encode(bars))
            connection.execute(f"{into}bars VALUES ({marks}) ON CONFLICT DO NOTHING", values)

    def _found(self, series: Series, window: Window) -> list[tuple[str, int, BarFrame]]:
        """Return lane, known and bars of each record with bars in the window, by first bar."""
        condition, values = self._about(series, window, "last_s >= {m} AND first_s < {m}")
        sql = (
            f"SELECT lane, known, data FROM {self._prefix}bars "  # noqa: S608
            f"WHERE {condition} ORDER BY first_s, last_s"
        )
        with self._use() as connection:
            # Row by row: the bytes of one record are let go of before the next is read.
            return [
                (lane, known, decode(data).inside(window))
                for lane, known, data in connection.execute(sql, values)
            ]

    def _about(
        self, series: Series, window: Window | None, inside: str
    ) -> tuple[str, tuple[object, ...]]:
        condition = f"node = {self.mark} AND bar_s = {self.mark}"
        values: tuple[object, ...] = (series.node, series.interval)
        if window is None:
            return condition, values
        return f"{condition} AND {inside.format(m=self.mark)}", (*values, window.start, window.end)

    def _rows(self, sql: str, values: Iterable[object]) -> list[tuple[Any, ...]]:
        with self._use() as connection:
            rows: list[tuple[Any, ...]] = connection.execute(sql, tuple(values)).fetchall()
            return rows

    @contextmanager
    def _use(self) -> Generator[Connection]:
        try:
            with self._connections.lend() as connection:
                yield connection
        except self._errors as e:
            raise self._told(e) from e


def _merged(found: Iterable[tuple[str, int, BarFrame]]) -> Versions:
    return merge(Versions.of_lane(bars, lane, known) for lane, known, bars in found)


def _check(entry: LedgerEntry) -> None:
    if entry.window.start < 0:
        raise UnstorableRowError("window start", entry.window.start, "not before 1970-01-01")
    if entry.known <= 0:
        raise UnstorableRowError("known", entry.known, "epoch microseconds after 1970-01-01")
