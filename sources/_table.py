"""A file's table as bars. Pure: nothing is sorted, dropped, filled or rounded."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from bars.frame import PRICE_COLUMNS, BarFrame
from bars.window import Window
from sources._times import CellError, mask, parse_times
from sources.errors import Cell

BAD_CELLS_MAX = 1_000
"""A file with more cells that are no numbers is refused as a whole."""

EXACT_MAX = 2**53
"""Beyond this float64 cannot hold every whole number."""

_NUMBER = "a number that float64 can hold"
_NUMBER_TEXT = r"^[+-]?((\d+\.?\d*|\.\d+)([eE][+-]?\d+)?|(?i:nan|inf|infinity))$"


@dataclass(frozen=True, slots=True, eq=False)
class FileBars:
    """All rows of a file, in its order."""

    bars: BarFrame
    """Where a cell is no number there is NaN, and the cell stands in `bad`."""

    bad: tuple[Cell, ...]
    """Cells of prices and volume that are no numbers."""

    codes: NDArray[np.int32]
    """Position in `symbols` of each row's symbol; empty without a symbol column."""

    symbols: tuple[str, ...] = ()
    """Every symbol in the file."""

    ascending: bool = False
    """Whether no time is before the one above it."""

    def rows_of(self, symbol: str | None, window: Window | None = None) -> NDArray[np.intp]:
        """Return the positions of the rows of a symbol (None: of all) inside a window."""
        ts = self.bars.ts
        if symbol is None and self.ascending and window is not None:
            first, end = np.searchsorted(ts, (window.start, window.end))
            return np.arange(first, end)
        chosen = np.ones(ts.size, np.bool_)
        if symbol is not None:
            code = self.symbols.index(symbol) if symbol in self.symbols else len(self.symbols)
            chosen &= self.codes == code
        if window is not None:
            chosen &= (ts >= window.start) & (ts < window.end)
        return np.flatnonzero(chosen)

    @property
    def size_bytes(self) -> int:
        """About how much memory it takes."""
        return len(self.bars) * 52 + 1_000


def parse_table(
    table: Any, columns: Mapping[str, str], zone: str, symbol_column: str | None
) -> FileBars:
    """Return what a table holds.

    Args:
        table: An Arrow table that has every column which is named.
        columns: Our names to those of the table.
        zone: What naive times mean.
        symbol_column: Column that tells the symbols apart, if there is one.

    Raises:
        CellError: A cell without which nothing can be said about the rows.
    """
    ts = parse_times(table[columns["ts"]], columns["ts"], zone)
    bad: list[Cell] = []
    prices = [_numbers(table[columns[name]], columns[name], bad) for name in PRICE_COLUMNS]
    bars = BarFrame(ts.copy(), *prices)
    ordered = tuple(sorted(bad, key=lambda cell: cell.row))
    ascending = bool((ts[1:] >= ts[:-1]).all())
    if symbol_column is None:
        return FileBars(bars, ordered, np.empty(0, np.int32), ascending=ascending)
    coded = pc.cast(table[symbol_column], pa.string()).combine_chunks().dictionary_encode()
    codes = coded.indices.fill_null(-1).to_numpy(zero_copy_only=False).astype(np.int32)
    return FileBars(bars, ordered, codes, tuple(coded.dictionary.to_pylist()), ascending)


def _numbers(column: Any, name: str, bad: list[Cell]) -> NDArray[np.float64]:
    """Return a column as float64; what is no number becomes NaN and is put into `bad`."""
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    kind = column.type
    wrong = mask(column.is_null())
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        text = pc.utf8_trim_whitespace(column)
        wrong |= ~mask(pc.fill_null(pc.match_substring_regex(text, _NUMBER_TEXT), False))
        values = pc.cast(pc.if_else(pa.array(wrong), "nan", text), pa.float64())
    elif pa.types.is_integer(kind):
        values = pc.cast(column, pa.float64(), safe=False)
        whole = column.fill_null(0).to_numpy()
        wrong |= (whole > EXACT_MAX) | (whole < -EXACT_MAX)
    elif pa.types.is_floating(kind) or pa.types.is_decimal(kind) or pa.types.is_null(kind):
        values = pc.cast(column, pa.float64())
    else:
        raise CellError(Cell(0, name, f"a column of {kind}", "numbers"))
    rows = map(int, np.flatnonzero(wrong)[: BAD_CELLS_MAX + 1])
    bad += [Cell(row, name, column[row].as_py(), _NUMBER) for row in rows]
    if len(bad) > BAD_CELLS_MAX:
        raise CellError(bad[0])
    found: NDArray[np.float64] = np.array(values.to_numpy(), np.float64)
    return found
