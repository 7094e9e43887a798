"""The tables: names, columns, keys, partitions, and how an existing one is compared with them.

Pure text and arithmetic; `tables` talks to the server.
"""

import math
import re
from collections.abc import Iterable
from dataclasses import dataclass

from bars.errors import InvalidValueError
from bars.series import interval_label

_UNITS = {"HOUR": 3_600, "DAY": 86_400, "WEEK": 604_800, "MONTH": 2_629_746, "YEAR": 31_556_952}
_PARTITION_ROWS = (1_000_000, 10_000_000)
"""Fewer and the server opens files for nothing; more and a small change far back costs seconds,
because it rewrites the partition."""

_PREFIX = re.compile(r"[a-zA-Z0-9_]{0,60}")


@dataclass(frozen=True, slots=True)
class Column:
    """One column as the server describes it."""

    name: str
    type: str
    indexed: bool = False
    capacity: int = 0
    """Distinct values a SYMBOL is laid out for; it grows by itself, at a cost."""

    @property
    def ddl(self) -> str:
        """The column in CREATE TABLE."""
        capacity = f" CAPACITY {self.capacity}" if self.capacity else ""
        index = " INDEX" if self.indexed else ""
        return f'"{self.name}" {self.type}{capacity}{index}'


@dataclass(frozen=True, slots=True)
class Table:
    """One table; the first column is its designated timestamp."""

    name: str
    columns: tuple[Column, ...]
    keys: frozenset[str]
    """Rows that agree in these are one row; empty: all rows are kept."""

    partition: str

    @property
    def ddl(self) -> str:
        """The statement that makes it unless it is there."""
        columns = ", ".join(column.ddl for column in self.columns)
        keys = ", ".join(f'"{column.name}"' for column in self.columns if column.name in self.keys)
        dedup = f" DEDUP UPSERT KEYS({keys})" if keys else ""
        return (
            f'CREATE TABLE IF NOT EXISTS "{self.name}" ({columns}) '
            f'TIMESTAMP("{self.columns[0].name}") PARTITION BY {self.partition} WAL{dedup}'
        )


@dataclass(frozen=True, slots=True)
class Found:
    """A table as the server describes it."""

    columns: tuple[Column, ...]
    keys: frozenset[str]
    designated: str
    wal: bool


@dataclass(frozen=True, slots=True)
class Layout:
    """The tables of one store."""

    prefix: str = ""
    series_expected: int = 100

    def __post_init__(self) -> None:
        if _PREFIX.fullmatch(self.prefix) is None:
            raise InvalidValueError("table_prefix", self.prefix, "at most 60 of a-z A-Z 0-9 _")

    def bars_name(self, interval: int) -> str:
        """Return the name of the table of all bars of one length."""
        return f"{self.prefix}bars_{interval_label(interval)}"

    @property
    def ledger_name(self) -> str:
        """The name of the ledger's table."""
        return f"{self.prefix}bar_chunks"

    @property
    def meta_name(self) -> str:
        """The name of the table that says who owns the store."""
        return f"{self.prefix}seamless_meta"

    def bars(self, interval: int) -> Table:
        """Return the table of all versions of all bars of one length."""
        return Table(
            self.bars_name(interval),
            (
                Column("ts", "TIMESTAMP"),
                Column("node", "SYMBOL", True, symbol_capacity(self.series_expected)),
                *(Column(n, "DOUBLE") for n in ("open", "high", "low", "close", "volume")),
                Column("lane", "SYMBOL"),
                Column("known", "TIMESTAMP"),
            ),
            frozenset(("ts", "node", "lane", "known")),
            partition_unit(interval, self.series_expected),
        )

    @property
    def ledger(self) -> Table:
        """The table of covered windows."""
        return Table(
            self.ledger_name,
            (
                Column("start", "TIMESTAMP"),
                Column("node", "SYMBOL", True, symbol_capacity(self.series_expected)),
                Column("interval", "LONG"),
                Column("lane", "SYMBOL"),
                Column("end", "TIMESTAMP"),
                Column("known", "TIMESTAMP"),
                Column("token", "LONG"),
                Column("bars", "LONG"),
                Column("hash", "VARCHAR"),
                Column("partition", "LONG"),
                Column("offset", "LONG"),
            ),
            frozenset(("start", "node", "interval", "lane", "end", "known")),
            # A row stands for hundreds of bars: a year of them is one partition's worth.
            "YEAR",
        )

    @property
    def meta(self) -> Table:
        """The table of claims.

        Every row has the same designated timestamp and no key, so the server keeps the rows in
        the order in which it sequenced them: the first one is first for everybody.
        """
        return Table(
            self.meta_name,
            (
                Column("slot", "TIMESTAMP"),
                Column("owner", "VARCHAR"),
                Column("prefix", "VARCHAR"),
                Column("created", "TIMESTAMP"),
            ),
            frozenset(),
            "YEAR",
        )

    @property
    def events(self) -> Table:
        """The table of what streams produced; made when the first payload is stored."""
        return Table(
            f"{self.prefix}stream_events",
            (
                Column("ts", "TIMESTAMP"),
                Column("node", "SYMBOL", True, symbol_capacity(self.series_expected)),
                Column("interval", "LONG"),
                Column("recorded", "TIMESTAMP"),
                Column("payload", "VARCHAR"),
            ),
            frozenset(("ts", "node", "interval", "recorded")),
            "MONTH",
        )

    def tables(self, intervals: Iterable[int]) -> tuple[Table, ...]:
        """Return every table that a store with bars of these lengths has."""
        return (self.meta, self.ledger, *(self.bars(i) for i in sorted(set(intervals))))


def partition_unit(interval: int, series: int) -> str:
    """Return the unit of time whose rows are nearest to 1 to 10 million.

    Args:
        interval: Bar length in seconds.
        series: How many series of that length there will be.

    Returns:
        HOUR, DAY, WEEK, MONTH or YEAR; the longer one where two are equally near.
    """
    low, high = (math.log(rows) for rows in _PARTITION_ROWS)

    def distance(unit: str) -> float:
        rows = math.log(max(1, series) * _UNITS[unit] / interval)
        return max(low - rows, rows - high, 0.0)

    return min(reversed(_UNITS), key=distance)


def symbol_capacity(series: int) -> int:
    """Return the power of two from 256 on that leaves room for twice the series."""
    return max(256, 1 << (max(1, series) * 2 - 1).bit_length())


def differences(table: Table, found: Found) -> tuple[str, ...]:
    """Return in words what is not as it should be; capacities and partitions may differ."""
    told: list[str] = []
    there = {column.name: column for column in found.columns}
    for column in table.columns:
        other = there.pop(column.name, None)
        if other is None:
            told.append(f"column {column.name} {column.type} is absent")
        elif other.type != column.type:
            told.append(f"column {column.name} must be {column.type}, was {other.type}")
        elif column.indexed and not other.indexed:
            told.append(f"column {column.name} must be indexed")
    told += [f"column {name} is not ours" for name in there]
    designated = table.columns[0].name
    if found.designated != designated:
        told.append(f"designated timestamp must be {designated}, was {found.designated or 'none'}")
    if found.keys != table.keys:
        told.append(f"dedup keys must be {_names(table.keys)}, were {_names(found.keys)}")
    if not found.wal:
        told.append("must be a WAL table")
    return tuple(told)


def _names(keys: frozenset[str]) -> str:
    return ", ".join(sorted(keys)) or "none"
