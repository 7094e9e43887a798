"""docs/configuration.md names every setting, with the default and the bounds of the code."""

import json
import re
from collections.abc import Mapping
from dataclasses import MISSING, Field, fields
from pathlib import Path
from typing import Any

import pytest
import yaml

from runtime._kinds import Kind
from runtime._reader import _NODE, _TOP, PLAIN_SECTIONS, PROVIDER
from runtime._section import Section, kind_of
from runtime.sections import CalendarSettings, NodeSettings, SourceSettings
from runtime.service import BackfillConfig, ProviderSettings, SLAPolicy
from runtime.settings import Settings

DOC = (Path(__file__).resolve().parents[2] / "docs" / "configuration.md").read_text("utf-8")

SECTIONS: Mapping[str, type[Section]] = {
    **PLAIN_SECTIONS,
    PROVIDER: ProviderSettings,
    f"{PROVIDER}.backfill_config": BackfillConfig,
    f"{PROVIDER}.sla": SLAPolicy,
    "sources": SourceSettings,
    "calendars": CalendarSettings,
    "nodes": NodeSettings,
    "The rest": Settings,
}

IN_WORDS = {
    ("sources", "empty_confirmed"): "true for files, false for others",
    ("nodes", "symbol"): "the node's name",
    ("nodes", "listed"): "`null`",
    ("The rest", "ranks"): "the sources in their order, then `roll`",
    ("The rest", "state_dir"): "`~/.seamless`",
}
"""Defaults that depend on something else."""


def entries(section: str) -> dict[str, str]:
    """Return what the page says of each key of a section, on one line."""
    (text,) = re.findall(rf"^## {section}\n(.*?)(?=^## |\Z)", DOC, re.MULTILINE | re.DOTALL)
    found = re.findall(r"^- \*\*`(\w+)`\*\*(.*?)(?=^- |^$|\Z)", text, re.MULTILINE | re.DOTALL)
    return {key: " ".join(said.split()) for key, said in found}


def settings_of(section: str) -> dict[str, tuple[Kind[Any], str | None]]:
    """Return what each key of a section may be, and its default in words; None: required."""
    found = {}
    for each in fields(SECTIONS[section]):  # type: ignore[arg-type]  # sections are dataclasses
        kind = kind_of(each)
        if kind is not None and each.name != "name":  # the name is the key above
            found[each.name] = (kind, default_of(each))
    if section == "nodes":
        del found["listed_start"], found["listed_end"]
        found["interval"] = (_NODE["interval"].kind, None)
        found["listed"] = (_NODE["listed"].kind, "")
    return {key: (kind, IN_WORDS.get((section, key), d)) for key, (kind, d) in found.items()}


def default_of(each: Field[Any]) -> str | None:
    if each.default is MISSING and each.default_factory is MISSING:
        return None
    if each.default is MISSING:
        assert callable(each.default_factory)
        return f"`{json.dumps(each.default_factory(), default=str)}`"
    if isinstance(each.default, str) and each.default:
        return f"`{each.default}`"
    if isinstance(each.default, float):
        return f"`{each.default:g}`"
    return f"`{json.dumps(each.default)}`"


@pytest.mark.parametrize("section", SECTIONS)
def test_every_setting_stands_there_with_its_default_and_bounds(section: str) -> None:
    said, known = entries(section), settings_of(section)
    assert said.keys() == known.keys()
    for key, (kind, default) in known.items():
        begins = "." if default is None else f"= {default}."
        assert said[key].startswith(begins), (key, begins, said[key])
        assert said[key].endswith(f" Allowed: {kind.allowed}."), (key, kind.allowed, said[key])


def test_every_key_of_the_file_has_its_place() -> None:
    tops = {name.partition(".")[0] for name in SECTIONS}
    assert set(_TOP) == {*tops, "ranks", "state_dir"} - {"The rest"}
    assert Settings().state_dir == Path("~/.seamless").expanduser()


def test_its_examples_are_accepted() -> None:
    parts: dict[str, Any] = {}
    for block in re.findall(r"^```yaml\n(.*?)^```", DOC, re.MULTILINE | re.DOTALL):
        for name, part in yaml.safe_load(block).items():
            parts.setdefault(name, {}).update(part)
    csv = {"kind": "csv", "path": "data"}
    parts["sources"] = {"daily": csv, "other": csv, **parts["sources"]}
    listed = parts["nodes"]["ohlcv:nasdaq:GOOG:1d"]["listed"]
    assert listed["end"] is None
    read = Settings.from_mapping(parts, Path())
    assert len(read.nodes) == 3
    sla = read.seamless_data_provider.sla
    assert sla is not None
    assert sla.on_violation == "hold"
    assert read.sources["mine"].options == {"bases": {"ohlcv:fx:EURUSD:1h": 1.1}}


def test_its_variables_are_accepted() -> None:
    """The examples of overrides: each is taken, so each name is right."""
    found = re.findall(r"^    (SEAMLESS_\w+)=(\S+)", DOC, re.MULTILINE)
    read = Settings.from_mapping({}, Path(), dict(found))
    assert len(found) == 5
    assert read.seamless_data_provider.backfill_config.max_attempts == 3
    assert read.backfill.window_bars == 450
    assert read.kafka.client == {"sasl.password": "..."}
