"""History into QuestDB, on the real servers."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import numpy as np
import pytest

from avro_schemas import Verdict
from bars.frame import BarFrame
from bars.series import Series
from bars.window import Window
from runtime import Settings
from store import Store
from tests.servers.agents import Agents, Road, agents_of, chunk_of, write_config

pytestmark = pytest.mark.servers

MINUTE = 60
NODE = Series("ohlcv:test:A", MINUTE)
START = 1_700_000_040


def walk(count: int, seed: int = 1, start: int = START) -> BarFrame:
    """Return bars without a fault."""
    rng = np.random.default_rng(seed)
    close = np.round(100 + rng.normal(0, 0.05, count).cumsum(), 2)
    opened = np.concatenate(([100.0], close[:-1]))
    high, low = np.maximum(opened, close) + 0.01, np.minimum(opened, close) - 0.01
    ts = start + MINUTE * np.arange(count, dtype=np.int64)
    return BarFrame(ts, opened, high, low, close, np.round(rng.exponential(9, count), 3))


@pytest.fixture
def agents(applied: Settings, tmp_path: Path) -> Iterator[Agents]:
    config = write_config(
        tmp_path / "seamless.yaml",
        applied,
        sources={"one": {"kind": "csv", "path": "none.csv"}},
        nodes={NODE.node: {"interval": "1m", "sources": ["one"], "calendar": "24/7"}},
    )
    with agents_of(config, tmp_path) as started:
        yield started


@pytest.fixture
async def road(applied: Settings) -> AsyncIterator[Road]:
    async with Road(applied) as opened:
        yield opened


async def test_a_chunk_goes_all_the_way(agents: Agents, road: Road) -> None:
    """Chunk, verdict, history, QuestDB, ledger, receipt, mark."""
    conform, materialize = agents.start("conform", ready=False), agents.start("materialize")
    conform.wait_ready()
    bars = walk(500)
    window = Window(START, START + 500 * MINUTE)
    (sent,) = await road.publish(chunk_of(NODE, "one", window, bars, lease_token=7))
    verdict = await road.verdict(sent)
    assert (verdict.verdict, verdict.bars, verdict.session_bars) == (Verdict.PASSED, 500, 500)
    receipt = await road.receipt(sent)
    assert (receipt.bars, receipt.known) == (500, verdict.known)
    await road.marked(sent.partition, sent.offset + 1)
    with Store.connect(road.settings.store) as store:
        assert store.reader.bars(NODE, window, {"bf:one": 1}).equals(bars)
        (entry,) = store.ledger.entries(NODE)
        assert (entry.window, entry.token, entry.bars) == (window, 7, 500)
    assert (conform.stop(), materialize.stop()) == (0, 0)
