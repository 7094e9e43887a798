"""Everything a person may set, in one value, and the file it is read from."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType

from bars.calendars import AlwaysOpen, Calendar, Exchange, Weekly
from bars.errors import InvalidValueError
from bars.series import ROLL, Series, backfill_lane
from runtime import _kinds as k
from runtime._reader import ALWAYS_OPEN, Named, Reader, unknown_names
from runtime._section import Section, Word, setting
from runtime._yaml import parse_yaml
from runtime.coordinator import CoordinatorSettings
from runtime.errors import ConfigError, Problem
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
from runtime.service import ProviderSettings

__all__ = [
    "BackfillSettings",
    "CalendarSettings",
    "ConformanceSettings",
    "CoordinatorSettings",
    "KafkaSettings",
    "MaterializeSettings",
    "NodeSettings",
    "RegistrySettings",
    "Settings",
    "SourceSettings",
    "StoreSettings",
]

_NOTHING: Mapping[str, str] = MappingProxyType({})


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings(Section):
    """All of it."""

    kafka: KafkaSettings = field(default_factory=KafkaSettings)
    registry: RegistrySettings = field(default_factory=RegistrySettings)
    store: StoreSettings = field(default_factory=StoreSettings)
    backfill: BackfillSettings = field(default_factory=BackfillSettings)
    materialize: MaterializeSettings = field(default_factory=MaterializeSettings)
    conformance: ConformanceSettings = field(default_factory=ConformanceSettings)
    coordinator: CoordinatorSettings = field(default_factory=CoordinatorSettings)

    has_coordinator: bool = False
    """Whether there is a section `coordinator`: leases come from that service then. Without one
    the only fetch worker keeps them by itself."""
    seamless_data_provider: ProviderSettings = field(default_factory=ProviderSettings)

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
        named = [
            Named(f"nodes.{node.series.node}", node.sources, node.calendar)
            for node in self.nodes.values()
        ]
        yield from unknown_names(named, self.sources, self.calendars)
        for lane, rank in self.ranks.items():
            if list(self.ranks.values()).count(rank) > 1:
                yield Problem(f"ranks.{lane}", rank, "a number that no other lane has")

    @classmethod
    def load(cls, path: Path, environ: Mapping[str, str] = _NOTHING) -> "Settings":
        """Return what a YAML file says, with the overrides of an environment.

        `SEAMLESS_<SECTION>_<KEY>` overrides a key of kafka, registry, store, backfill,
        materialize, conformance or coordinator, `SEAMLESS_DATA_PROVIDER_<KEY>` one of
        seamless_data_provider, `SEAMLESS_STATE_DIR` the state folder. Relative paths in the file
        are relative to its folder.

        Raises:
            ConfigError: Something is wrong; the message names all of it.
        """
        try:
            text = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as e:
            found = Word(getattr(e, "strerror", None) or "not UTF-8")
            raise ConfigError([Problem(str(path), found, "a file that can be read")]) from None
        return cls._made(parse_yaml(text, str(path)), path.absolute().parent, environ, str(path))

    @classmethod
    def from_mapping(
        cls, mapping: Mapping[str, object], base: Path, environ: Mapping[str, str] = _NOTHING
    ) -> "Settings":
        """Return what a mapping of the same shape as the file says.

        Args:
            mapping: What the YAML file would hold.
            base: Folder that relative paths mean.
            environ: Overrides, as in `load`.

        Raises:
            ConfigError: Something is wrong; the message names all of it.
        """
        return cls._made(mapping, base, environ, "")

    @classmethod
    def _made(cls, raw: object, base: Path, environ: Mapping[str, str], where: str) -> "Settings":
        reader = Reader(base)
        values = reader.read(raw, environ)
        if reader.problems:
            raise ConfigError(reader.problems, where)
        try:
            return cls(**values, base=base)
        except ConfigError as e:
            raise ConfigError(e.problems, where) from None

    def node(self, series: Series) -> NodeSettings:
        """Return the settings of a series.

        Raises:
            InvalidValueError: The configuration does not list it.
        """
        if series not in self.nodes:
            known = ", ".join(map(str, self.nodes)) or "there are none"
            raise InvalidValueError("series", str(series), f"one that is configured: {known}")
        return self.nodes[series]

    def calendar(self, node: NodeSettings) -> Calendar:
        """Return the calendar of a node: a named one, `24/7` or an exchange."""
        chosen = self.calendars.get(node.calendar)
        if chosen is None:
            return AlwaysOpen() if node.calendar == ALWAYS_OPEN else Exchange(node.calendar)
        if chosen.code is not None:
            return Exchange(chosen.code, chosen.bars)
        if chosen.open is not None and chosen.close is not None:
            return Weekly(chosen.name, chosen.timezone, chosen.open, chosen.close, chosen.bars)
        return AlwaysOpen(chosen.name)
