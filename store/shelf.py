"""A cache of bars in one SQLite file: what was read of a distant store, kept on this machine."""

import sqlite3
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bars.errors import InvalidValueError
from bars.frame import BarFrame
from bars.series import Series
from bars.window import Window
from store._blob import decode, encode
from store._connections import Connection, Connections
from store.errors import StoreUnavailableError
from store.sqlite import open_file, told

_TABLE = (
    "CREATE TABLE IF NOT EXISTS shelf_v1 (id INTEGER PRIMARY KEY, node TEXT NOT NULL, "
    "bar_s INTEGER NOT NULL, tag TEXT NOT NULL, start_s INTEGER NOT NULL, end_s INTEGER NOT NULL, "
    "used_us INTEGER NOT NULL, bytes INTEGER NOT NULL, note TEXT NOT NULL, data BLOB NOT NULL)"
)
_INDEX = "CREATE INDEX IF NOT EXISTS shelf_v1_key ON shelf_v1 (node, bar_s, tag, start_s)"
_USED_STEP_US = 60_000_000
"""Use is noted once a minute: a reader shall not write at every read."""


@dataclass(frozen=True, slots=True, eq=False)
class Shelved:
    """Bars of one window, and what their owner wants to know of them."""

    series: Series
    tag: str
    """Bars of different tags do not meet."""

    window: Window
    bars: BarFrame
    note: str
    """The owner's own."""

    place: int = 0
    """Names it in the file; 0 for one that is not in it."""


class Shelf:
    """Bars by window, bounded in bytes; several processes may share the file. Blocking."""

    def __init__(self, path: str | Path, max_bytes: int) -> None:
        if str(path) in {"", ":memory:", "."}:
            raise InvalidValueError("path", str(path), "the path of a file")
        if max_bytes < 0:
            raise InvalidValueError("max_bytes", max_bytes, "0 or more")
        self._path = Path(path).expanduser()
        self._max_bytes = max_bytes
        self._connections = Connections(self._connect)

    def find(
        self, series: Series, tag: str | None, window: Window | None, now_us: int
    ) -> Sequence[Shelved]:
        """Return what overlaps the window, ascending; None: of every tag, or everywhere."""
        condition, values = "node = ? AND bar_s = ?", [series.node, series.interval]
        if tag is not None:
            condition += " AND tag = ?"
            values.append(tag)
        if window is not None:
            condition += " AND end_s > ? AND start_s < ?"
            values += [window.start, window.end]
        sql = (
            "SELECT id, tag, start_s, end_s, note, data, used_us FROM shelf_v1 "  # noqa: S608
            f"WHERE {condition} ORDER BY start_s, end_s"
        )
        with self._use() as connection:
            rows = connection.execute(sql, values).fetchall()
            stale = [(now_us, row[0]) for row in rows if row[6] + _USED_STEP_US < now_us]
            if stale:
                connection.executemany("UPDATE shelf_v1 SET used_us = ? WHERE id = ?", stale)
        return [
            Shelved(series, its_tag, Window(start, end), decode(data), note, place)
            for place, its_tag, start, end, note, data, _ in rows
        ]

    def put(self, one: Shelved, replaced: Sequence[int], now_us: int) -> None:
        """Put bars in, take others out, and make room: what was used longest ago goes first."""
        data = encode(one.bars)
        size = len(data) + len(one.note) + 200
        if size > self._max_bytes:
            return
        keys = (one.series.node, one.series.interval, one.tag, one.window.start, one.window.end)
        with self._use() as connection:
            connection.execute("BEGIN IMMEDIATE")
            try:
                self._take(connection, replaced)
                connection.execute(
                    "INSERT INTO shelf_v1 VALUES (NULL, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                    (*keys, now_us, size, one.note, data),
                )
                self._make_room(connection)
                connection.execute("COMMIT")
            except BaseException:
                connection.execute("ROLLBACK")
                raise

    def take(self, places: Sequence[int]) -> None:
        """Take bars out."""
        with self._use() as connection:
            self._take(connection, places)

    def size_bytes(self) -> int:
        """Return about how much room its bars take."""
        with self._use() as connection:
            return int(connection.execute("SELECT SUM(bytes) FROM shelf_v1").fetchone()[0] or 0)

    def close(self) -> None:
        """Let go of every connection; harmless when repeated."""
        self._connections.close()

    def _make_room(self, connection: Connection) -> None:
        (total,) = connection.execute("SELECT SUM(bytes) FROM shelf_v1").fetchone()
        oldest = connection.execute("SELECT id, bytes FROM shelf_v1 ORDER BY used_us, id")
        gone = []
        for place, size in oldest:
            if total <= self._max_bytes:
                break
            gone.append(place)
            total -= size
        oldest.close()
        self._take(connection, gone)

    def _take(self, connection: Connection, places: Sequence[int]) -> None:
        connection.executemany("DELETE FROM shelf_v1 WHERE id = ?", [(p,) for p in places])

    def _connect(self) -> sqlite3.Connection:
        connection = open_file(self._path)
        connection.execute(_TABLE)
        connection.execute(_INDEX)
        return connection

    @contextmanager
    def _use(self) -> Generator[Connection]:
        try:
            with self._connections.lend() as connection:
                yield connection
        except sqlite3.Error as e:
            raise told(e, self._path) from e
        except OSError as e:
            raise StoreUnavailableError(str(self._path), str(e)) from e
