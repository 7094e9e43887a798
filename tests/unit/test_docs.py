"""What the pages promise is there: code, links, files, settings, events, versions."""

import ast
import inspect
import re
import shutil
import sys
import textwrap
import tomllib
from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from pathlib import Path
from random import Random
from typing import Any

import pytest
import yaml

from avro_schemas import load
from bars.conformance import ConformancePipeline, Context
from bars.frame import BarFrame
from bars.series import Series
from bars.window import Grid, Window
from coordinator._service.api.api import routes_of
from coordinator._service.api.forward import forwarder
from coordinator._service.api.limits import Limits
from coordinator._service.api.metrics import ServiceMetrics
from coordinator._service.api.service import Service
from coordinator.testing import MemoryCluster
from ops.stack.pinned import bundles
from provider import EnhancedQuestDBProvider, ProviderMetrics
from runtime.aio import AioHttp
from runtime.metrics import Metrics
from runtime.settings import KafkaSettings, NodeSettings, Settings, SourceSettings
from runtime.testing import ManualClock
from sources import SourceError, open_source
from tests.provider_help import Market
from topics import Catalogue

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").glob("*.md"))]
EXAMPLES = sorted((ROOT / "examples").glob("*.py"))
OPERATIONS = (ROOT / "docs" / "operations.md").read_text("utf-8")
NODES = (ROOT / "docs" / "coordinator.md").read_text("utf-8")
DESIGN = (ROOT / "docs" / "architecture.md").read_text("utf-8")
PROGRAMS = ("streams", "worker", "topics", "provider", "coordinator", "runtime", "ops")
"""Rooms whose log a person reads."""

COMPOSE = yaml.safe_load((ROOT / "docker-compose.yml").read_text("utf-8"))

EURUSD = Series("ohlcv:fx:EURUSD:1h", 3_600)


def blocks(page: Path | str, language: str) -> list[str]:
    """Return the fenced blocks of a language."""
    text = page if isinstance(page, str) else page.read_text("utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


def anchors(page: Path) -> set[str]:
    """Return what may follow a `#`, as forges make it of headings."""
    headings = re.findall(r"^#+ (.*)$", page.read_text("utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.fixture
def imports(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Forget afterwards where fetchers were looked for, and which one was found."""
    monkeypatch.setattr(sys, "path", list(sys.path))
    yield
    sys.modules.pop("fetcher", None)


def test_the_strategy_of_the_readme_is_the_one_in_the_examples() -> None:
    (block,) = blocks(ROOT / "README.md", "python")
    source = (ROOT / "examples" / "strategy.py").read_text("utf-8")
    assert textwrap.indent(block, " " * 4) in source


def test_the_snippets_of_the_provider_stand_in_its_examples() -> None:
    source = "".join(file.read_text("utf-8") for file in EXAMPLES)
    found = blocks(ROOT / "docs" / "provider.md", "python")
    assert found
    for block in found:
        assert textwrap.indent(block, " " * 4) in source


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_leads_somewhere(page: Path) -> None:
    text = re.sub(r"^```.*?^```", "", page.read_text("utf-8"), flags=re.MULTILINE | re.DOTALL)
    for target in re.findall(r"\]\(([^)]+)\)", text):
        if target.startswith("https://"):
            continue
        path, _, anchor = target.partition("#")
        file = (page.parent / path).resolve() if path else page
        assert file.exists(), target
        assert not anchor or anchor in anchors(file), target


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.name)
def test_every_example_compiles_and_is_spoken_of(example: Path) -> None:
    compile(example.read_text("utf-8"), str(example), "exec")
    told = "".join(page.read_text("utf-8") for page in PAGES)
    assert f"examples/{example.name}" in told


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.name)
def test_an_example_needs_nothing_that_installing_does_not_bring(example: Path) -> None:
    """Tests run where much more is installed."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    brought = {re.split(r"[\[>=]", name)[0] for name in project["project"]["dependencies"]}
    ours = project["tool"]["uv"]["build-backend"]["module-name"]
    known = {*sys.stdlib_module_names, *ours, *(name.replace("-", "_") for name in brought)}
    imports = re.findall(r"^(?:import|from) (\w+)", example.read_text("utf-8"), re.MULTILINE)
    assert set(imports) <= known


def test_the_example_of_a_configuration_is_accepted() -> None:
    read = Settings.load(ROOT / "examples" / "seamless.yaml")
    assert Series("ohlcv:nasdaq:AAPL:1d", 86_400) in read.nodes


async def test_a_provider_takes_a_fetcher_as_its_page_configures_it(tmp_path: Path) -> None:
    """Nothing is opened before the first call, so no server is needed to see that it fits."""
    (config,) = blocks(ROOT / "docs" / "provider.md", "yaml")
    path = tmp_path / "seamless.yaml"
    path.write_text(config, "utf-8")
    provider = EnhancedQuestDBProvider.from_config(path, fetcher=Market())
    await provider.close()
    assert [*Settings.load(path).ranks] == ["bf:mine", "bf:vendor", "roll"]


def test_every_event_that_is_more_than_ordinary_is_explained() -> None:
    """Whoever reads `"level": "error"` in a log finds the word on the page."""
    events: set[str] = set()
    for file in (f for room in ("streams", "worker", "topics", "provider") for f in files_of(room)):
        for node in ast.walk(ast.parse(file.read_text("utf-8"))):
            if isinstance(node, ast.Call) and is_alarm(node.func):
                first = node.args[0]
                events |= {str(first.value)} if isinstance(first, ast.Constant) else set()
    assert {"store_suspended", "rejected", "lease_lost"} <= events
    assert {event for event in events if f"`{event}`" not in OPERATIONS} == set()


def test_every_event_that_an_alarm_names_is_logged() -> None:
    code = "".join(f.read_text("utf-8") for room in PROGRAMS for f in files_of(room))
    (table,) = re.findall(r"^\| event \| means \|$(.*?)^$", OPERATIONS, re.MULTILINE | re.DOTALL)
    told = re.findall(
        r"[Ee]vents? ((?:`\w+`(?: \([^)]*\))?(?:,| and| or)?\s*)+)", OPERATIONS + NODES
    )
    rows = re.findall(r"^\| (`[^|]+) \|", table, re.MULTILINE)
    events = {event for text in (*told, *rows) for event in re.findall(r"`(\w+)`", text)}
    assert {"crashed", "ended_hard", "live_lease_not_renewed", "request_failed"} <= events
    assert {event for event in events if f'"{event}"' not in code} == set()


def test_every_setting_on_a_page_is_one() -> None:
    """But for the design's: topics and modules are called alike."""
    settings, found = Settings(), 0
    for page in PAGES:
        text = "" if page.name == "architecture.md" else page.read_text("utf-8")
        for section, key in re.findall(r"`(\w+)\.(\w+)`", text):
            part = getattr(settings, section, None)
            if is_dataclass(part):
                assert key in {field.name for field in fields(part)}, f"{section}.{key}"
                found += 1
    assert found > 10


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_file_on_a_page_is_there(page: Path) -> None:
    rooms = "avro_schemas|benchmarks|docs|examples|scripts|tests"
    named = rf"(?<![\w/.~-])(?:(?:{rooms})/[\w./-]*\w|[\w-]+\.(?:yml|toml|txt)|Makefile)"
    for name in re.findall(named, page.read_text("utf-8")):
        assert (ROOT / name).exists(), name


def test_every_alarming_event_of_the_lease_service_is_explained() -> None:
    events: set[str] = set()
    for file in files_of("coordinator"):
        for node in ast.walk(ast.parse(file.read_text("utf-8"))):
            if isinstance(node, ast.Call) and is_alarm(node.func):
                first = node.args[0]
                events |= {str(first.value)} if isinstance(first, ast.Constant) else set()
    assert {"crashed", "request_failed"} <= events
    assert {event for event in events if f"`{event}`" not in NODES} == set()


def test_every_route_of_the_lease_service_is_on_its_page() -> None:
    log = MemoryCluster(ManualClock()).first
    service = Service(log, ManualClock(), Random(1), Limits())
    http = AioHttp(trust=True, headers={})
    routes = routes_of(service, ServiceMetrics(), forwarder(http, tuple))
    rows = [
        line for line in NODES.splitlines() if line.startswith(("|", "The lease protocol", "`{"))
    ]
    for route in routes:
        group, last = re.fullmatch(r"(.*[/:])([^/:]+)", route.path).groups()  # type: ignore[union-attr]
        lines = [line for line in rows if group in line and re.search(rf"\b{last}\b", line)]
        assert lines, route.path
        word = "everybody" if route.role is None else route.role.word
        legacy = route.path.startswith("/v1/leases/")
        assert legacy or any(word in line for line in lines), route.path


def files_of(room: str) -> list[Path]:
    return sorted((ROOT / room).rglob("*.py"))


def is_alarm(function: ast.expr) -> bool:
    if isinstance(function, ast.Name):
        return function.id == "level"
    logs = {"warning", "error", "exception", "critical"}
    return (
        isinstance(function, ast.Attribute)
        and function.attr in logs
        and isinstance(function.value, ast.Name)
        and function.value.id in {"log", "_log"}
    )


def test_every_class_of_dead_letters_is_explained() -> None:
    code = "".join(f.read_text("utf-8") for room in ("streams", "topics") for f in files_of(room))
    classes = set(re.findall(r'Rejection\(\s*"(\w+)"', code))
    classes |= set(re.findall(r'^    error_class = "(\w+)"', code, re.MULTILINE))
    classes |= set(re.findall(r'^UNSTORABLE = "(\w+)"', code, re.MULTILINE))
    assert {"conformance", "not_avro", "unstorable"} <= classes
    assert {each for each in classes if f"`{each}`" not in OPERATIONS} == set()


def test_the_design_lists_every_topic_and_how_long_it_keeps_records() -> None:
    rows = dict(re.findall(r"^\| `([a-z.]+)` \|.*\| (.*) \|$", DESIGN, re.MULTILINE))
    topics = {t.name.removesuffix(".v1"): t.config for t in Catalogue.of(KafkaSettings(prefix=""))}
    assert rows.keys() == topics.keys()
    for name, config in topics.items():
        assert config["cleanup.policy"] in rows[name], name
        days = int(config.get("retention.ms", "0")) // 86_400_000
        assert re.findall(r"delete (\d+) d", rows[name]) == ([str(days)] if days else []), name


def test_the_design_names_every_field_of_what_travels() -> None:
    records = {"BarChunk": "BarChunk (columnar)", "Watermark": "Watermark: role"}
    (section,) = re.findall(r"^## 4\.(.*?)^## 5\.", DESIGN, re.MULTILINE | re.DOTALL)
    for name, begin in records.items():
        told = section[section.index(begin) :]
        for field in load(name)["fields"]:
            assert re.search(rf"\b{field['name']}\b", told), (name, field["name"])


def test_every_metric_is_explained() -> None:
    for family in (*Metrics().registry.collect(), *ProviderMetrics().registry.collect()):
        name = f"{family.name}_total" if family.type == "counter" else family.name
        assert f"| `{name}` |" in OPERATIONS


@pytest.mark.usefixtures("imports")
async def test_the_example_of_a_fetcher_gives_bars_that_conformance_has_nothing_against() -> None:
    settings = SourceSettings(
        name="mine",
        kind="python",
        fetcher="fetcher:Sawtooth",
        options={"bases": {EURUSD.node: 1.1}},
    )
    node = NodeSettings(series=EURUSD, sources=("mine",), calendar="24/7")
    source = open_source(settings, {EURUSD: node}, base=ROOT / "examples")
    window = Window(1_800, 90_000)
    bars = await source.bars(EURUSD, window)
    assert bars.ts.tolist() == list(range(3_600, 90_000, 3_600))
    context = Context(series=EURUSD, grid=Grid(3_600), window=window)
    assert ConformancePipeline().run(bars, context).flags == ()
    with pytest.raises(SourceError) as caught:
        await source.bars(Series("another", 3_600), window)
    assert not caught.value.retriable


@pytest.mark.usefixtures("imports")
async def test_a_source_can_be_tried_as_the_page_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (config,) = (block for block in blocks(OPERATIONS, "yaml") if "sources:" in block)
    (tmp_path / "seamless.yaml").write_text(config, "utf-8")
    shutil.copy(ROOT / "examples" / "fetcher.py", tmp_path)
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    code = compile(blocks(OPERATIONS, "python")[-1], "page", "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    running = eval(code, names)  # a module with await in it is a coroutine
    assert inspect.isawaitable(running)
    await running
    assert isinstance(names["bars"], BarFrame)
    assert len(names["bars"]) == 24


def test_compose_runs_the_versions_that_up_runs() -> None:
    for server, bundle in bundles().items():
        assert COMPOSE["services"][server]["image"].endswith(f":{bundle.version}")


def test_compose_runs_programs_that_there_are() -> None:
    commands = {name: each.get("command", "") for name, each in COMPOSE["services"].items()}
    for agent in ("conform", "materialize"):
        assert commands[agent].startswith(f"python -m streams {agent} ")
    assert commands["worker"].startswith("python -m worker ")
    assert commands["topics"].startswith("seamless topics apply ")
