"""What the server tests of the agents share: a configured series, bars, one road."""

import numpy as np

from bars.frame import BarFrame
from bars.series import Series
from bars.window import Window
from runtime import Settings
from store import Store
from topics import partition_of

MINUTE = 60
START = 1_700_000_040
NODE = Series("ohlcv:test:A", MINUTE)
RANKS = {"bf:one": 2, "bf:two": 1, "roll": 0}


def series_in(settings: Settings, partition: int, number: int = 0) -> Series:
    """Return a series whose home is that partition; others with other numbers."""
    names = (Series(f"ohlcv:test:P{i}", MINUTE) for i in range(10_000))
    homes = (s for s in names if partition_of(s.key, settings.kafka.partitions) == partition)
    return next(s for i, s in enumerate(homes) if i == number)


def window_of(first: int, count: int) -> Window:
    """Return the window of some slots."""
    return Window(START + MINUTE * first, START + MINUTE * (first + count))


def walk(first: int, count: int, seed: int = 1) -> BarFrame:
    """Return bars without a fault."""
    rng = np.random.default_rng([seed, first])
    close = np.round(100 + rng.normal(0, 0.05, count).cumsum(), 2)
    opened = np.concatenate(([100.0], close[:-1]))
    high, low = np.maximum(opened, close) + 0.01, np.minimum(opened, close) - 0.01
    ts = START + MINUTE * np.arange(first, first + count, dtype=np.int64)
    return BarFrame(ts, opened, high, low, close, np.round(rng.exponential(9, count), 3))


def changed(bars: BarFrame, row: int, close: float) -> BarFrame:
    """Return the bars with another close in one row."""
    closes = bars.close.copy()
    closes[row] = close
    high, low = np.maximum(bars.high, closes), np.minimum(bars.low, closes)
    return BarFrame(bars.ts, bars.open, high, low, closes, bars.volume)


def without(bars: BarFrame, row: int) -> BarFrame:
    """Return the bars less one row."""
    return bars.take(np.arange(len(bars)) != row)


def stored(settings: Settings, series: Series, window: Window) -> BarFrame:
    """Return the winners that a reader gets."""
    with Store.connect(settings.store) as store:
        return store.reader.bars(series, window, RANKS)
