"""Results of queries as columns, whichever way they came."""

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from psycopg.pq import abc
from pyarrow import parquet

_NULL_TIME = np.int64(np.iinfo(np.int64).min)
"""QuestDB's own NULL of integers and times."""

_NULL_TIME_BYTES = int(_NULL_TIME).to_bytes(8, "big", signed=True)
_NULL_DOUBLE_BYTES = np.array(np.nan, ">f8").tobytes()
_POSTGRES_EPOCH_US = 946_684_800_000_000
"""2000-01-01, from which PGWire counts its timestamps, in microseconds since 1970."""


@dataclass(frozen=True, slots=True, eq=False)
class Symbols:
    """A column of few texts: for each row the place of its text in `names`, -1 for NULL."""

    codes: NDArray[np.int32]
    names: tuple[str, ...]

    def texts(self) -> NDArray[np.object_]:
        """Return the text of each row, None for NULL."""
        return np.array([*self.names, None], object)[self.codes]

    def coded_as(self, names: tuple[str, ...]) -> NDArray[np.int32]:
        """Return the codes that the rows have in another list of names, -1 if not in it."""
        place = {name: code for code, name in enumerate(names)}
        table = np.array([*(place.get(name, -1) for name in self.names), -1], np.int32)
        return table[self.codes]


class Columns(Protocol):
    """The columns of one result, all of one length."""

    def __len__(self) -> int: ...

    def times(self, name: str) -> NDArray[np.int64]:
        """Return a TIMESTAMP column as epoch microseconds; NULL is the lowest int64."""
        ...

    def doubles(self, name: str) -> NDArray[np.float64]:
        """Return a DOUBLE column; NULL is NaN."""
        ...

    def longs(self, name: str) -> NDArray[np.int64]:
        """Return a LONG column; NULL is the lowest int64."""
        ...

    def symbols(self, name: str) -> Symbols:
        """Return a SYMBOL or VARCHAR column."""
        ...


class ParquetColumns:
    """What `/exp` answered; a column is decoded whenever it is asked for."""

    def __init__(self, content: bytes | bytearray) -> None:
        buffer = pa.BufferReader(pa.py_buffer(content))
        metadata = parquet.ParquetFile(buffer).metadata
        # Kept as a dictionary where it came as one: a tenth of the time that texts take.
        coded = _coded_columns(metadata) if metadata.num_rows else []
        self._file = parquet.ParquetFile(buffer, read_dictionary=coded, metadata=metadata)

    def __len__(self) -> int:
        return int(self._file.metadata.num_rows)

    def times(self, name: str) -> NDArray[np.int64]:
        """Return a TIMESTAMP column as epoch microseconds; NULL is the lowest int64."""
        return self._integers(name, pa.timestamp("us"))

    def longs(self, name: str) -> NDArray[np.int64]:
        """Return a LONG column; NULL is the lowest int64."""
        return self._integers(name, pa.int64())

    def doubles(self, name: str) -> NDArray[np.float64]:
        """Return a DOUBLE column; NULL is NaN."""
        column: NDArray[np.float64] = self._column(name).to_numpy()
        return column

    def symbols(self, name: str) -> Symbols:
        """Return a SYMBOL or VARCHAR column."""
        column = self._column(name)
        if not len(column):
            return Symbols(np.empty(0, np.int32), ())
        if not pa.types.is_dictionary(column.type):
            column = column.dictionary_encode()
        one = column.num_chunks == 1
        array = column.chunk(0) if one else column.unify_dictionaries().combine_chunks()
        codes = array.indices.fill_null(-1) if array.null_count else array.indices
        return Symbols(
            codes.to_numpy().astype(np.int32, copy=False), tuple(array.dictionary.to_pylist())
        )

    def _column(self, name: str) -> Any:
        # A file is small, and callers run in threads already.
        return self._file.read([name], use_threads=False).column(0)

    def _integers(self, name: str, unit: pa.DataType) -> NDArray[np.int64]:
        column = self._column(name)
        if unit != pa.int64():
            column = column.cast(unit).cast(pa.int64())
        if column.null_count:
            column = column.fill_null(int(_NULL_TIME))
        integers: NDArray[np.int64] = column.to_numpy()
        return integers


def _coded_columns(metadata: parquet.FileMetaData) -> list[str]:
    """Return the text columns that every row group stores as a dictionary."""
    groups = [metadata.row_group(g) for g in range(metadata.num_row_groups)]
    return [
        metadata.schema.column(i).path
        for i in range(metadata.num_columns)
        if metadata.schema.column(i).physical_type == "BYTE_ARRAY"
        and all(group.column(i).has_dictionary_page for group in groups)
    ]


class PgColumns:
    """What PGWire answered, in binary."""

    def __init__(self, result: abc.PGresult) -> None:
        self._result = result
        self._places = {(result.fname(i) or b"").decode(): i for i in range(result.nfields)}

    def __len__(self) -> int:
        return self._result.ntuples

    def times(self, name: str) -> NDArray[np.int64]:
        """Return a TIMESTAMP column as epoch microseconds; NULL is the lowest int64."""
        values = self.longs(name)
        return np.where(values == _NULL_TIME, values, values + _POSTGRES_EPOCH_US)

    def longs(self, name: str) -> NDArray[np.int64]:
        """Return a LONG column; NULL is the lowest int64."""
        return np.frombuffer(self._joined(name, _NULL_TIME_BYTES), ">i8").astype(np.int64)

    def doubles(self, name: str) -> NDArray[np.float64]:
        """Return a DOUBLE column; NULL is NaN."""
        return np.frombuffer(self._joined(name, _NULL_DOUBLE_BYTES), ">f8").astype(np.float64)

    def symbols(self, name: str) -> Symbols:
        """Return a SYMBOL or VARCHAR column."""
        place: dict[bytes | None, int] = {None: -1}
        codes = np.fromiter(
            (place.setdefault(value, len(place) - 1) for value in self._values(name)),
            np.int32,
            len(self),
        )
        return Symbols(codes, tuple(text.decode() for text in place if text is not None))

    def _values(self, name: str) -> list[bytes | None]:
        column, get = self._places[name], self._result.get_value
        return [get(row, column) for row in range(self._result.ntuples)]

    def _joined(self, name: str, null: bytes) -> bytes:
        return b"".join([null if value is None else value for value in self._values(name)])
