"""Metrics of the agents of a stack: each has a port, known beforehand and told."""

import json
import socket
from dataclasses import astuple, replace
from pathlib import Path
from typing import Literal

import pytest

from bars.errors import InvalidValueError
from ops.stack.addresses import Ports
from ops.stack.agents import agents
from ops.stack.errors import PortTakenError
from ops.stack.fleet import Asked
from ops.stack.listening import HOST, free_ports
from ops.stack.servers import Context, StackOptions
from ops.stack.service import Service
from ops.stack.staffing import staffed
from ops.stack.state import Record, StateFolder
from runtime.settings import Settings
from tests.unit.stack_help import House

CONFIG = Path("/etc/seamless.yaml")
FREE = replace(Ports(), kafka=29_092)
"""Not consecutive, as those that were chosen."""


def staff(
    record: Record,
    folder: Path,
    ports: Ports | Literal["free"] | None = None,
    asked: Asked | None = None,
) -> Record:
    found = staffed(record, Settings(), asked or Asked(), folder, ports)
    StateFolder(folder).save(found)
    return found


def services(record: Record, folder: Path) -> dict[str, Service]:
    context = Context(
        folder=StateFolder(folder),
        ports=record.ports,
        options=StackOptions(environ={}),
        titles={},
        nodes=record.nodes,
        metrics=record.metrics,
    )
    return {each.name: each for each in agents(context, CONFIG, record.workers)}


def test_agents_have_fixed_ports_with_nothing_said(tmp_path: Path) -> None:
    """So a scrape configuration is written once."""
    found = staff(Record(), tmp_path, asked=Asked(coordinators=1, workers=2)).metrics
    assert found == {"conform": 18_101, "materialize": 18_102, "worker": 18_103, "worker-2": 18_104}


def test_ports_follow_those_of_the_servers_and_of_the_lease_service(tmp_path: Path) -> None:
    base = Ports.from_base(31_000)
    found = staff(Record(ports=base), tmp_path, base, Asked(5, 64))
    assert found.nodes is not None
    assert list(found.metrics.values()) == list(range(31_016, 31_016 + 66))
    assert max(found.nodes.all) < 31_016


def test_ports_beyond_the_last_one_are_refused(tmp_path: Path) -> None:
    last = Ports.from_base(65_517)
    assert max(staff(Record(ports=last), tmp_path, last).metrics.values()) == 65_535
    beyond = Ports.from_base(65_518)
    with pytest.raises(InvalidValueError, match="ports must be at most 65517 with 3 agents"):
        staff(Record(ports=beyond), tmp_path, beyond)


def test_free_ports_are_those_of_nobody_and_kept(tmp_path: Path) -> None:
    made = staff(Record(ports=FREE), tmp_path, "free", Asked(3, 2))
    assert made.nodes is not None
    every = (*astuple(made.ports), *made.nodes.all, *made.metrics.values())
    assert len(set(every)) == 6 + 6 + 4
    assert StateFolder(tmp_path).load() == made
    assert staff(made, tmp_path) == made
    more = staff(made, tmp_path, asked=Asked(workers=3)).metrics
    assert more.items() > made.metrics.items()
    assert set(more) - set(made.metrics) == {"worker-3"}


def test_a_free_port_that_somebody_took_is_left_to_him(tmp_path: Path) -> None:
    made = staff(Record(ports=FREE), tmp_path, "free")
    with socket.create_server((HOST, made.metrics["worker"])):
        moved = staff(made, tmp_path, "free").metrics
        told = staff(made, tmp_path).metrics
    assert {name for name, port in moved.items() if port != made.metrics[name]} == {"worker"}
    assert told == made.metrics


def test_other_ports_of_the_stack_are_other_ones_of_its_agents(tmp_path: Path) -> None:
    made = staff(Record(), tmp_path)
    base = Ports.from_base(31_000)
    moved = staff(replace(made, ports=base), tmp_path, base).metrics
    assert moved == {"conform": 31_016, "materialize": 31_017, "worker": 31_018}


def test_an_agent_is_told_its_port_and_says_where_it_is_asked(tmp_path: Path) -> None:
    found = services(staff(Record(), tmp_path), tmp_path)
    for name, port in (("conform", 18_101), ("materialize", 18_102), ("worker", 18_103)):
        assert found[name].ports == (port,)
        assert found[name].address == f"http://127.0.0.1:{port}/metrics"
    command = found["worker"].prepare(())
    assert command[-5:] == ("worker", "--metrics-port", "18103", "--config", str(CONFIG))
    command = found["conform"].prepare(())
    assert command[-6:-2] == ("streams", "conform", "--metrics-port", "18101")


def test_a_taken_port_is_told_with_whom_it_keeps_from_working(tmp_path: Path) -> None:
    house = House(tmp_path)
    with socket.create_server((HOST, *free_ports(1))) as server:
        port = server.getsockname()[1]
        record = replace(staff(Record(ports=FREE), tmp_path), metrics={"worker": port})
        worker = services(record, tmp_path)["worker"]
        with pytest.raises(PortTakenError, match=f"{port} is needed by agent worker .*--ports"):
            house.control().waiting_to_start([worker])


def test_agents_of_an_earlier_version_are_known_by_their_want_of_a_port(tmp_path: Path) -> None:
    """They run, are found, and are another service than the one that is wanted now."""
    StateFolder(tmp_path).save(Record())
    file = tmp_path / "stack.json"
    found = json.loads(file.read_text())
    del found["metrics"]
    file.write_text(json.dumps(found))
    record = StateFolder(tmp_path).load()
    assert record is not None
    assert services(record, tmp_path)["conform"].ports == ()
    assert services(staff(record, tmp_path), tmp_path)["conform"].ports == (18_101,)
