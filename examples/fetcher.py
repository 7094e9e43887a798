"""A source of your own: any class with this one method. The fetch worker runs it in its process.

sources:
  mine: {kind: python, fetcher: "fetcher:Sawtooth", options: {bases: {"ohlcv:fx:EURUSD:1h": 1.1}}}
"""

from collections.abc import Mapping

import numpy as np
import pandas as pd


class UnknownNodeError(LookupError):
    """Nothing is known of a node."""

    retriable = False  # asking again changes nothing; an error that does not say so is tried again


class Sawtooth:
    """Bars that rise for ten slots and fall back: put your vendor's client in their place."""

    def __init__(self, bases: Mapping[str, float]) -> None:
        self._bases = bases

    async def fetch(self, start: int, end: int, *, node_id: str, interval: int) -> pd.DataFrame:
        """Return the bars whose open time is in `[start, end)`; only the closed ones."""
        if node_id not in self._bases:
            raise UnknownNodeError(node_id)
        ts = np.arange(-(-start // interval) * interval, end, interval, dtype=np.int64)
        prices = self._bases[node_id] * (1 + ts // interval % 10 / 100)
        columns = {"open": prices, "high": prices, "low": prices, "close": prices}
        return pd.DataFrame({"ts": ts, **columns, "volume": 1_000.0})
