"""Bars as bytes, for stores that keep a record's bars in one cell.

`ts` as little-endian int64, then five columns as little-endian float64, one after another: the
same bits come back, -0.0 and NaN included, which columns of numbers in a database do not promise.
"""

import numpy as np

from bars.frame import PRICE_COLUMNS, BarFrame
from store.errors import StoreError

_ROW_BYTES = 8 * (1 + len(PRICE_COLUMNS))


def encode(bars: BarFrame) -> bytes:
    """Return the bytes of the bars."""
    columns = (bars.ts.astype("<i8"), *(c.astype("<f8") for c in bars.prices))
    return b"".join(column.tobytes() for column in columns)


def decode(data: bytes) -> BarFrame:
    """Return the bars of the bytes.

    Raises:
        StoreError: They are no bars.
    """
    rows, rest = divmod(len(data), _ROW_BYTES)
    if rest:
        raise StoreError(f"{len(data)} bytes are no bars of {_ROW_BYTES} bytes each")
    ts = np.frombuffer(data, "<i8", rows).astype(np.int64)
    prices = np.frombuffer(data, "<f8", offset=8 * rows).astype(np.float64)
    return BarFrame(ts, *(prices[i * rows : (i + 1) * rows].copy() for i in range(5)))
