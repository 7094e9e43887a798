"""A source as the rest of the project sees it, and making one from its settings."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bars.frame import PRICE_COLUMNS, BarFrame
from bars.protocols import DataFetcher
from bars.series import Series, backfill_lane
from bars.window import Window
from runtime.errors import ConfigError, Problem
from runtime.sections import BY_PROVIDER
from runtime.settings import NodeSettings, SourceSettings
from sources._files import FileFetcher
from sources._python import GuardedFetcher, load_fetcher
from sources._table import EXACT_MAX
from sources.errors import SourceError


@dataclass(frozen=True, slots=True)
class Source:
    """One place where bars come from."""

    name: str
    """What it is called."""

    empty_confirmed: bool
    """Whether an answer without rows proves that there are none."""

    fetcher: DataFetcher
    """Who is asked."""

    @property
    def lane(self) -> str:
        """The lane of the bars it gives."""
        return backfill_lane(self.name)

    async def bars(self, series: Series, window: Window) -> BarFrame:
        """Return what the source answers for a window, in its order, nothing added or dropped.

        Raises:
            SourceError: It has no answer, or one that is not bars.
        """
        frame = await self.fetcher.fetch(
            window.start, window.end, node_id=series.node, interval=series.interval
        )
        return bars_of(frame, self.name)

    async def listed(self, series: Series) -> Window | None:
        """Return from the first bar to the end of the last; None if the source cannot know.

        Raises:
            SourceError: It cannot say now.
        """
        if isinstance(self.fetcher, FileFetcher):
            return await self.fetcher.listed(series)
        return None


def given_source(settings: SourceSettings, fetcher: DataFetcher) -> Source:
    """Return a source whose fetcher is at hand."""
    guarded = GuardedFetcher(settings.name, fetcher)
    return Source(settings.name, settings.empty_confirmed, guarded)


def open_source(
    settings: SourceSettings, nodes: Mapping[Series, NodeSettings], *, base: Path
) -> Source:
    """Return the source that the settings describe.

    Args:
        settings: What it is.
        nodes: The series of the configuration; those that list this source may be asked for.
        base: Folder of the configuration, where a fetcher's module may be.

    Raises:
        ConfigError: The settings name something that is not there or does not fit.
    """
    fetcher: DataFetcher
    if settings.kind == BY_PROVIDER:
        allowed = "csv, parquet or python: of this kind whoever makes a provider brings the fetcher"
        raise ConfigError([Problem(f"sources.{settings.name}.kind", settings.kind, allowed)])
    if settings.kind == "python":
        fetcher = GuardedFetcher(settings.name, load_fetcher(settings, base))
    else:
        own = {s: node for s, node in nodes.items() if settings.name in node.sources}
        fetcher = FileFetcher(settings, own)
    return Source(settings.name, settings.empty_confirmed, fetcher)


def bars_of(frame: pd.DataFrame, source: str) -> BarFrame:
    """Return a fetcher's frame as bars, if that loses nothing.

    The columns are `ts` (whole numbers) and open, high, low, close, volume (numbers), in any
    order and among others. A frame without rows and columns is no bars.

    Raises:
        SourceError: A column is missing, there twice, or of a type that would have to be guessed.
    """
    if not len(frame):
        return BarFrame.empty()
    return BarFrame(
        _column(frame, "ts", source).astype(np.int64),
        *(_column(frame, name, source).astype(np.float64) for name in PRICE_COLUMNS),
    )


def _column(frame: pd.DataFrame, name: str, source: str) -> NDArray[np.generic]:
    found = list(frame.columns).count(name)
    if found != 1:
        names = ", ".join(map(str, frame.columns))
        raise SourceError(source, f"the frame must have column {name} once, has {names}")
    values = frame[name].to_numpy()
    kinds = "iu" if name == "ts" else "iuf"
    if values.dtype.kind not in kinds:
        allowed = "whole numbers of epoch seconds" if name == "ts" else "numbers"
        raise SourceError(source, f"column {name} must be {allowed}, was {values.dtype}")
    limit = np.iinfo(np.int64).max if name == "ts" else EXACT_MAX
    if values.dtype.kind in "iu" and ((values > limit) | (values < -limit)).any():
        raise SourceError(source, f"column {name} must be numbers of at most {limit}")
    return values
