"""A backfiller of your own: it knows market hours and its licence, and says no before it asks.

`QualityAwareBackfiller` lets nothing through that conformance blocks.
"""

import asyncio
from collections.abc import AsyncIterator, Callable

import pandas as pd

from bars import Exchange, Grid, Window
from provider import (
    DataFetcherAutoBackfiller,
    DataSource,
    MemoryStorage,
    NodeSettings,
    QualityAwareBackfiller,
    SeamlessDataProvider,
    Series,
)

DAY = 86_400
APPLE = Series("ohlcv:demo:AAPL:1d", DAY)
YEAR_2020 = 1_577_836_800


class LicenceError(Exception):
    """The licence does not cover what was asked."""

    retriable = False  # asking again changes nothing


class CustomBackfiller:
    """Asks a vendor for sessions of an exchange, as far back as the licence goes."""

    def __init__(self, vendor: DataFetcherAutoBackfiller, licensed_from: int) -> None:
        self._vendor = vendor
        self._licensed_from = licensed_from
        self._market = Exchange("XNYS")

    async def can_backfill(self, start: int, end: int, *, node_id: str, interval: int) -> bool:
        """Return whether the licence covers the range and the market traded in it."""
        del node_id
        sessions = self._market.session_bars(Grid(interval), Window(start, end))
        return start >= self._licensed_from and bool(sessions.size)

    async def backfill(
        self,
        start: int,
        end: int,
        *,
        node_id: str,
        interval: int,
        target_storage: DataSource | None = None,
    ) -> pd.DataFrame:
        """Fetch the range, store it in `target_storage` if given, and return its sessions."""
        if start < self._licensed_from:
            raise LicenceError(f"licensed from {self._licensed_from}, asked from {start}")
        frame = await self._vendor.backfill(
            start, end, node_id=node_id, interval=interval, target_storage=target_storage
        )
        sessions = self._market.session_bars(Grid(interval), Window(start, end))
        return frame[frame["ts"].isin(sessions)].reset_index(drop=True)

    async def backfill_async(
        self,
        start: int,
        end: int,
        *,
        node_id: str,
        interval: int,
        target_storage: DataSource | None = None,
        progress_callback: Callable[[float], None] | None = None,
    ) -> AsyncIterator[pd.DataFrame]:
        """Yield the range in one piece."""
        yield await self.backfill(
            start, end, node_id=node_id, interval=interval, target_storage=target_storage
        )
        if progress_callback is not None:
            progress_callback(1.0)


class Vendor:
    """Stands for a vendor's client: it answers weekends too, which nobody traded."""

    async def fetch(self, start: int, end: int, *, node_id: str, interval: int) -> pd.DataFrame:
        """Return a bar for every day."""
        del node_id
        ts = pd.Series(range(start, end, interval), dtype="int64")
        prices = dict.fromkeys(("open", "high", "low", "close"), 100.0)
        return pd.DataFrame({"ts": ts, **prices, "volume": 1.0})


async def main() -> None:
    """Fetch what the licence covers, and be told what it does not."""
    own = CustomBackfiller(DataFetcherAutoBackfiller(Vendor()), licensed_from=YEAR_2020)
    node = NodeSettings(series=APPLE, sources=("vendor",), calendar="XNYS")
    async with SeamlessDataProvider(
        storage_source=MemoryStorage(),
        backfiller=QualityAwareBackfiller(own),
        nodes={APPLE: node},
        strategy="seamless",
    ) as provider:
        ask = {"node_id": APPLE.node, "interval": DAY}
        january = await provider.fetch(YEAR_2020, YEAR_2020 + 31 * DAY, **ask)  # type: ignore[arg-type]
        print("sessions of January 2020:", len(january))
        before = await provider.fetch(YEAR_2020 - 10 * DAY, YEAR_2020, **ask)  # type: ignore[arg-type]
        told = before.attrs["seamless"]
        print("before:", len(before), "bars,", told["failed"][0]["message"])


if __name__ == "__main__":
    asyncio.run(main())
