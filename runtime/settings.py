"""Everything a person may set, in one value, and the file it is read from."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from bars.errors import InvalidValueError
from bars.series import ROLL, Series, backfill_lane
from runtime import _kinds as k
from runtime._section import Section, setting
from runtime.errors import Problem
from runtime.sections import (
    BackfillSettings,
    CalendarSettings,
    ConformanceSettings,
    KafkaSettings,
    MaterializeSettings,
    NodeSettings,
    RegistrySettings,
    SourceSettings,
    StoreSettings,
)

__all__ = [
    "BackfillSettings",
    "CalendarSettings",
    "ConformanceSettings",
    "KafkaSettings",
    "MaterializeSettings",
    "NodeSettings",
    "RegistrySettings",
    "Settings",
    "SourceSettings",
    "StoreSettings",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings(Section):
    """All of it."""

    kafka: KafkaSettings = field(default_factory=KafkaSettings)
    registry: RegistrySettings = field(default_factory=RegistrySettings)
    store: StoreSettings = field(default_factory=StoreSettings)
    backfill: BackfillSettings = field(default_factory=BackfillSettings)
    materialize: MaterializeSettings = field(default_factory=MaterializeSettings)
    conformance: ConformanceSettings = field(default_factory=ConformanceSettings)

    sources: Mapping[str, SourceSettings] = field(default_factory=dict)
    """By name; their order is the order of preference unless `ranks` says otherwise."""

    calendars: Mapping[str, CalendarSettings] = field(default_factory=dict)
    """By name."""

    nodes: Mapping[Series, NodeSettings] = field(default_factory=dict)
    """By series."""

    ranks: Mapping[str, int] = setting(k.table(k.lane(), k.integer(-1_000_000, 1_000_000)), {})
    """Rank of each lane, the higher one wins. Left out: the sources in their order, then `roll`."""

    state_dir: Path = field(
        default_factory=lambda: Path("~/.seamless").expanduser(), metadata={"kind": k.path()}
    )
    """Where processes of this machine keep what they have to remember."""

    base: Path = field(default_factory=Path)
    """Folder that relative paths mean."""

    def __post_init__(self) -> None:
        if not self.ranks:
            lanes = [*(backfill_lane(name) for name in self.sources), ROLL]
            ranks = {lane: len(lanes) - 1 - i for i, lane in enumerate(lanes)}
            object.__setattr__(self, "ranks", ranks)
        Section.__post_init__(self)

    def relations(self) -> Iterator[Problem]:
        """Yield names that nothing has, and ranks that two lanes share."""
        for series, node in self.nodes.items():
            for name in node.sources:
                if name not in self.sources:
                    allowed = f"names from sources: {', '.join(self.sources) or 'there are none'}"
                    yield Problem(f"nodes.{series.node}.sources", name, allowed)
        for lane, rank in self.ranks.items():
            if list(self.ranks.values()).count(rank) > 1:
                yield Problem(f"ranks.{lane}", rank, "a number that no other lane has")

    def node(self, series: Series) -> NodeSettings:
        """Return the settings of a series.

        Raises:
            InvalidValueError: The configuration does not list it.
        """
        if series not in self.nodes:
            known = ", ".join(map(str, self.nodes)) or "there are none"
            raise InvalidValueError("series", str(series), f"one that is configured: {known}")
        return self.nodes[series]
