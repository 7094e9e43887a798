"""As in a notebook, where a loop already runs: both ways work, and share what they fetch."""

import asyncio

from provider import MemoryStorage, SeamlessDataProvider
from provider.testing import ScriptedFetcher

NODE = "ohlcv:demo:X:1m"


async def cells() -> None:
    """Run the cells one after another, inside a running loop."""
    # cell 1
    fetcher = ScriptedFetcher()
    provider = SeamlessDataProvider(
        storage_source=MemoryStorage(), backfiller=fetcher, empty_confirmed=True
    )
    # cell 2: top-level await
    bars = await provider.fetch(0, 3600, node_id=NODE, interval=60)
    print("await:", len(bars), "bars", bars.attrs["seamless"]["missing_slots"])
    # cell 3: the sync twin; no "this event loop is already running"
    bars = provider.fetch_sync(0, 3600, node_id=NODE, interval=60)
    print("sync:", len(bars), "bars, asked", len(fetcher.calls), "time")
    # last cell
    await provider.close()


if __name__ == "__main__":
    asyncio.run(cells())
