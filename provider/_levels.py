"""Sources as a read sees them: what each holds of a window, and getting it."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from bars.frame import BarFrame
from bars.history_coverage import CoverageRange, to_windows
from bars.protocols import DataSource, DataSourcePriority
from bars.window import Window, intersect, merge
from provider._ask import Ask
from provider._join import reconcile
from provider._ledger import LedgerView
from provider.cache import BarCache, ranks_hash
from provider.storage import Storage

STORAGE_NAME = "storage"
"""What the place that bars are brought to is called."""


@dataclass(frozen=True, slots=True, eq=False)
class Held:
    """What a level has of the asked window."""

    level: "Level"
    windows: tuple[Window, ...]
    view: LedgerView | None = None
    """The ledger that says so; None where there is none, or it could not be asked."""

    down: bool = False
    """Whether the level itself cannot be read, and only its caches are left."""


class Level(Protocol):
    """One source, with the caches that stand before it."""

    @property
    def name(self) -> str:
        """What it is called in metadata, logs and metrics."""
        ...

    @property
    def versioned(self) -> bool:
        """Whether it keeps versions, and a ledger that proves coverage."""
        ...

    @property
    def priority(self) -> int:
        """Which is asked first: the lowest."""
        ...

    @property
    def caches(self) -> Sequence[BarCache]:
        """What stands before it, asked first."""
        ...

    @property
    def tag(self) -> str:
        """What its bars are kept under in caches."""
        ...

    async def look(self, ask: Ask) -> Held:
        """Return what it has of the asked window."""
        ...

    async def everything(self, ask: Ask) -> tuple[Window, ...]:
        """Return what it has of the series."""
        ...

    async def read(self, ask: Ask, window: Window) -> BarFrame:
        """Return its bars inside a window, ascending, each once."""
        ...

    async def close(self) -> None:
        """Let go of everything; harmless when repeated."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class VersionedLevel:
    """A storage with a ledger."""

    storage: Storage
    name: str = STORAGE_NAME
    caches: Sequence[BarCache] = ()
    versioned: bool = True
    priority: int = int(DataSourcePriority.STORAGE)

    @property
    def tag(self) -> str:
        """The ranks that choose its winners."""
        return ranks_hash(self.storage.ranks)

    async def look(self, ask: Ask) -> Held:
        """Return what the ledger covers of the asked window."""
        view = await self.storage.ledger(ask.series, ask.window)
        return Held(self, view.covered(ask.window), view)

    async def everything(self, ask: Ask) -> tuple[Window, ...]:
        """Return what the ledger covers of the series."""
        return (await self.storage.ledger(ask.series)).covered()

    async def read(self, ask: Ask, window: Window) -> BarFrame:
        """Return the winners inside a window."""
        return await self.storage.winners(ask.series, window)

    async def close(self) -> None:
        """Let go of the storage and its caches."""
        await self.storage.close()
        for cache in self.caches:
            await cache.close()


@dataclass(frozen=True, slots=True, eq=False)
class PlainLevel:
    """Any `DataSource`: what it says that it covers is believed."""

    source: DataSource
    name: str
    caches: Sequence[BarCache] = ()
    versioned: bool = False
    dropped: set[str] = field(default_factory=set)
    """Columns that were left out of its frames."""

    @property
    def priority(self) -> int:
        """Which is asked first: the lowest."""
        return int(self.source.priority)

    @property
    def tag(self) -> str:
        """Its own name: there are no ranks."""
        return ranks_hash({}, self.name)

    async def look(self, ask: Ask) -> Held:
        """Return what it says that it covers of the asked window."""
        return Held(self, intersect(await self.everything(ask), (ask.window,)))

    async def everything(self, ask: Ask) -> tuple[Window, ...]:
        """Return what it says that it covers of the series."""
        found = await self.source.coverage(node_id=ask.series.node, interval=ask.series.interval)
        ranges = (CoverageRange(int(first), int(last)) for first, last in found)
        return to_windows(ranges, ask.series.interval)

    async def read(self, ask: Ask, window: Window) -> BarFrame:
        """Return its bars inside a window, whatever it answered besides."""
        frame = await self.source.fetch(
            window.start, window.end, node_id=ask.series.node, interval=ask.series.interval
        )
        bars, dropped = reconcile(frame, self.name)
        self.dropped.update(dropped)
        return bars.inside(window)

    async def close(self) -> None:
        """Let go of what was given to be closed."""
        close = getattr(self.source, "close", None)
        if close is not None:
            await close()
        for cache in self.caches:
            await cache.close()


def groups(windows: Sequence[Window], span_max: int) -> tuple[Window, ...]:
    """Return fewer windows that hold these: what is less than `span_max` apart is read at once."""
    found: list[Window] = []
    for window in merge(windows):
        if found and window.start - found[-1].end <= span_max:
            found[-1] = Window(found[-1].start, window.end)
        else:
            found.append(window)
    return tuple(found)
