"""Brings missing bars without Kafka: fetched, judged, written and entered here, in this process."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias, TypeVar

import pandas as pd

from avro_schemas import WindowFailure
from bars.conformance import ConformancePipeline, ConformanceResult, Context, withdraw
from bars.frame import BarFrame, inside_any
from bars.series import Series, backfill_lane
from bars.versions import Versions
from bars.window import Window
from provider._ask import Ask
from provider._filled import Brought, Filled, Progress
from provider._retry import Asking
from provider.storage import NewRecord, Storage
from runtime.log import logger
from sources import bars_of
from store import StoreOwnedError

K = TypeVar("K")
T = TypeVar("T")

BATCH_WINDOWS = 64
"""Windows that are fetched before they are stored in one go."""

Fetch: TypeAlias = Callable[[Series, Window], Awaitable[pd.DataFrame]]
"""Asks a source for the bars of a window."""

log = logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class FillConfig:
    """How a source is asked and what its answers become."""

    asking: Asking
    """Retries, and how many at a time."""

    source: str = "fetcher"
    """Name of the source; its lane is `bf:<source>`."""

    empty_confirmed: bool = False
    """Whether an answer without bars proves that there are none."""

    pipeline: ConformancePipeline = field(default_factory=ConformancePipeline)
    """Judges each answer; only BLOCK keeps one out of the store."""


class Gauge:
    """Turns windows that are done into a share that never falls."""

    def __init__(self, windows: int, progress: Progress) -> None:
        self._windows = max(1, windows)
        self._progress = progress
        self._done = 0

    def step(self) -> None:
        """One more is done."""
        self._done += 1
        self._progress(self._done / self._windows)


class DirectFiller:
    """Asks a source itself and writes what it answers into a store of its own."""

    def __init__(self, storage: Storage, fetch: Fetch, config: FillConfig) -> None:
        self._storage = storage
        self._fetch = fetch
        self._config = config
        self._lane = backfill_lane(config.source)
        self._known = 0

    def goes_on(self, ask: Ask) -> bool:
        """Return False: it ends with the last who waits."""
        del ask
        return False

    def pieces(self, ask: Ask, gaps: tuple[Window, ...]) -> tuple[Window, ...]:
        """Return the windows that the gaps would be fetched in."""
        return tuple(cut(ask, gaps, (), self._config.asking.config.window_bars))

    async def fill(self, ask: Ask, gaps: tuple[Window, ...], progress: Progress) -> Filled:
        """Return once every gap is in the ledger or has finally failed."""
        held, unstored = await self._prepared(ask, Window(gaps[0].start, gaps[-1].end))
        windows = tuple(cut(ask, gaps, held, self._config.asking.config.window_bars))
        gauge = Gauge(len(windows), progress)
        parts = [Filled(request_id=ask.request_id, unstored=unstored)]
        for i in range(0, len(windows), BATCH_WINDOWS):
            some = windows[i : i + BATCH_WINDOWS]
            parts.append(await self.bring(ask, some, gauge.step, store=unstored is None))
        return Filled.of(parts)

    async def close(self) -> None:
        """Nothing is held between calls."""

    async def bring(
        self,
        ask: Ask,
        windows: Sequence[Window],
        step: Callable[[], None],
        *,
        store: bool = True,
        tokens: Mapping[Window, int] | None = None,
    ) -> Filled:
        """Fetch, judge and store some windows.

        Args:
            ask: The call it is for.
            windows: Ascending and disjoint.
            step: Called when a window has been asked for.
            store: Whether to store what is right.
            tokens: Fencing tokens of the leases that the windows are fetched under.
        """
        answers = await gather({w: self._ask_source(ask.series, w, step) for w in windows})
        hull = Window(windows[0].start, windows[-1].end)
        stored, known, unstored = await self._standing(ask.series, hull, store=store)
        failures, records = [], []
        for window, answer in answers.items():
            judged = answer
            if isinstance(answer, BarFrame):
                judged = self._judge(ask, window, answer, stored)
            if isinstance(judged, WindowFailure):
                failures.append(judged)
            else:
                token = (tokens or {}).get(window, 0)
                record = NewRecord(ask.series, self._lane, window, known, judged, token)
                records.append(record)
        if store and unstored is None:
            unstored = await self._stored(records)
        reason = f"source {self._config.source} could not bring them" if failures else ""
        keep = unstored is not None or not store
        brought = tuple(Brought(r.window, r.bars) for r in records) if keep else ()
        return Filled(failures=tuple(failures), reason=reason, brought=brought, unstored=unstored)

    async def _prepared(
        self, ask: Ask, hull: Window
    ) -> tuple[tuple[Window, ...], Exception | None]:
        """Return what is covered by now, and why nothing can be stored, if that may be so."""
        try:
            await self._storage.prepare(ask.series)
            # Another call, or another process, may have brought them since the caller looked.
            return (await self._storage.ledger(ask.series, hull)).covered(), None
        except StoreOwnedError:
            raise
        except Exception as e:  # noqa: BLE001  a storage may be anybody's code
            return (), self._told(e)

    async def _standing(
        self, series: Series, hull: Window, *, store: bool
    ) -> tuple[Versions, int, Exception | None]:
        """Return what is stored, a `known` above all of it, and why neither can be had."""
        if store:
            try:
                stored = await self._storage.newest(series, hull)
                return stored, await self._next_known(series, stored), None
            except Exception as e:  # noqa: BLE001  as above
                return Versions.empty(), 1, self._told(e)
        return Versions.empty(), 1, None

    async def _stored(self, records: Sequence[NewRecord]) -> Exception | None:
        try:
            await self._storage.add(records)
        except StoreOwnedError:
            raise
        except Exception as e:  # noqa: BLE001  as above
            return self._told(e)
        return None

    def _told(self, error: Exception) -> Exception:
        log.warning("not_stored", source=self._config.source, error=str(error))
        return error

    async def _next_known(self, series: Series, stored: Versions) -> int:
        """Return a `known` above every one of the series: clocks step back, versions never do."""
        own = stored.known[stored.lane == self._lane]
        last = max(await self._storage.highest_known(series), int(own.max()) if own.size else 0)
        # Two fetches at a time must not share one: (ts, lane, known) names a version.
        self._known = max(self._config.asking.clock.wall_us(), last + 1, self._known + 1)
        return self._known

    def _judge(
        self, ask: Ask, window: Window, bars: BarFrame, stored: Versions
    ) -> BarFrame | WindowFailure:
        """Return the rows to store, or why there are none."""
        if not len(bars) and not self._config.empty_confirmed:
            return unproved(window, self._config.source)
        result = self._config.pipeline.run(
            bars,
            Context(
                series=ask.series,
                grid=ask.grid,
                window=window,
                listed=ask.listed,
                calendar=ask.calendar,
                lane=self._lane,
                ranks=self._storage.ranks,
                stored=stored.take(inside_any(stored.bars.ts, (window,))),
            ),
        )
        if not result.passed:
            return blocked(window, result)
        return withdraw(bars, result.withdrawn)

    async def _ask_source(
        self, series: Series, window: Window, step: Callable[[], None]
    ) -> BarFrame | WindowFailure:
        async def question() -> BarFrame:
            return bars_of(await self._fetch(series, window), self._config.source)

        try:
            return await self._config.asking.ask(question)
        except Exception as e:  # noqa: BLE001  a fetcher is anybody's code; told as a failure
            return failed(window, e)
        finally:
            step()


def cut(
    ask: Ask, gaps: Sequence[Window], held: Sequence[Window], window_bars: int
) -> Iterator[Window]:
    """Yield what to ask for: of one window's size at most, none without a session bar."""
    for gap in gaps:
        for piece in ask.grid.split(gap, window_bars):
            session = ask.calendar.session_bars(ask.grid, piece)
            wanted = session[~inside_any(session, held)]
            if wanted.size:
                yield Window(int(wanted[0]), int(wanted[-1]) + ask.grid.interval)


async def gather(work: Mapping[K, Awaitable[T]]) -> dict[K, T]:
    """Return what each returns; when one raises, or the caller is cancelled, all end."""

    async def run(one: Awaitable[T]) -> T:
        return await one

    async with asyncio.TaskGroup() as group:
        tasks = {key: group.create_task(run(one)) for key, one in work.items()}
    return {key: task.result() for key, task in tasks.items()}


def failed(window: Window, error: Exception, error_class: str = "source") -> WindowFailure:
    """Return the failure that an error makes of a window."""
    return _failure(window, error_class, f"{type(error).__name__}: {error}")


def unproved(window: Window, source: str) -> WindowFailure:
    """Return the failure of a window without bars, whose source cannot prove that."""
    return _failure(
        window,
        "empty",
        f"source {source} answered no bars, which is no proof that there are none "
        "(empty_confirmed)",
    )


def blocked(window: Window, result: ConformanceResult) -> WindowFailure:
    """Return the failure of a window whose bars are wrong."""
    told = "; ".join(f"{f.check}: {f.message}" for f in result.blocking)
    return _failure(window, "blocked", told)


def _failure(window: Window, error_class: str, message: str) -> WindowFailure:
    return WindowFailure(
        start=window.start, end=window.end, error_class=error_class, message=message
    )
