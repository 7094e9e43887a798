"""The road itself: four requests at once, fetched, compared, and asked for again."""

import asyncio
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace

import pandas as pd
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
)

from avro_schemas import (
    BackfillRequest,
    BackfillStatus,
    ConformanceReport,
    RequestKind,
    RequestState,
)
from bars.series import Series
from bars.window import Window
from ops.demo.compare import differences
from ops.demo.data import WINDOW, Stock
from provider import BackfillRequests, EnhancedQuestDBProvider
from runtime import Deadline, Settings, SystemClock
from store import Store
from topics import Catalogue, Codec, Registry, Tail, bounds, read_to_end

_REPORTS_MAX = 10_000


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Journey:
    """What became of one series."""

    status: BackfillStatus
    """The end of its request."""

    request_s: float
    answer: pd.DataFrame
    fetch_s: float
    differences: tuple[str, ...]
    flags: Mapping[str, int]
    """Flagged by conformance, by severity."""

    windows: tuple[Window, ...]
    """What the ledger holds, one a chunk."""

    stored_bars: int
    listed: Window


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Outcome:
    """What became of all of them."""

    journeys: Mapping[Series, Journey]
    chunks_before: int
    """Chunks that were ever published, before all was asked for again."""

    chunks_after: int
    windows_again: int
    """Windows that the second requests had fetched."""

    again_s: float
    wrong: tuple[str, ...] = ()
    """Everything that is not as promised."""

    @property
    def differing(self) -> int:
        """How many bars differ from the source."""
        return sum(len(journey.differences) for journey in self.journeys.values())


class Road:
    """Walks four series from their source to a strategy."""

    def __init__(self, settings: Settings, stocks: Sequence[Stock], console: Console) -> None:
        self._settings = settings
        self._stocks = stocks
        self._console = console
        self._clock = SystemClock()
        self._requests = BackfillRequests(settings, self._clock)

    async def walk(self) -> Outcome:
        """Return what became of them."""
        try:
            asked = await self._ask("requested")
            answers = await self._fetch()
            before = await asyncio.to_thread(self._chunks)
            began_s = self._clock.monotonic()
            again = await self._ask("asked again")
            again_s = self._clock.monotonic() - began_s
            after = await asyncio.to_thread(self._chunks)
            flags = await self._flags()
        finally:
            await self._requests.close()
        journeys = {}
        for stock in self._stocks:
            status, request_s = asked[stock.series]
            answer, fetch_s = answers[stock.series]
            windows, bars = await asyncio.to_thread(self._ledger, stock.series)
            journeys[stock.series] = Journey(
                status=status,
                request_s=request_s,
                answer=answer,
                fetch_s=fetch_s,
                differences=tuple(differences(stock.bars, answer)),
                flags=flags.get(stock.series, {}),
                windows=windows,
                stored_bars=bars,
                listed=self._listed(stock.series),
            )
        outcome = Outcome(
            journeys=journeys,
            chunks_before=before,
            chunks_after=after,
            windows_again=sum(status.windows_total for status, _ in again.values()),
            again_s=again_s,
        )
        return _judged(outcome, again)

    async def _ask(self, what: str) -> dict[Series, tuple[BackfillStatus, float]]:
        """Ask for all series at once; return how each request ended and how long it took."""
        bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("windows"),
            TimeElapsedColumn(),
            console=self._console,
        )
        with bar:
            ended = await asyncio.gather(*(self._one(stock, what, bar) for stock in self._stocks))
        return {stock.series: end for stock, end in zip(self._stocks, ended, strict=True)}

    async def _one(self, stock: Stock, what: str, bar: Progress) -> tuple[BackfillStatus, float]:
        request = BackfillRequest(
            request_id=f"demo-{what.replace(' ', '-')}-{stock.symbol}",
            kind=RequestKind.SUBMIT,
            node_id=stock.series.node,
            interval=stock.series.interval,
            start=WINDOW.start,
            end=WINDOW.end,
            requested_by="seamless demo",
        )
        task = bar.add_task(f"{stock.symbol} {what}", total=None)
        deadline = Deadline.after(self._clock, self._settings.backfill.wait_timeout_s)
        status = await deadline.run(self._follow(request, bar, task), f"request {stock.symbol}")
        return status, deadline.elapsed_s()

    async def _follow(
        self, request: BackfillRequest, bar: Progress, task: TaskID
    ) -> BackfillStatus:
        async with aclosing(self._requests.submit(request)) as statuses:
            async for status in statuses:
                done = status.windows_done + status.windows_failed
                bar.update(task, total=status.windows_total, completed=done)
                if status.state.final:
                    return status
        raise AssertionError("the last status is final")

    async def _fetch(self) -> dict[Series, tuple[pd.DataFrame, float]]:
        async with EnhancedQuestDBProvider.from_settings(self._settings) as provider:

            async def fetch(series: Series) -> tuple[pd.DataFrame, float]:
                began_s = self._clock.monotonic()
                frame = await provider.fetch(
                    WINDOW.start, WINDOW.end, node_id=series.node, interval=series.interval
                )
                return frame, self._clock.monotonic() - began_s

            found = await asyncio.gather(*(fetch(stock.series) for stock in self._stocks))
        return {stock.series: each for stock, each in zip(self._stocks, found, strict=True)}

    async def _flags(self) -> dict[Series, Counter[str]]:
        """Return what conformance flagged, as an auditor would read it: from its reports."""
        topic = Catalogue.of(self._settings.kafka).reports
        tail = await asyncio.to_thread(Tail, self._settings.kafka, [topic.name], _REPORTS_MAX)
        registry = Registry(self._settings.registry)
        codec = Codec(registry, self._clock)
        found: dict[Series, Counter[str]] = {}
        try:
            batches = read_to_end(tail, self._clock)
            while (batch := await asyncio.to_thread(next, batches, None)) is not None:
                for message in batch:
                    report = await codec.decode(topic, message.value)
                    if isinstance(report, ConformanceReport):
                        series = Series(report.node_id, report.interval)
                        found.setdefault(series, Counter()).update(
                            flag.severity for flag in report.flags
                        )
        finally:
            await asyncio.to_thread(tail.close)
            await registry.close()
        return found

    def _chunks(self) -> int:
        """Return how many chunks were ever published."""
        topic = Catalogue.of(self._settings.kafka).chunks.name
        return sum(bound.end for bound in bounds(self._settings.kafka, [topic]).values())

    def _ledger(self, series: Series) -> tuple[tuple[Window, ...], int]:
        with Store(self._settings.store) as store:
            entries = store.ledger.entries(series)
        return tuple(entry.window for entry in entries), sum(entry.bars for entry in entries)

    def _listed(self, series: Series) -> Window:
        node = self._settings.node(series)
        return Window(node.listed_start or WINDOW.start, WINDOW.end)


def _judged(outcome: Outcome, again: Mapping[Series, tuple[BackfillStatus, float]]) -> Outcome:
    """Return the outcome with everything named that is not as promised."""
    wrong = []
    for series, journey in outcome.journeys.items():
        if journey.status.state is not RequestState.DONE:
            wrong.append(f"{series}: {journey.status.state.value}: {journey.status.message}")
        wrong += [f"{series}: {difference}" for difference in journey.differences]
        state = again[series][0].state
        if state is not RequestState.DONE:
            wrong.append(f"{series}: asked again, the request was {state.value}")
    new = outcome.chunks_after - outcome.chunks_before
    if new or outcome.windows_again:
        wrong.append(f"asked again: {new} chunks and {outcome.windows_again} windows were fetched")
    return replace(outcome, wrong=tuple(wrong))
