"""From `QuestDBLoader` to a provider in three steps; after each one everything works.

python migrate_loader.py questdb://127.0.0.1:19000?pg_port=18812 [seamless.yaml [table_prefix]]
"""

import asyncio
import sys

import pandas as pd

from provider import EnhancedQuestDBProvider, QuestDBLoader

NODE, MINUTE = "ohlcv:demo:Y:1m", 60
START, END = 1_600_000_020, 1_600_000_020 + 100 * MINUTE


class Fetcher:
    """The fetcher that you have."""

    async def fetch(self, start: int, end: int, *, node_id: str, interval: int) -> pd.DataFrame:
        """Return the bars whose open time is in `[start, end)`."""
        del node_id
        ts = pd.Series(range(-(-start // interval) * interval, end, interval), dtype="int64")
        prices = dict.fromkeys(("open", "high", "low", "close"), 100.0)
        return pd.DataFrame({"ts": ts, **prices, "volume": 1.0})


async def step_1(dsn: str, tables: str) -> pd.DataFrame:
    """Change the import, nothing else: the loader fills when it is told, and reads what is there.

    `fill_missing` names the first and the last bar; `fetch` is half-open.
    """
    async with QuestDBLoader(dsn, fetcher=Fetcher(), table_prefix=tables) as loader:
        await loader.fill_missing(START, END - MINUTE, node_id=NODE, interval=MINUTE)
        return await loader.fetch(START, END, node_id=NODE, interval=MINUTE)


async def step_2(dsn: str, tables: str) -> pd.DataFrame:
    """Leave `fill_missing` out: the provider fetches, judges and stores what is missing itself."""
    async with EnhancedQuestDBProvider(dsn, fetcher=Fetcher(), table_prefix=tables) as provider:
        return await provider.fetch(START, END, node_id=NODE, interval=MINUTE)


async def step_3(config: str) -> pd.DataFrame:
    """Give the fetcher to the fleet: the fetch worker asks it, once for everybody.

    It stands in `sources` of the configuration; the strategy only says what it wants.
    """
    async with EnhancedQuestDBProvider.from_config(config) as provider:
        return await provider.fetch(START, END, node_id=NODE, interval=MINUTE)


async def main(dsn: str, config: str = "", tables: str = "mine_") -> None:
    """Take the steps that can be taken."""
    print("step 1:", len(await step_1(dsn, tables)), "bars")
    print("step 2:", len(await step_2(dsn, tables)), "bars")
    if config:
        print("step 3:", len(await step_3(config)), "bars")


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
