"""Sources that do as a test says: in memory, and by files for processes of their own.

Both ship with the package, so that a strategy's tests can use them too.
"""

import asyncio
import json
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.csv

from bars.frame import COLUMNS, PRICE_COLUMNS, BarFrame
from bars.window import Window
from sources.errors import RateLimitedError, SourceUnavailableError

_POLL_S = 0.02
_STALL_S = 3_600.0
_LATER_S = 0.5


@dataclass(frozen=True, slots=True)
class Call:
    """One time that a scripted source was asked."""

    node: str
    interval: int
    window: Window

    bars: int
    """How many bars the window had; 0 for a call that failed."""


class ScriptedFetcher:
    """Bars in memory; a `DataFetcher` that remembers every call.

    What it answers is decided when the answer leaves, after any wait at `gate`.
    """

    def __init__(self, bars: Mapping[str, BarFrame] | None = None) -> None:
        self.bars = dict(bars or {})
        """By node; may be changed at any time."""

        self.calls: list[Call] = []
        """Every call in the order in which the answers left."""

        self.gate = asyncio.Event()
        """Answers leave only while it is set, as it is at first."""

        self.waiting = 0
        """Calls that wait at the gate now."""

        self._failures: list[Exception] = []
        self._arrived = asyncio.Event()
        self.gate.set()

    async def fetch(self, start: int, end: int, *, node_id: str, interval: int) -> pd.DataFrame:
        """Return the bars that are there, or raise what was scripted next."""
        await self._pass_gate()
        window = Window(start, end)
        if self._failures:
            self.calls.append(Call(node_id, interval, window, 0))
            raise self._failures.pop(0)
        found = self.bars.get(node_id, BarFrame.empty()).inside(window)
        self.calls.append(Call(node_id, interval, window, len(found)))
        return found.to_pandas()

    def fail(self, *errors: Exception) -> None:
        """Let each of the next calls raise one of these."""
        self._failures += errors

    def limit_rate(self, times: int, retry_after_s: float | None = None) -> None:
        """Let that many of the next calls ask for patience."""
        self.fail(*(RateLimitedError("scripted", retry_after_s) for _ in range(times)))

    def change(self, node: str, ts: int, **values: float) -> None:
        """Give a bar other values, e.g. `close=2.0`; the bar has to be there."""
        frame = self.bars[node].to_pandas()
        row = frame.index[frame["ts"] == ts]
        if row.empty:
            raise KeyError(ts)
        for name, value in values.items():
            frame.loc[row, name] = value
        self.bars[node] = _bars(frame)

    def withdraw(self, node: str, *times: int) -> None:
        """Take bars away."""
        held = self.bars[node]
        self.bars[node] = held.take(~np.isin(held.ts, times))

    def asked(self, node: str) -> dict[int, int]:
        """Return how often each bar of a node has been answered."""
        every = [
            self.bars[node].inside(c.window).ts for c in self.calls if c.node == node and c.bars
        ]
        if not every:
            return {}
        times, counts = np.unique(np.concatenate(every), return_counts=True)
        return dict(zip(times.tolist(), counts.tolist(), strict=True))

    async def until_waiting(self, calls: int = 1) -> None:
        """Return once that many calls wait at the gate."""
        while self.waiting < calls:
            self._arrived.clear()
            await self._arrived.wait()

    async def _pass_gate(self) -> None:
        self.waiting += 1
        self._arrived.set()
        try:
            await self.gate.wait()
        finally:
            self.waiting -= 1


class ScriptedFiles:
    """Bars in a file that is read at every call; a `DataFetcher` for processes under test.

    In a configuration: `kind: python`, `fetcher: sources.testing:ScriptedFiles`, and these as
    `options`. Change the files by putting a new one in their place (`os.replace`).
    """

    def __init__(
        self,
        truth: str,
        calls: str = "",
        hold: str = "",
        fail: str = "",
        delay_s: float = 0.0,
    ) -> None:
        """Take the paths; an empty one means without.

        Args:
            truth: Parquet, or CSV by its name, with ts, open, high, low, close, volume and, if
                there are several, node.
            calls: One line of JSON is added to it for every call: node, interval, start, end, how
                many bars were answered, -1 for a call that failed or was cancelled, who was asked
                (pid), and from when to when (began_s, ended_s, by this machine's monotonic clock).
                A process that is killed in mid-call adds none.
            hold: While there is such a file, calls wait.
            fail: While there is such a file, calls raise its text; retriable.
            delay_s: How long each call takes at least.
        """
        self._truth = Path(truth)
        self._calls = Path(calls) if calls else None
        self._hold = Path(hold) if hold else None
        self._fail = Path(fail) if fail else None
        self._delay_s = delay_s

    async def fetch(self, start: int, end: int, *, node_id: str, interval: int) -> pd.DataFrame:
        """Return what the file holds now."""
        call: dict[str, str | int | float] = {
            "node": node_id,
            "interval": interval,
            "start": start,
            "end": end,
            "bars": -1,
            "pid": os.getpid(),
            "began_s": time.monotonic(),
        }
        try:
            await self._wait()
            frame = await asyncio.to_thread(_read, self._truth)
            inside = (frame["ts"] >= start) & (frame["ts"] < end)
            if "node" in frame:
                inside &= frame["node"] == node_id
            found = frame.loc[inside, list(COLUMNS)].reset_index(drop=True)
            call["bars"] = len(found)
            return found
        finally:
            self._note({**call, "ended_s": time.monotonic()})

    async def _wait(self) -> None:
        await asyncio.sleep(self._delay_s)
        while self._hold is not None and self._hold.exists():  # noqa: ASYNC110
            await asyncio.sleep(_POLL_S)
        reason = _text_of(self._fail)
        if reason is not None:
            raise SourceUnavailableError("scripted", reason)

    def _note(self, call: Mapping[str, str | int | float]) -> None:
        if self._calls is not None:
            # One write of one short line: lines of several processes do not mix.
            with self._calls.open("a", encoding="utf-8", buffering=1) as file:
                file.write(json.dumps(call) + "\n")


class FlakyFiles(ScriptedFiles):
    """The same with bad days: some calls fail, some hang, some are told to come again later."""

    def __init__(
        self,
        *,
        seed: int,
        fails: float = 0.1,
        stalls: float = 0.02,
        limits: float = 0.02,
        **files: Any,
    ) -> None:
        """Draw what becomes of each call.

        Args:
            seed: Of what is drawn, together with the id of the process.
            fails: Share of calls that fail.
            stalls: Share of calls that take longer than anybody waits.
            limits: Share of calls that are told to come again half a second later.
            files: As for `ScriptedFiles`.
        """
        super().__init__(**files)
        self._rng = Random(f"{seed}:{os.getpid()}")  # noqa: S311 - no secret hangs on it
        self._fails = fails
        self._stalls = stalls
        self._limits = limits

    async def _wait(self) -> None:
        await super()._wait()
        drawn = self._rng.random()
        if drawn < self._fails:
            raise SourceUnavailableError("flaky", "drawn to fail")
        if drawn < self._fails + self._stalls:
            await asyncio.sleep(_STALL_S)
        elif drawn < self._fails + self._stalls + self._limits:
            raise RateLimitedError("flaky", _LATER_S)


def calls_of(path: Path) -> list[dict[str, Any]]:
    """Return the calls that `ScriptedFiles` has noted."""
    if not path.exists():
        return []
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def write_truth(path: Path, bars: Mapping[str, BarFrame]) -> None:
    """Put a new Parquet file of bars by node in the place of the old one, at once."""
    frames = [frame.to_pandas().assign(node=node) for node, frame in bars.items()]
    fresh = path.with_name(path.name + ".new")
    pd.concat(frames, ignore_index=True).to_parquet(fresh)
    fresh.replace(path)


def _text_of(path: Path | None) -> str | None:
    if path is None:
        return None
    try:
        return path.read_text(encoding="utf-8").strip() or "scripted failure"
    except FileNotFoundError:
        return None


def _read(path: Path) -> pd.DataFrame:
    if path.suffix == ".csv":
        frame: pd.DataFrame = pa.csv.read_csv(path).to_pandas()  # floats as Python reads them
        return frame
    return pd.read_parquet(path)


def _bars(frame: pd.DataFrame) -> BarFrame:
    prices = (frame[name].to_numpy(np.float64, copy=True) for name in PRICE_COLUMNS)
    return BarFrame(frame["ts"].to_numpy(np.int64, copy=True), *prices)
