"""A source of your own: a `DataSource` says what it has and gives it. Here: a dict of frames."""

import asyncio

import pandas as pd

from provider import DataSourcePriority, MemoryStorage, SeamlessDataProvider

DAY = 86_400
NODE = "ohlcv:demo:X:1d"


class FrameSource:
    """Frames in memory, by node. What `coverage` names is believed; it need not be on the grid."""

    priority = DataSourcePriority.BACKFILL  # asked after cache and storage

    def __init__(self, frames: dict[str, pd.DataFrame]) -> None:
        self._frames = frames

    async def is_available(self, start: int, end: int, *, node_id: str, interval: int) -> bool:
        """Return whether every bar of `[start, end)` is held."""
        held = await self.coverage(node_id=node_id, interval=interval)
        return any(first <= start and end <= last + interval for first, last in held)

    async def fetch(self, start: int, end: int, *, node_id: str, interval: int) -> pd.DataFrame:
        """Return the bars held whose open time is in `[start, end)`."""
        del interval
        frame = self._frames[node_id]
        return frame[(frame["ts"] >= start) & (frame["ts"] < end)]

    async def coverage(self, *, node_id: str, interval: int) -> list[tuple[int, int]]:
        """Return inclusive ranges (first bar, last bar), ascending and disjoint."""
        del interval
        frame = self._frames.get(node_id)
        if frame is None or frame.empty:
            return []
        return [(int(frame["ts"].min()), int(frame["ts"].max()))]


async def main() -> None:
    """Read bars that only the own source has."""
    days = pd.DataFrame(
        {
            "ts": [0, DAY, 2 * DAY],
            "open": [1.0, 2.0, 3.0],
            "high": [1.5, 2.5, 3.5],
            "low": [0.5, 1.5, 2.5],
            "close": [1.2, 2.2, 3.2],
            "volume": [10.0, 20.0, 30.0],
        }
    )
    async with SeamlessDataProvider(
        storage_source=MemoryStorage(),
        sources=[FrameSource({NODE: days})],
        strategy="seamless",
    ) as provider:
        bars = await provider.fetch(0, 5 * DAY, node_id=NODE, interval=DAY)
    print("bars:", len(bars), "from", bars.attrs["seamless"]["read_from"][0]["source"])
    print("missing:", bars.attrs["seamless"]["missing_slots"])


if __name__ == "__main__":
    asyncio.run(main())
