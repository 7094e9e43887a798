"""One hash for the same bars, wherever they are: in a chunk, in a record, read back."""

import hashlib

import numpy as np

from bars.frame import BarFrame


def content_hash(bars: BarFrame) -> str:
    """Return 32 hex digits of the bars in their canonical encoding.

    Encoding: the number of rows, then `ts` as little-endian int64, then the five columns as
    little-endian float64 with every NaN as the one quiet NaN (a store keeps no NaN payloads).
    -0.0 and 0.0 differ. Hash: BLAKE2b of 16 bytes (RFC 7693).
    """
    digest = hashlib.blake2b(len(bars).to_bytes(8, "little"), digest_size=16)
    digest.update(bars.ts.astype("<i8", copy=False).tobytes())
    for column in bars.prices:
        canonical = np.where(np.isnan(column), np.nan, column)
        digest.update(canonical.astype("<f8", copy=False).tobytes())
    return digest.hexdigest()
