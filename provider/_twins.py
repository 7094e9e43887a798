"""The calls of a provider for code that is not async; they also work where a loop already runs."""

from abc import ABC, abstractmethod
from types import TracebackType
from typing import Any, Self, Unpack

import pandas as pd

from provider._sync import LoopThread
from provider.options import CallOptions


class SyncTwins(ABC):
    """Each call runs on a loop of its own in a thread of its own. A base to inherit."""

    _sync: LoopThread
    _closed: bool

    @abstractmethod
    async def fetch(
        self, start: int, end: int, *, node_id: str, interval: int, **call: Unpack[CallOptions]
    ) -> pd.DataFrame:
        """Return the bars whose open time is in `[start, end)`."""

    @abstractmethod
    async def coverage(self, *, node_id: str, interval: int) -> list[tuple[int, int]]:
        """Return inclusive ranges (first bar, last bar) of what is covered."""

    @abstractmethod
    async def ensure_data_available(
        self, start: int, end: int, *, node_id: str, interval: int, **call: Unpack[CallOptions]
    ) -> bool:
        """Do what the strategy does; return whether all of `[start, end)` is there now."""

    @abstractmethod
    async def ensure_range(
        self, start: int, end: int, *, node_id: str, interval: int, **call: Unpack[CallOptions]
    ) -> None:
        """Return once the bars from `start` to `end`, both inclusive, are held."""

    @abstractmethod
    async def history(
        self,
        n_bars: int,
        *,
        node_id: str,
        interval: int,
        end: int | None = None,
        **call: Unpack[CallOptions],
    ) -> pd.DataFrame:
        """Return the last `n_bars` session bars."""

    @abstractmethod
    async def missing(
        self, start: int, end: int, *, node_id: str, interval: int
    ) -> list[tuple[int, int]]:
        """Return inclusive ranges of session bars that no source has."""

    @abstractmethod
    async def explain(
        self, start: int, end: int, *, node_id: str, interval: int, **call: Unpack[CallOptions]
    ) -> dict[str, Any]:
        """Return what `fetch` would do."""

    @abstractmethod
    async def _close(self) -> None:
        """Let go of connections."""

    def fetch_sync(
        self,
        start: int,
        end: int,
        *,
        node_id: str,
        interval: int,
        **call: Unpack[CallOptions],
    ) -> pd.DataFrame:
        """Return what `fetch` returns."""
        return self._sync.run(self.fetch(start, end, node_id=node_id, interval=interval, **call))

    def coverage_sync(self, *, node_id: str, interval: int) -> list[tuple[int, int]]:
        """Return what `coverage` returns."""
        return self._sync.run(self.coverage(node_id=node_id, interval=interval))

    def ensure_data_available_sync(
        self,
        start: int,
        end: int,
        *,
        node_id: str,
        interval: int,
        **call: Unpack[CallOptions],
    ) -> bool:
        """Return what `ensure_data_available` returns."""
        about: dict[str, Any] = {"node_id": node_id, "interval": interval, **call}
        return self._sync.run(self.ensure_data_available(start, end, **about))

    def ensure_range_sync(
        self,
        start: int,
        end: int,
        *,
        node_id: str,
        interval: int,
        **call: Unpack[CallOptions],
    ) -> None:
        """Do what `ensure_range` does."""
        self._sync.run(self.ensure_range(start, end, node_id=node_id, interval=interval, **call))

    def fill_missing_sync(
        self,
        start: int,
        end: int,
        *,
        node_id: str,
        interval: int,
        **call: Unpack[CallOptions],
    ) -> None:
        """Do what `fill_missing` does."""
        self._sync.run(self.ensure_range(start, end, node_id=node_id, interval=interval, **call))

    def history_sync(
        self,
        n_bars: int,
        *,
        node_id: str,
        interval: int,
        end: int | None = None,
        **call: Unpack[CallOptions],
    ) -> pd.DataFrame:
        """Return what `history` returns."""
        about: dict[str, Any] = {"node_id": node_id, "interval": interval, "end": end, **call}
        return self._sync.run(self.history(n_bars, **about))

    def latest_sync(
        self, *, node_id: str, interval: int, **call: Unpack[CallOptions]
    ) -> pd.DataFrame:
        """Return what `latest` returns."""
        return self._sync.run(self.history(1, node_id=node_id, interval=interval, **call))

    def missing_sync(
        self, start: int, end: int, *, node_id: str, interval: int
    ) -> list[tuple[int, int]]:
        """Return what `missing` returns."""
        return self._sync.run(self.missing(start, end, node_id=node_id, interval=interval))

    def explain_sync(
        self,
        start: int,
        end: int,
        *,
        node_id: str,
        interval: int,
        **call: Unpack[CallOptions],
    ) -> dict[str, Any]:
        """Return what `explain` returns."""
        return self._sync.run(self.explain(start, end, node_id=node_id, interval=interval, **call))

    def close_sync(self) -> None:
        """Do what `close` does."""
        if not self._closed:
            self._sync.run(self._close())
        self._sync.stop()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close_sync()
