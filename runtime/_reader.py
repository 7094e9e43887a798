"""From what a configuration file says to `Settings`: everything wrong is told at once, by path."""

import difflib
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import MISSING as NO_DEFAULT
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any, TypeVar

from bars.calendars import exchange_codes
from bars.errors import InvalidValueError
from bars.series import Series
from runtime import _kinds as k
from runtime._section import MISSING, Section, kind_of, shown
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
from runtime.service import BackfillConfig, ProviderSettings, SLAPolicy

S = TypeVar("S", bound=Section)

ALWAYS_OPEN = "24/7"
ENVIRONMENT_PREFIX = "SEAMLESS_"

PLAIN_SECTIONS: Mapping[str, type[Section]] = {
    "kafka": KafkaSettings,
    "registry": RegistrySettings,
    "store": StoreSettings,
    "backfill": BackfillSettings,
    "materialize": MaterializeSettings,
    "conformance": ConformanceSettings,
    "coordinator": CoordinatorSettings,
}
"""Groups whose keys are the fields of one class; the environment may override these."""

PROVIDER = "seamless_data_provider"
PROVIDER_VARIABLE = "data_provider_"
"""What variables of that section have after `SEAMLESS_`: the prefix is the first half of it."""

PROVIDER_PARTS: Mapping[str, type[Section]] = {
    "backfill_config": BackfillConfig,
    "sla": SLAPolicy,
    "conformance": ConformanceSettings,
}
"""Groups inside that section."""


@dataclass(frozen=True, slots=True)
class _Spec:
    """What a key may be."""

    kind: k.Kind[Any]
    required: bool = False
    secret: bool = False


def _specs(cls: type[Section], without: Iterable[str] = ()) -> dict[str, _Spec]:
    found = {}
    for each in fields(cls):  # type: ignore[arg-type]
        kind = kind_of(each)
        if kind is not None and each.name not in without:
            free = each.default is NO_DEFAULT and each.default_factory is NO_DEFAULT
            found[each.name] = _Spec(kind, free, bool(each.metadata.get("secret")))
    return found


_LISTED = k.table(k.choice("start", "end"), k.optional(k.time()))
_NODE = _specs(NodeSettings, without=("listed_start", "listed_end")) | {
    "interval": _Spec(k.interval(), required=True),
    "listed": _Spec(k.optional(_LISTED)),
}
_TOP = {
    **dict.fromkeys(
        (*PLAIN_SECTIONS, PROVIDER, "sources", "calendars", "nodes"), _Spec(k.anything())
    ),
    "ranks": _Spec(k.table(k.lane(), k.integer(-1_000_000, 1_000_000))),
    "state_dir": _Spec(k.path()),
}


@dataclass(slots=True)
class Reader:
    """Reads one configuration; what is wrong gathers in `problems`."""

    base: Path
    problems: list[Problem] = field(default_factory=list)
    named: list["Named"] = field(default_factory=list)

    def read(self, raw: object, environ: Mapping[str, str]) -> dict[str, Any]:
        """Return the arguments for `Settings`, as far as they are right."""
        top = self._mapping(raw, "file")
        origins = self._override(top, environ)
        found = self._values(_TOP, top, "")
        values: dict[str, Any] = {name: found[name] for name in ("ranks",) if name in found}
        if "state_dir" in found:
            values["state_dir"] = self._resolved(found["state_dir"])
        for name, cls in PLAIN_SECTIONS.items():
            section = self._section(cls, found.get(name), name)
            values[name] = None if section is None else self._with_paths(section)
        values["has_coordinator"] = "coordinator" in found
        values[PROVIDER] = self._provider(found.get(PROVIDER))
        values["sources"] = self._each(found, "sources", self._source)
        values["calendars"] = self._each(found, "calendars", self._calendar)
        nodes = self._each(found, "nodes", self._node)
        values["nodes"] = {node.series: node for node in nodes.values()}
        self.problems += unknown_names(
            self.named, _names(found.get("sources")), _names(found.get("calendars"))
        )
        self.problems = [replace(p, origin=origins.get(p.key, "")) for p in self.problems]
        return values

    def _mapping(self, raw: object, path: str) -> dict[str, Any]:
        if raw is None:
            return {}
        if not isinstance(raw, Mapping):
            self.problems.append(Problem(path, raw, "a mapping"))
            return {}
        odd = [key for key in raw if not isinstance(key, str)]
        self.problems += [Problem(f"{path}.{key}", key, "a key in quotes") for key in odd]
        return {key: value for key, value in raw.items() if isinstance(key, str)}

    def _override(self, top: dict[str, Any], environ: Mapping[str, str]) -> dict[str, str]:
        """Put what the environment says over the file; return where each key came from."""
        origins = {}
        for variable in sorted(environ):
            name = variable.removeprefix(ENVIRONMENT_PREFIX).lower()
            if name == variable.lower():
                continue
            section, _, key = name.partition("_")
            if name == "state_dir":
                at, top[name] = name, k.path().from_text(environ[variable])
            elif name.startswith(PROVIDER_VARIABLE):
                key = name.removeprefix(PROVIDER_VARIABLE)
                at = f"{PROVIDER}.{self._override_provider(top, key, environ[variable])}"
            elif section in PLAIN_SECTIONS:
                at = f"{section}.{key}"
                inner = top.get(section)
                if inner is None or isinstance(inner, Mapping):
                    top[section] = _overridden(section, key, dict(inner or {}), environ[variable])
            else:
                continue
            origins[at] = f"from {variable}"
        return origins

    def _override_provider(self, top: dict[str, Any], key: str, value: str) -> str:
        """Put one variable over the provider's section; return the path of its key there."""
        given = top.get(PROVIDER) or {}
        part = next((name for name in PROVIDER_PARTS if key.startswith(f"{name}_")), None)
        if not isinstance(given, Mapping):
            return key
        if part is None:
            spec = _specs(ProviderSettings).get(key)
            top[PROVIDER] = {**given, key: value if spec is None else spec.kind.from_text(value)}
            return key
        inner, own = given.get(part) or {}, key.removeprefix(f"{part}_")
        if isinstance(inner, Mapping):
            spec = _specs(PROVIDER_PARTS[part]).get(own)
            text = value if spec is None else spec.kind.from_text(value)
            top[PROVIDER] = {**given, part: {**inner, own: text}}
        return f"{part}.{own}"

    def _provider(self, raw: object) -> ProviderSettings | None:
        before = len(self.problems)
        given = self._mapping(raw, PROVIDER)
        parts = {
            name: self._section(cls, given[name], f"{PROVIDER}.{name}")
            for name, cls in PROVIDER_PARTS.items()
            if given.get(name) is not None
        }
        specs = _specs(ProviderSettings) | dict.fromkeys(PROVIDER_PARTS, _Spec(k.anything()))
        values = self._values(specs, given, PROVIDER)
        own = {name: value for name, value in values.items() if name not in PROVIDER_PARTS}
        return self._made(ProviderSettings, PROVIDER, before, own | parts)

    def _values(self, specs: Mapping[str, _Spec], raw: object, path: str) -> dict[str, Any]:
        """Return the keys that are there and right."""
        given = self._mapping(raw, path)
        found: dict[str, Any] = {}
        for key, value in given.items():
            at = f"{path}.{key}".lstrip(".")
            if key not in specs:
                self.problems.append(Problem(at, key, _known(key, specs), unknown=True))
                continue
            try:
                found[key] = specs[key].kind.read(value)
            except k.RefusedError as e:
                wrong = shown(e.found, secret=specs[key].secret)
                self.problems.append(Problem(f"{at}.{e.key}".rstrip("."), wrong, e.allowed))
        for key, spec in specs.items():
            if spec.required and key not in given:
                self.problems.append(Problem(f"{path}.{key}", MISSING, spec.kind.allowed))
        return found

    def _section(self, cls: type[S], raw: object, path: str, **given: Any) -> S | None:
        before = len(self.problems)
        values = self._values(_specs(cls, without=given), raw, path)
        return self._made(cls, path, before, values | given)

    def _made(self, cls: type[S], path: str, before: int, values: Mapping[str, Any]) -> S | None:
        if len(self.problems) > before:
            return None
        try:
            return cls(**values)
        except ConfigError as e:
            self.problems += [replace(p, key=f"{path}.{p.key}") for p in e.problems]
            return None

    def _each(
        self, found: Mapping[str, Any], group: str, make: Callable[[str, str, object], S | None]
    ) -> dict[str, S]:
        made = {}
        for name, raw in self._mapping(found.get(group), group).items():
            one = make(name, f"{group}.{name}", raw)
            if one is not None:
                made[name] = one
        return made

    def _source(self, name: str, path: str, raw: object) -> SourceSettings | None:
        try:
            k.source_name().read(name)
        except k.RefusedError as e:
            self.problems.append(Problem(path, name, f"a name of {e.allowed}"))
            return None
        source = self._section(SourceSettings, raw, path, name=name)
        return None if source is None else self._with_paths(source)

    def _calendar(self, name: str, path: str, raw: object) -> CalendarSettings | None:
        return self._section(CalendarSettings, raw, path, name=name)

    def _node(self, name: str, path: str, raw: object) -> NodeSettings | None:
        before = len(self.problems)
        values = self._values(_NODE, raw, path)
        listed = values.pop("listed", None) or {}
        self.named.append(Named(path, values.get("sources", ()), values.get("calendar")))
        try:
            series = Series(name, values.pop("interval", 1))
        except InvalidValueError as e:
            self.problems.append(Problem(path, name, f"a node: {e.allowed}"))
            return None
        bounds = {f"listed_{end}": ts for end, ts in listed.items()}
        return self._made(NodeSettings, path, before, {"series": series, **bounds, **values})

    def _with_paths(self, section: S) -> S:
        """Return a section whose paths are no longer relative."""
        values = {each.name: getattr(section, each.name) for each in fields(section)}  # type: ignore[arg-type]
        paths = {name: v for name, v in values.items() if isinstance(v, Path)}
        resolved = {name: self._resolved(path) for name, path in paths.items()}
        return replace(section, **resolved) if resolved else section  # type: ignore[type-var]

    def _resolved(self, path: Path) -> Path:
        return path if path.is_absolute() else self.base / path


@dataclass(frozen=True, slots=True)
class Named:
    """What a node names."""

    path: str
    """The node's own."""

    sources: Collection[str]
    calendar: str | None = None


def unknown_names(
    nodes: Iterable[Named], sources: Collection[str], calendars: Collection[str]
) -> Iterator[Problem]:
    """Yield each source and calendar that a node names and nobody has described."""
    own = {*calendars, ALWAYS_OPEN, None}
    for node in nodes:
        for name in node.sources:
            if name not in sources:
                yield Problem(f"{node.path}.sources", name, _listing("a source", sources))
        if node.calendar not in own and node.calendar not in exchange_codes():
            allowed = f"{ALWAYS_OPEN}, an exchange code or {_listing('a calendar', calendars)}"
            yield Problem(f"{node.path}.calendar", node.calendar, allowed)


def _names(raw: object) -> list[str]:
    """Return all names of a group, also of those that were refused: to say so once is enough."""
    return list(map(str, raw)) if isinstance(raw, Mapping) else []


def _listing(what: str, names: Collection[str]) -> str:
    return f"{what} of this configuration ({', '.join(names) or 'it has none'})"


def _known(key: str, specs: Mapping[str, _Spec]) -> str:
    near = difflib.get_close_matches(key, specs, 1)
    hint = f" (did you mean {near[0]}?)" if near else ""
    return f"one of {', '.join(specs)}{hint}"


def _overridden(section: str, key: str, inner: dict[str, Any], value: str) -> dict[str, Any]:
    """Return the keys of a section with one from the environment in it.

    `SEAMLESS_KAFKA_CLIENT_SASL_PASSWORD` sets `sasl.password` in `kafka.client`.
    """
    spec = _specs(PLAIN_SECTIONS[section]).get(key)
    client = inner.get("client") or {}
    if spec is not None:
        return inner | {key: spec.kind.from_text(value)}
    if section == "kafka" and key.startswith("client_") and isinstance(client, Mapping):
        option = key.removeprefix("client_").replace("_", ".")
        return inner | {"client": {**client, option: value}}
    return inner | {key: value}
