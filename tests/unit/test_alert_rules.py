"""alert_rules.yml speaks of metrics, labels and values that there are, and of alarms explained."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from avro_schemas import Verdict
from coordinator.machine import StaleKind
from runtime.metrics import Metrics
from tests.unit.metrics_help import KNOWN, coordinator, family

ROOT = Path(__file__).resolve().parents[2]
RULES: list[dict[str, Any]] = [
    rule
    for group in yaml.safe_load((ROOT / "alert_rules.yml").read_text("utf-8"))["groups"]
    for rule in group["rules"]
]

WORDS = {
    *("and", "by", "histogram_quantile", "increase", "max", "min", "offset", "or", "rate", "sum"),
    "unless",
}
"""Of the query language, as far as it is used."""

VALUES = {
    ("seamless_chunks_judged_total", "verdict"): {verdict.value for verdict in Verdict},
    ("seamless_windows_total", "state"): {"done", "failed", "lost", "retried"},
    ("seamless_retries_total", "what"): {"rate_limited"},
    ("up", "job"): {"seamless"},
    ("coordinator_requests_total", "status"): {"429", "500"},
    ("coordinator_stale_claims_total", "kind"): {kind.value for kind in StaleKind},
}


def test_the_catalogue_is_whole() -> None:
    families = {each.name for each in Metrics().registry.collect()}
    own = {name for name in KNOWN if name not in coordinator()}
    assert {re.sub(r"_(total|count|sum|bucket)$", "", n) for n in own} == {*families, "up"}


def test_every_metric_of_the_lease_service_is_explained() -> None:
    page = (ROOT / "docs" / "coordinator.md").read_text("utf-8")
    for name, sample in coordinator().items():
        labels = ", ".join(sorted(sample.labels - {"le"}, key=LABELS.index))
        assert f"| `{family(name)}` | {labels} |".replace("|  |", "| |") in page


LABELS = ["node", "interval", "route", "status", "class", "kind", "state"]
"""In the order of the page."""


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: str(rule["alert"]))
def test_a_rule_names_only_what_there_is(rule: dict[str, Any]) -> None:
    text = re.sub(r"\[\w+\]|\b\d+m\b", "", rule["expr"])
    labels: set[str] = {
        name for by in re.findall(r"by \(([^)]*)\)", text) for name in by.split(", ")
    }
    names = set(re.findall(r"[a-z_]+", re.sub(r"\{.*?\}|by \([^)]*\)", "", text))) - WORDS
    assert names
    assert names <= KNOWN.keys()
    for name, label, value in re.findall(r'(\w+)\{(\w+)!?="(\w+)"\}', text):
        assert label in KNOWN[name].labels
        assert value in VALUES[name, label]
    told = " ".join(rule["annotations"].values())
    labels |= set(re.findall(r"\$labels\.(\w+)", told)) - {"instance"}
    assert labels <= frozenset().union(*(KNOWN[name].labels for name in names))


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: str(rule["alert"]))
def test_a_rule_says_how_bad_it_is_and_where_the_answer_stands(rule: dict[str, Any]) -> None:
    assert rule["labels"]["severity"] in {"critical", "warning"}
    assert rule["annotations"]["summary"]
    page, _, anchor = rule["annotations"]["runbook"].partition("#")
    headings = re.findall(r"^#+ (.*)$", (ROOT / page).read_text("utf-8"), re.MULTILINE)
    assert anchor in {heading.lower().replace(" ", "-") for heading in headings}


def test_no_alarm_is_there_twice() -> None:
    names = [rule["alert"] for rule in RULES]
    assert len(set(names)) == len(names)
