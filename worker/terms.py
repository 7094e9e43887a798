"""The terms of each series and lane: configuration, and what its source says of it."""

from collections.abc import Mapping

from bars.series import Series
from bars.window import Window
from coordinator.client import SeriesLane
from runtime.settings import NodeSettings, Settings
from sources import Source
from worker.accept import TIME_MAX
from worker.plan import Terms


def terms_of(settings: Settings, node: NodeSettings, derived: Window | None) -> Terms:
    """Return the terms of a series.

    Args:
        settings: The configuration.
        node: The series in it.
        derived: When the source has bars of it; fills in what the configuration leaves open.
    """
    start, end = node.listed_start, node.listed_end
    if derived is not None:
        start = derived.start if start is None else start
        end = derived.end if end is None else end
    listed = None
    if start is not None or end is not None:
        first = start or 0
        listed = Window(first, max(first + 1, TIME_MAX if end is None else end))
    return Terms(
        series=node.series,
        grid=node.grid,
        calendar=settings.calendar(node),
        listed=listed,
        window_bars=settings.backfill.window_bars,
        settle_s=settings.backfill.settle_s,
    )


class TermsBook:
    """Terms as of the last plan, by series and lane; the sources by lane."""

    def __init__(self, settings: Settings, sources: Mapping[str, Source]) -> None:
        self._settings = settings
        self._sources = {source.lane: source for source in sources.values()}
        self._terms: dict[SeriesLane, Terms] = {}

    @property
    def served(self) -> frozenset[str]:
        """Names of the sources."""
        return frozenset(source.name for source in self._sources.values())

    def knows(self, target: SeriesLane) -> bool:
        """Return whether the configuration has the series and the lane's source."""
        return target.series in self._settings.nodes and target.lane in self._sources

    def source(self, target: SeriesLane) -> Source:
        """Return who has a lane's bars."""
        return self._sources[target.lane]

    async def learn(self, target: SeriesLane) -> Terms:
        """Return the terms, with what the source says now.

        Raises:
            SourceError: The source cannot say.
        """
        node = self._node(target.series)
        derived = None
        if node.listed_start is None or node.listed_end is None:
            derived = await self.source(target).listed(target.series)
        terms = terms_of(self._settings, node, derived)
        self._terms[target] = terms
        return terms

    async def known(self, target: SeriesLane) -> Terms:
        """Return the terms as they were learnt last.

        Raises:
            SourceError: They never were, and the source cannot say.
        """
        return self._terms.get(target) or await self.learn(target)

    def _node(self, series: Series) -> NodeSettings:
        return self._settings.node(series)
