"""Bars in one file, no server: a fetcher, a storage, a strategy for each use, a service level."""

import asyncio
from pathlib import Path

import numpy as np
import pandas as pd

from provider import SeamlessDataProvider, SLAPolicy, SQLiteStorage

HOUR = 3600
NODE = "ohlcv:demo:X:1h"
START, END = 1_577_836_800, 1_577_836_800 + 240 * HOUR  # ten days of 2020


class Sine:
    """A `DataFetcher`: any object with this one method. Put your vendor's client in its place."""

    async def fetch(self, start: int, end: int, *, node_id: str, interval: int) -> pd.DataFrame:
        """Return the bars whose open time is in `[start, end)`; only the closed ones."""
        del node_id
        ts = np.arange(-(-start // interval) * interval, end, interval, dtype=np.int64)
        price = 100.0 + np.sin(ts / 40_000)
        columns = {"open": price, "high": price + 1, "low": price - 1, "close": price}
        return pd.DataFrame({"ts": ts, **columns, "volume": 1_000.0})


async def main(folder: Path) -> None:
    """Print what each strategy makes of the same gap."""
    async with SeamlessDataProvider(
        storage_source=SQLiteStorage(folder / "bars.db"), backfiller=Sine()
    ) as provider:
        plan = await provider.explain(START, END, node_id=NODE, interval=HOUR)
        print(
            "plan:", plan["action"], plan["missing_bars"], "bars in", plan["requests"], "requests"
        )

        quick = await provider.fetch(
            START, END, node_id=NODE, interval=HOUR, strategy="partial_fill"
        )
        print("partial_fill:", len(quick), "bars at once,", len(provider.jobs()), "job behind")
        for job in provider.jobs():
            await job.wait()
            print("job:", job.state, job.progress)

        level = SLAPolicy(max_wait_backfill_ms=2_000, min_coverage=1.0, on_violation="hold")
        bars = await provider.fetch(
            START, END, node_id=NODE, interval=HOUR, strategy="seamless", sla=level
        )
        told = bars.attrs["seamless"]
        print("seamless:", len(bars), "bars, hold:", told["hold"], "missing:", told["missing"])

        last = await provider.history(3, node_id=NODE, interval=HOUR, end=END)
        print("history:", last["ts"].tolist())


if __name__ == "__main__":
    asyncio.run(main(Path()))
