"""Where Prometheus asks: what pages and compose file say is where processes of ours answer."""

import re
from argparse import ArgumentParser
from dataclasses import asdict
from pathlib import Path
from typing import Any

import yaml

from ops.stack.addresses import Ports
from ops.stack.fleet import Asked
from ops.stack.staffing import staffed
from ops.stack.state import Record
from provider import ProviderMetrics
from runtime import Settings, exposition
from runtime.exposition import MetricsAddress
from tests.unit.metrics_help import KNOWN, family

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "operations.md").read_text("utf-8")
NODES_PAGE = (ROOT / "docs" / "coordinator.md").read_text("utf-8")
README = (ROOT / "README.md").read_text("utf-8")
COMPOSE = yaml.safe_load((ROOT / "docker-compose.yml").read_text("utf-8"))["services"]


def scraped() -> list[list[str]]:
    """Return the targets of each scrape configuration of the page."""
    found: list[list[str]] = []
    for block in re.findall(r"^```yaml\n(rule_files.*?)^```", PAGE, re.MULTILINE | re.DOTALL):
        found.append([])
        for job in yaml.safe_load(block)["scrape_configs"]:
            for group in job["static_configs"]:
                # The alarm that a process is down knows no other name.
                assert group.get("labels", {"job": job["job_name"]}) == {"job": "seamless"}
                found[-1] += group["targets"]
    return found


def served(service: str) -> MetricsAddress:
    """Return where a service of the compose file tells its metrics."""
    words = COMPOSE[service]["command"].split()
    parser = ArgumentParser()
    exposition.add_arguments(parser)
    chosen, _ = parser.parse_known_args(words[words.index("--config") + 2 :])
    found = MetricsAddress.parse(chosen.metrics_port, chosen.metrics_host)
    assert found is not None
    return found


def staff(folder: Path, base: Ports | None = None) -> Record:
    return staffed(Record(ports=base or Ports()), Settings(), Asked(1, 2), folder, base)


def test_what_up_starts_is_scraped_whole(tmp_path: Path) -> None:
    record = staff(tmp_path)
    assert record.nodes is not None
    here, _ = scraped()
    assert here == [f"127.0.0.1:{port}" for port in (*record.metrics.values(), *record.nodes.api)]


def test_what_the_compose_file_starts_is_scraped_whole() -> None:
    _, targets = scraped()
    workers = served("worker")
    assert targets[:2] == [f"{name}:{served(name).ports[0]}" for name in ("conform", "materialize")]
    assert targets[2:4] == [f"leases:{port}" for port in workers.ports[:2]]
    nodes = COMPOSE["coordinator-1"]["environment"]["SEAMLESS_COORDINATOR_URLS"].split(",")
    assert [f"http://{target}" for target in targets[4:]] == nodes


def test_metrics_of_the_compose_file_stay_in_its_network() -> None:
    """They have no password: exposed to the network, published to nobody."""
    homes: dict[str, dict[str, Any]] = {
        "conform": COMPOSE["conform"],
        "materialize": COMPOSE["materialize"],
        "worker": COMPOSE["leases"],
    }
    for name, home in homes.items():
        address = served(name)
        first, last = address.ports[0], address.ports[-1]
        assert address.host == "0.0.0.0"
        assert home["expose"] == [str(first) if first == last else f"{first}-{last}"]
        assert "ports" not in home


def test_the_table_of_ports_is_that_of_the_stack(tmp_path: Path) -> None:
    rows = re.findall(r"^\| .* \| ([\d, andof;.]+) \| (.*\+.*) \|$", PAGE, re.MULTILINE)
    plain, base = (
        [int(n) for text in column for n in re.findall(r"\d+", text)]
        for column in zip(*rows, strict=True)
    )
    based = staff(tmp_path, Ports.from_base(31_000))
    first = staff(tmp_path)
    assert plain == listed(first)
    assert [31_000, *(31_000 + n for n in base)] == listed(based)


def listed(record: Record) -> list[int]:
    """Return the ports of a stack in the order of the table."""
    assert record.nodes is not None
    return [*asdict(record.ports).values(), *record.nodes.all, *record.metrics.values()]


def test_every_metric_on_a_page_is_one_that_somebody_tells() -> None:
    """One that was renamed leaves a panel empty, and nobody knows why."""
    known = {family(name) for name in KNOWN}
    for each in ProviderMetrics().registry.collect():
        known.add(f"{each.name}_total" if each.type == "counter" else each.name)
    named = set(re.findall(r"\b(?:seamless|coordinator)_[a-z_]+\b", README + PAGE + NODES_PAGE))
    tables = re.findall(r"^##+ Metrics$(.*?)^##+ ", PAGE + NODES_PAGE, re.MULTILINE | re.DOTALL)
    assert len(tables) == 2
    named |= {row for table in tables for row in re.findall(r"^\| `(\w+)` ", table, re.MULTILINE)}
    assert {"seamless_retries_total", "coordinator_sessions", "backfill_retry_total"} <= named
    assert named - known == set()
