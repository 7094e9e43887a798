"""The scripted sources do what tests rely on."""

import asyncio
import os
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from bars.frame import BarFrame
from bars.series import Series
from bars.window import Window
from runtime.settings import SourceSettings
from sources import RateLimitedError, Source, SourceUnavailableError, open_source
from sources.testing import Call, FlakyFiles, ScriptedFetcher, calls_of, write_truth

SERIES = Series("x", 60)


def bars(count: int, price: float = 1.0) -> BarFrame:
    column = np.full(count, price)
    return BarFrame(np.arange(count) * 60, *(column.copy() for _ in range(5)))


async def ask(fetcher: ScriptedFetcher, start: int = 0, end: int = 600) -> list[float]:
    frame = await fetcher.fetch(start, end, node_id="x", interval=60)
    return [float(close) for close in frame["close"]]


async def test_every_call_and_every_bar_is_counted() -> None:
    fetcher = ScriptedFetcher({"x": bars(4)})
    await ask(fetcher, 0, 120)
    await ask(fetcher, 60, 240)
    assert fetcher.calls == [Call("x", 60, Window(0, 120), 2), Call("x", 60, Window(60, 240), 3)]
    assert fetcher.asked("x") == {0: 1, 60: 2, 120: 1, 180: 1}


async def test_bars_can_be_changed_and_withdrawn() -> None:
    fetcher = ScriptedFetcher({"x": bars(3)})
    fetcher.change("x", 60, close=9.5)
    fetcher.withdraw("x", 0)
    assert await ask(fetcher) == [9.5, 1.0]
    with pytest.raises(KeyError):
        fetcher.change("x", 61, close=1.0)


async def test_failures_come_in_order_and_end() -> None:
    fetcher = ScriptedFetcher({"x": bars(1)})
    fetcher.fail(OSError("down"))
    fetcher.limit_rate(1, retry_after_s=2)
    with pytest.raises(OSError, match="down"):
        await ask(fetcher)
    with pytest.raises(RateLimitedError):
        await ask(fetcher)
    assert await ask(fetcher) == [1.0]
    assert [call.bars for call in fetcher.calls] == [0, 0, 1]


async def test_a_call_waits_at_the_gate_and_answers_what_is_true_then() -> None:
    fetcher = ScriptedFetcher({"x": bars(1)})
    fetcher.gate.clear()
    task = asyncio.create_task(ask(fetcher))
    await fetcher.until_waiting()
    fetcher.change("x", 0, close=2.0)
    fetcher.gate.set()
    assert await task == [2.0]
    assert fetcher.waiting == 0


@pytest.fixture
def scripted(tmp_path: Path) -> Source:
    """The file-driven source, opened as a configuration opens it."""
    names = {name: str(tmp_path / name) for name in ("calls", "hold", "fail")}
    settings = SourceSettings(
        name="scripted",
        kind="python",
        fetcher="sources.testing:ScriptedFiles",
        options={"truth": str(tmp_path / "truth.parquet"), **names},
    )
    write_truth(tmp_path / "truth.parquet", {"x": bars(3), "y": bars(2, 7.0)})
    return open_source(settings, {}, base=tmp_path)


async def test_files_say_what_is_true_and_calls_are_noted(scripted: Source, tmp_path: Path) -> None:
    assert (await scripted.bars(SERIES, Window(0, 120))).close.tolist() == [1.0, 1.0]
    write_truth(tmp_path / "truth.parquet", {"x": bars(1, 5.0)})
    assert (await scripted.bars(SERIES, Window(0, 120))).close.tolist() == [5.0]
    call = {"node": "x", "interval": 60, "start": 0, "end": 120}
    noted = calls_of(tmp_path / "calls")
    assert [each | {"began_s": 0, "ended_s": 0} for each in noted] == [
        call | {"bars": held, "pid": os.getpid(), "began_s": 0, "ended_s": 0} for held in (2, 1)
    ]
    times = [each[name] for each in noted for name in ("began_s", "ended_s")]
    assert times == sorted(times)


async def test_a_csv_truth_without_node_is_for_every_node(tmp_path: Path) -> None:
    truth = tmp_path / "truth.csv"
    truth.write_text("ts,open,high,low,close,volume\n0,1,1,1,0.1,1\n")
    settings = SourceSettings(
        name="s",
        kind="python",
        fetcher="sources.testing:ScriptedFiles",
        options={"truth": str(truth)},
    )
    source = open_source(settings, {}, base=tmp_path)
    assert (await source.bars(SERIES, Window(0, 60))).close.tolist() == [0.1]


async def test_a_file_makes_calls_fail_while_it_is_there(scripted: Source, tmp_path: Path) -> None:
    (tmp_path / "fail").write_text("upstream is down")
    with pytest.raises(SourceUnavailableError, match="upstream is down"):
        await scripted.bars(SERIES, Window(0, 120))
    (tmp_path / "fail").unlink()
    assert len(await scripted.bars(SERIES, Window(0, 120))) == 2
    assert [call["bars"] for call in calls_of(tmp_path / "calls")] == [-1, 2]


async def test_a_file_makes_calls_wait_while_it_is_there(scripted: Source, tmp_path: Path) -> None:
    (tmp_path / "hold").touch()
    task = asyncio.create_task(scripted.bars(SERIES, Window(0, 120)))
    done, _ = await asyncio.wait((task,), timeout=0.1)
    assert not done
    (tmp_path / "hold").unlink()
    assert len(await task) == 2


def test_no_calls_are_noted_before_the_first(tmp_path: Path) -> None:
    assert calls_of(tmp_path / "calls") == []


async def test_a_flaky_source_fails_hangs_and_asks_for_patience_and_tells_the_truth_else(
    tmp_path: Path,
) -> None:
    write_truth(tmp_path / "truth.parquet", {"x": bars(3)})
    truth, calls = str(tmp_path / "truth.parquet"), tmp_path / "calls"
    flaky = FlakyFiles(seed=1, fails=0.3, stalls=0.1, limits=0.2, truth=truth, calls=str(calls))
    seen: Counter[str] = Counter()
    for _ in range(60):
        try:
            async with asyncio.timeout(0.5):
                frame = await flaky.fetch(0, 180, node_id="x", interval=60)
        except (SourceUnavailableError, RateLimitedError, TimeoutError) as error:
            seen[type(error).__name__] += 1
        else:
            assert len(frame) == 3
            seen["told"] += 1
    assert set(seen) == {"told", "SourceUnavailableError", "RateLimitedError", "TimeoutError"}
    assert [call["bars"] for call in calls_of(calls)].count(3) == seen["told"]
