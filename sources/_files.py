"""Bars from CSV and Parquet files: which file a node's bars are in, and reading it.

A file is read in a thread and kept, within a limit, until it changes on disk. Where bad cells
are is remembered, so a bad price spoils only the windows that ask for its row; a bad time spoils
the file, as nobody knows which window it belongs to.
"""

import asyncio
import difflib
import threading
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet

from bars.frame import COLUMNS, PRICE_COLUMNS
from bars.series import Series, interval_label
from bars.window import Window
from runtime.errors import ConfigError, Problem
from runtime.settings import NodeSettings, SourceSettings
from sources._table import FileBars, parse_table
from sources._times import CellError
from sources.errors import BadCellError, Cell, SourceError, SourceUnavailableError

CACHE_BYTES = 64 * 2**20
"""What a source keeps; files beyond this are dropped, the one not asked for longest first."""

_READS_MAX = 3
"""Times that a file is read when it changes meanwhile."""

_NAMES_TOLD = 10
_SYMBOL, _INTERVAL = "{symbol}", "{interval}"


@dataclass(frozen=True, slots=True)
class Place:
    """Where a node's bars are."""

    path: Path
    symbol: str | None
    """Which rows of the file; None for all."""


def place_of(source: SourceSettings, node: NodeSettings) -> Place:
    """Return where the bars of a node are.

    Raises:
        SourceError: The symbol can be no part of a file's name.
    """
    path = source.path
    if path is None:
        raise SourceError(source.name, "has no path")
    symbol = node.symbol if source.symbol_column else None
    pattern = str(path)
    if _SYMBOL not in pattern and path.is_dir():
        pattern = str(path / f"{_SYMBOL}.{source.kind}")
    if _SYMBOL in pattern and set("/\\\0") & set(node.symbol):
        raise SourceError(
            source.name,
            f"symbol must be the name of a file, was {node.symbol!r}: use another "
            "symbol, or one file with a symbol_column",
        )
    label = interval_label(node.series.interval)
    return Place(Path(pattern.replace(_SYMBOL, node.symbol).replace(_INTERVAL, label)), symbol)


def check_places(source: SourceSettings, nodes: Iterable[NodeSettings]) -> None:
    """Go on if each node has bars of its own.

    Raises:
        ConfigError: A symbol that cannot be a file's name, or two nodes with the same rows.
    """
    problems = []
    taken: dict[Place, NodeSettings] = {}
    for node in nodes:
        key = f"nodes.{node.series.node}.symbol"
        try:
            place = place_of(source, node)
        except SourceError:
            allowed = f"the name of a file, as source {source.name} has no symbol_column"
            problems.append(Problem(key, node.symbol, allowed))
            continue
        other = taken.setdefault(place, node)
        if other is not node:
            allowed = f"another than {other.series.node} has: both would get {place.path.name}"
            problems.append(Problem(key, node.symbol, allowed))
    if problems:
        raise ConfigError(problems)


class FileFetcher:
    """Answers from files; a `DataFetcher`."""

    def __init__(self, source: SourceSettings, nodes: Mapping[Series, NodeSettings]) -> None:
        check_places(source, nodes.values())
        self._source = source
        self._nodes = nodes
        self._cache = _Cache(source)

    async def fetch(self, start: int, end: int, *, node_id: str, interval: int) -> pd.DataFrame:
        """Return the rows whose time is in `[start, end)`, in the order of the file.

        Raises:
            SourceError: The file is not there, or something in it cannot be read.
        """
        return await asyncio.to_thread(self._fetch, Window(start, end), Series(node_id, interval))

    async def listed(self, series: Series) -> Window | None:
        """Return from its first bar to the end of its last; None if there are none."""
        return await asyncio.to_thread(self._listed, series)

    def _fetch(self, window: Window, series: Series) -> pd.DataFrame:
        place, found = self._rows(series)
        rows = found.rows_of(place.symbol, window)
        if found.bad:
            wanted = set(rows.tolist())
            for cell in found.bad:
                if cell.row in wanted:
                    raise _bad_cell(self._source, place.path, cell)
        return found.bars.take(rows).to_pandas()

    def _listed(self, series: Series) -> Window | None:
        place, found = self._rows(series)
        ts = found.bars.ts[found.rows_of(place.symbol)]
        return Window(int(ts.min()), int(ts.max()) + series.interval) if ts.size else None

    def _rows(self, series: Series) -> tuple[Place, FileBars]:
        name = self._source.name
        if series not in self._nodes:
            raise SourceError(name, f"series must be one that lists it, was {series}")
        place = place_of(self._source, self._nodes[series])
        found = self._cache.get(place.path)
        if place.symbol is not None and place.symbol not in found.symbols:
            known = _some(found.symbols)
            raise SourceError(
                name, f"symbol must be one that {place.path} has ({known}), was {place.symbol!r}"
            )
        return place, found


@dataclass(frozen=True, slots=True)
class _Stamp:
    """Tells whether a file is the one that was read."""

    inode: int
    mtime_ns: int
    size: int


class _Cache:
    """Files that have been read. One is read at a time, however many wait for it."""

    def __init__(self, source: SourceSettings) -> None:
        self._source = source
        self._lock = threading.Lock()
        self._files: OrderedDict[Path, tuple[_Stamp, FileBars]] = OrderedDict()

    def get(self, path: Path) -> FileBars:
        with self._lock:
            for _ in range(_READS_MAX):
                stamp = self._stamp(path)
                known = self._files.get(path)
                if known is not None and known[0] == stamp:
                    self._files.move_to_end(path)
                    return known[1]
                try:
                    found = self._read(path)
                except SourceError:
                    if stamp == self._stamp(path):
                        raise
                    continue
                if stamp == self._stamp(path):
                    self._keep(path, stamp, found)
                    return found
        raise SourceUnavailableError(self._source.name, f"{path} changes while it is read")

    def _keep(self, path: Path, stamp: _Stamp, found: FileBars) -> None:
        self._files[path] = (stamp, found)
        self._files.move_to_end(path)
        size = sum(each.size_bytes for _, each in self._files.values())
        while size > CACHE_BYTES and len(self._files) > 1:
            _, (_, dropped) = self._files.popitem(last=False)
            size -= dropped.size_bytes

    def _stamp(self, path: Path) -> _Stamp:
        try:
            stat = path.stat()
        except OSError as e:
            raise self._unreadable(path, e) from None
        return _Stamp(stat.st_ino, stat.st_mtime_ns, stat.st_size)

    def _read(self, path: Path) -> FileBars:
        columns = {name: self._source.columns.get(name, name) for name in COLUMNS}
        symbol_column = self._source.symbol_column
        texts = (columns["ts"], *((symbol_column,) if symbol_column else ()))
        wanted = _Wanted(texts, tuple(columns[name] for name in PRICE_COLUMNS))
        read = _read_csv if self._source.kind == "csv" else _read_parquet
        try:
            table = read(path, wanted)
            return parse_table(table, columns, self._source.timezone, symbol_column)
        except CellError as e:
            raise _bad_cell(self._source, path, e.cell) from None
        except _ColumnsError as e:
            raise SourceError(self._source.name, f"{path}: {e}") from None
        except pa.ArrowException as e:
            raise SourceError(
                self._source.name, f"{path} must be a {self._source.kind} file: {e}"
            ) from None
        except OSError as e:
            raise self._unreadable(path, e) from None

    def _unreadable(self, path: Path, error: OSError) -> SourceError:
        final = isinstance(error, FileNotFoundError | PermissionError | IsADirectoryError)
        kind = SourceError if final else SourceUnavailableError
        return kind(
            self._source.name, f"{path} must be a file that can be read: {error.strerror or error}"
        )


@dataclass(frozen=True, slots=True)
class _Wanted:
    """Columns to read, as the file calls them."""

    texts: tuple[str, ...]
    numbers: tuple[str, ...]

    @property
    def names(self) -> list[str]:
        """All of them."""
        return list(dict.fromkeys(self.texts + self.numbers))


class _ColumnsError(Exception):
    """A column that is needed is not there, or is there twice."""


def _read_csv(path: Path, wanted: _Wanted) -> Any:
    """Read numbers as numbers, and if that fails as text, in which the bad cell can be found."""
    try:
        return _read_csv_as(path, wanted, pa.float64())
    except pa.ArrowInvalid:
        return _read_csv_as(path, wanted, pa.string())


def _read_csv_as(path: Path, wanted: _Wanted, number: Any) -> Any:
    types = dict.fromkeys(wanted.texts, pa.string()) | dict.fromkeys(wanted.numbers, number)
    convert = pa.csv.ConvertOptions(column_types=types, null_values=[], strings_can_be_null=False)
    table = pa.csv.read_csv(path, convert_options=convert)
    _check_columns(table.column_names, wanted.names)
    return table.select(wanted.names)


def _read_parquet(path: Path, wanted: _Wanted) -> Any:
    with pa.parquet.ParquetFile(path) as file:
        _check_columns(file.schema_arrow.names, wanted.names)
        return file.read(columns=wanted.names)


def _check_columns(found: list[str], wanted: list[str]) -> None:
    for name in wanted:
        if found.count(name) > 1:
            raise _ColumnsError(f"must have column {name!r} once, has it {found.count(name)} times")
        if name not in found:
            near = difflib.get_close_matches(name, found, 1, 0.4)
            hint = f"; is {near[0]!r} meant?" if near else ""
            raise _ColumnsError(f"must have a column {name!r}, has {_some(found)}{hint}")


def _some(names: Iterable[str]) -> str:
    """Return a few of many names."""
    every = list(map(str, names))
    more = len(every) - _NAMES_TOLD
    return ", ".join(every[:_NAMES_TOLD]) + (f" and {more} more" if more > 0 else "")


def _bad_cell(source: SourceSettings, path: Path, cell: Cell) -> BadCellError:
    row = _csv_line(path, cell.row) if source.kind == "csv" else cell.row + 1
    told = Cell(row, cell.column, cell.found, cell.allowed)
    return BadCellError(source.name, str(path), told)


def _csv_line(path: Path, row: int) -> int:
    """Return the line of a row: empty lines, which are no rows, count as lines."""
    filled = -1
    with pa.input_stream(str(path)) as stream:
        for number, line in enumerate(_lines(stream), 1):
            filled += bool(line)
            if filled > row:
                return number
    return row + 2


def _lines(stream: Any) -> Iterator[bytes]:
    rest = b""
    while block := stream.read(1 << 20):
        *lines, rest = (rest + block).split(b"\n")
        for line in lines:
            yield line.rstrip(b"\r")
    yield rest.rstrip(b"\r")
