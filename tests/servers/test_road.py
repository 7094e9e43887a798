"""Real bars go the whole road: request, worker, conform, materialize, provider."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from backtesting.test import EURUSD

import topics
from bars.calendars import Weekly, expected
from bars.frame import BarFrame
from bars.series import Series
from bars.window import Grid, Window
from provider import EnhancedQuestDBProvider
from runtime import Settings
from sources.testing import calls_of, write_truth
from tests.faults.processes import Agent, Places
from tests.servers.agents import write_config

pytestmark = pytest.mark.servers

HOUR = 3_600
EURUSD_1H = Series("fx:EUR/USD:1h", HOUR)
NEW_YORK_WEEK = {
    "kind": "weekly",
    "timezone": "America/New_York",
    "open": "Sun 17:00",
    "close": "Fri 17:00",
}


@asynccontextmanager
async def road(
    settings: Settings, places: Places, bars: BarFrame
) -> AsyncIterator[EnhancedQuestDBProvider]:
    """Start the agents on a source with these bars, and give a provider."""
    write_truth(places.truth, {EURUSD_1H.node: bars})
    options = {"truth": str(places.truth), "calls": str(places.calls)}
    fetcher = {"kind": "python", "fetcher": "sources.testing:ScriptedFiles", "options": options}
    node = {"interval": "1h", "sources": ["hourly"], "calendar": "fx"}
    config = write_config(
        places.config,
        settings,
        sources={"hourly": fetcher},
        calendars={"fx": NEW_YORK_WEEK},
        nodes={EURUSD_1H.node: node},
    )
    await topics.apply(settings)
    agents = [Agent(places, role) for role in ("conform", "materialize", "worker")]
    try:
        await asyncio.gather(*(asyncio.to_thread(agent.start) for agent in agents))
        # Two of its 5,000 bars are stamped exactly at a Friday's close: a warning, and true.
        async with EnhancedQuestDBProvider.from_config(
            config, accept_warnings=("time.session",)
        ) as provider:
            yield provider
    finally:
        await asyncio.gather(*(asyncio.to_thread(agent.stop) for agent in agents))


def eurusd() -> BarFrame:
    """Return the hourly bars of nine months, weekends and all."""
    ts = EURUSD.index.to_numpy().astype("datetime64[s]").astype(np.int64)
    columns = (EURUSD[name].to_numpy(np.float64, copy=True) for name in EURUSD.columns[:5])
    return BarFrame(ts, *columns)


@pytest.mark.timeout(240)
async def test_hourly_euro_dollar_goes_the_whole_road(settings: Settings, tmp_path: Path) -> None:
    """Every bar is the source's; what the week expects and the source lacks is named."""
    bars, places = eurusd(), Places(tmp_path)
    window = Window(int(bars.ts[0]), int(bars.ts[-1]) + HOUR)
    ask = (window.start, window.end)
    async with road(settings, places, bars) as provider:
        found = await provider.fetch(*ask, node_id=EURUSD_1H.node, interval=HOUR)
        asked = len(calls_of(places.calls))
        again = await provider.fetch(*ask, node_id=EURUSD_1H.node, interval=HOUR)
    assert asked == len(calls_of(places.calls)) > 0
    for answer in (found, again):
        pd.testing.assert_frame_equal(answer, bars.to_pandas(), check_exact=True)
    told = found.attrs["seamless"]
    week = Weekly("fx", "America/New_York", "Sun 17:00", "Fri 17:00")
    session = expected(week, Grid(HOUR), window, None)
    lacking = np.setdiff1d(session, bars.ts)
    assert lacking.size > 0
    assert told["missing_slots"]["no_trades"] == lacking.size
    no_trades = [m for m in told["missing"] if m["reason"] == "no_trades"]
    named = [t for m in no_trades for t in range(m["start"], m["end"] + 1, HOUR)]
    assert np.array_equal(np.intersect1d(named, session), lacking)
