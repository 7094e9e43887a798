"""Brings missing bars where the storage keeps no versions: QMTL's sources and backfillers."""

from typing import Any

from avro_schemas import WindowFailure
from bars.conformance import Context
from bars.frame import BarFrame
from bars.protocols import AutoBackfiller, DataSource
from bars.window import Window
from provider._ask import Ask
from provider._fill import BATCH_WINDOWS, FillConfig, Gauge, blocked, cut, failed, gather, unproved
from provider._filled import Brought, Filled, Progress
from provider.backfillers import FillsMissing
from sources import SourceError, bars_of


class SourceFiller:
    """Has a backfiller bring bars into a plain storage, if there is one; storage first."""

    def __init__(
        self,
        backfiller: AutoBackfiller | None,
        storage: DataSource | None,
        config: FillConfig,
    ) -> None:
        """Make a filler.

        Args:
            backfiller: Gets the bars; None: the storage does, which can `fill_missing`.
            storage: Where they go; None: nowhere, the answer has them.
            config: How it is asked.
        """
        self._backfiller = backfiller
        self._storage = storage
        self._config = config

    def goes_on(self, ask: Ask) -> bool:
        """Return False: it ends with the last who waits."""
        del ask
        return False

    def pieces(self, ask: Ask, gaps: tuple[Window, ...]) -> tuple[Window, ...]:
        """Return the windows that the gaps would be fetched in."""
        return tuple(cut(ask, gaps, (), self._config.asking.config.window_bars))

    async def fill(self, ask: Ask, gaps: tuple[Window, ...], progress: Progress) -> Filled:
        """Return once every gap has been brought or has finally failed."""
        windows = self.pieces(ask, gaps)
        gauge = Gauge(len(windows), progress)
        failures: list[WindowFailure] = []
        brought: list[Brought] = []
        for i in range(0, len(windows), BATCH_WINDOWS):
            some = windows[i : i + BATCH_WINDOWS]
            answers = await gather({w: self._bring(ask, w, gauge) for w in some})
            for window, answer in answers.items():
                if isinstance(answer, WindowFailure):
                    failures.append(answer)
                else:
                    brought.append(Brought(window, answer))
        reason = f"source {self._config.source} could not bring them" if failures else ""
        return Filled(
            failures=tuple(failures),
            reason=reason,
            brought=tuple(brought),
            request_id=ask.request_id,
        )

    async def close(self) -> None:
        """Nothing is held between calls."""

    async def _bring(self, ask: Ask, window: Window, gauge: Gauge) -> BarFrame | WindowFailure:
        async def question() -> BarFrame:
            return await self._question(ask, window)

        try:
            bars = await self._config.asking.ask(question)
        except Exception as e:  # noqa: BLE001  a backfiller is anybody's code; told as a failure
            return failed(window, e)
        finally:
            gauge.step()
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
            ),
        )
        return bars if result.passed else blocked(window, result)

    async def _question(self, ask: Ask, window: Window) -> BarFrame:
        about: Any = {"node_id": ask.series.node, "interval": ask.series.interval}
        storage: object = self._storage
        if self._backfiller is None:
            if self._storage is None or not isinstance(storage, FillsMissing):
                raise SourceError(self._config.source, "nobody brings bars")
            last = window.end - ask.series.interval
            await storage.fill_missing(window.start, last, **about)
            frame = await self._storage.fetch(window.start, window.end, **about)
        elif not await self._backfiller.can_backfill(window.start, window.end, **about):
            raise SourceError(self._config.source, f"cannot backfill {window} now")
        else:
            frame = await self._backfiller.backfill(
                window.start, window.end, **about, target_storage=self._storage
            )
        return bars_of(frame, self._config.source)
