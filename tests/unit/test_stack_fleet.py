"""Coordinators and workers of a stack: how many, where, and who can read their secrets."""

import os
import socket
import stat
from collections.abc import Mapping
from dataclasses import astuple, replace
from pathlib import Path

import pytest

from bars.errors import InvalidValueError
from coordinator.client import ClientOptions
from ops.stack.addresses import Ports
from ops.stack.agents import agents, coordinators
from ops.stack.fleet import ADMIN_TOKEN, FOLDER, Asked, NodePorts, make_secrets
from ops.stack.listening import HOST
from ops.stack.processes import ProcessId
from ops.stack.servers import Context, StackOptions
from ops.stack.staffing import staffed
from ops.stack.state import Record, StateFolder
from runtime.settings import Settings

CONFIG = Path("/etc/seamless.yaml")
FREE = replace(Ports(), kafka=29_092)
"""Not consecutive, as those that were chosen."""

PLAIN: Mapping[str, object] = {}
SERVED: Mapping[str, object] = {"coordinator": {}}
ELSEWHERE: Mapping[str, object] = {"coordinator": {"urls": ["http://leases.example:18070"]}}


def settings(section: Mapping[str, object]) -> Settings:
    return Settings.from_mapping(section, Path("/etc"))


def counts(record: Record) -> tuple[int, int]:
    return (len(record.nodes.api) if record.nodes else 0, record.workers)


@pytest.mark.parametrize(
    ("section", "asked", "found"),
    [
        (PLAIN, Asked(), (0, 1)),
        (SERVED, Asked(), (1, 1)),
        (ELSEWHERE, Asked(), (0, 1)),
        (ELSEWHERE, Asked(workers=4), (0, 4)),
        (PLAIN, Asked(coordinators=3, workers=2), (3, 2)),
        (SERVED, Asked(coordinators=0), (0, 1)),
        (SERVED, Asked(workers=3), (1, 3)),
    ],
)
def test_a_stack_has_what_is_asked_for_or_what_the_configuration_needs(
    tmp_path: Path, section: Mapping[str, object], asked: Asked, found: tuple[int, int]
) -> None:
    assert counts(staffed(Record(), settings(section), asked, tmp_path, None)) == found


def test_what_was_asked_for_once_is_remembered(tmp_path: Path) -> None:
    once = staffed(Record(), settings(PLAIN), Asked(3, 2), tmp_path, None)
    again = staffed(once, settings(PLAIN), Asked(), tmp_path, None)
    assert again == once
    StateFolder(tmp_path).save(once)
    assert StateFolder(tmp_path).load() == once


def test_several_workers_need_a_service(tmp_path: Path) -> None:
    with pytest.raises(InvalidValueError, match="--coordinators 1"):
        staffed(Record(), settings(PLAIN), Asked(workers=2), tmp_path, None)


def test_the_number_of_nodes_is_that_of_their_log(tmp_path: Path) -> None:
    """A log that began with three cannot be gone on with by one."""
    for number in (1, 2, 3):
        (tmp_path / FOLDER / f"node-{number}").mkdir(parents=True)
    with pytest.raises(InvalidValueError, match="--coordinators must be 3"):
        staffed(Record(), settings(SERVED), Asked(), tmp_path, None)
    assert counts(staffed(Record(), settings(SERVED), Asked(3), tmp_path, None)) == (3, 1)
    assert counts(staffed(Record(), settings(SERVED), Asked(0), tmp_path, None)) == (0, 1)


@pytest.mark.parametrize("wrong", [{"coordinators": 2}, {"coordinators": -1}, {"workers": 0}])
def test_numbers_that_cannot_be_are_refused(wrong: Mapping[str, int]) -> None:
    with pytest.raises(InvalidValueError, match=r"--(coordinators|workers)"):
        Asked(**wrong)


def test_without_a_configuration_nothing_of_ours_can_be_asked_for(tmp_path: Path) -> None:
    with pytest.raises(InvalidValueError, match="--config FILE"):
        staffed(Record(), None, Asked(coordinators=1), tmp_path, None)
    record = Record()
    assert staffed(record, None, Asked(), tmp_path, None) == record


def test_ports_follow_those_of_the_servers(tmp_path: Path) -> None:
    first = staffed(Record(), settings(PLAIN), Asked(3), tmp_path, None).nodes
    assert first == NodePorts((18_070, 18_071, 18_072), (18_075, 18_076, 18_077))
    base = Ports.from_base(31_000)
    based = staffed(Record(ports=base), settings(PLAIN), Asked(1), tmp_path, base).nodes
    assert based == NodePorts((31_006,), (31_011,))
    free = staffed(Record(ports=FREE), settings(PLAIN), Asked(5), tmp_path, "free").nodes
    assert free is not None
    assert len(set(free.all)) == 10
    assert not {*free.all} & {*NodePorts.from_base(5).all}


@pytest.mark.parametrize("first", [Ports(), Ports.from_base(31_000), FREE])
def test_coordinators_that_come_later_listen_where_they_would_have_from_the_start(
    tmp_path: Path, first: Ports
) -> None:
    """Nothing said about ports is what was said before, not the default."""
    made = staffed(Record(ports=first), settings(PLAIN), Asked(workers=1), tmp_path, None)
    nodes = staffed(made, settings(PLAIN), Asked(3), tmp_path, None).nodes
    assert nodes is not None
    if first is FREE:
        assert min(nodes.all) > 20_000
        assert not {*nodes.all} & {*astuple(first), *made.metrics.values()}
    else:
        assert (
            nodes == staffed(Record(ports=first), settings(PLAIN), Asked(3), tmp_path, first).nodes
        )


def test_another_number_of_coordinators_keeps_the_ports_of_those_that_were_there(
    tmp_path: Path,
) -> None:
    made = staffed(Record(ports=FREE), settings(PLAIN), Asked(1), tmp_path, "free")
    more = staffed(made, settings(PLAIN), Asked(3), tmp_path, None)
    assert made.nodes is not None
    assert more.nodes is not None
    assert (more.nodes.api[:1], more.nodes.raft[:1]) == (made.nodes.api, made.nodes.raft)
    assert len({*more.nodes.all, *astuple(more.ports), *more.metrics.values()}) == 6 + 6 + 3
    assert more.metrics == made.metrics
    assert staffed(more, settings(PLAIN), Asked(1), tmp_path, None) == made


def test_other_ports_of_the_stack_are_other_ones_of_its_coordinators(tmp_path: Path) -> None:
    made = staffed(Record(), settings(PLAIN), Asked(1), tmp_path, None)
    base = Ports.from_base(31_000)
    moved = staffed(replace(made, ports=base), settings(PLAIN), Asked(), tmp_path, base)
    assert moved.nodes == NodePorts((31_006,), (31_011,))


def test_a_free_port_that_somebody_took_is_left_to_him(tmp_path: Path) -> None:
    made = staffed(Record(ports=FREE), settings(PLAIN), Asked(1), tmp_path, "free")
    assert made.nodes is not None
    assert staffed(made, settings(PLAIN), Asked(), tmp_path, "free") == made
    with socket.create_server((HOST, made.nodes.api[0])):
        moved = staffed(made, settings(PLAIN), Asked(), tmp_path, "free").nodes
        told = staffed(made, settings(PLAIN), Asked(), tmp_path, None).nodes
    assert told == made.nodes
    assert moved is not None
    assert moved.api != made.nodes.api
    assert moved.raft == made.nodes.raft


def test_no_coordinator_moves_while_one_of_them_runs(tmp_path: Path) -> None:
    """It would have to be told, and what takes a port may be one of them."""
    made = staffed(Record(ports=FREE), settings(PLAIN), Asked(3), tmp_path, "free")
    assert made.nodes is not None
    myself = ProcessId.of(os.getpid())
    assert myself is not None
    running = replace(made, processes={"coordinator-1": myself})
    with socket.create_server((HOST, made.nodes.api[1])):
        assert staffed(running, settings(PLAIN), Asked(), tmp_path, "free") == running


def test_one_node_with_nothing_said_is_where_settings_expect_it() -> None:
    assert NodePorts.from_base(1).settings() == Settings().coordinator


def test_secrets_are_made_once_and_for_nobody_else(tmp_path: Path) -> None:
    make_secrets(tmp_path)
    files = sorted((tmp_path / FOLDER).iterdir())
    assert [file.name for file in files] == ["secret", "token.admin", "token.worker", "tokens"]
    assert {stat.S_IMODE(file.stat().st_mode) for file in files} == {0o600}
    before = [file.read_bytes() for file in files]
    make_secrets(tmp_path)
    assert [file.read_bytes() for file in files] == before
    assert len(set(before)) == 4


def context(tmp_path: Path, nodes: NodePorts | None) -> Context:
    return Context(
        folder=StateFolder(tmp_path),
        ports=Ports.from_base(31_000),
        options=StackOptions(environ={"SEAMLESS_COORDINATOR_URLS": "http://prod:1"}),
        titles={},
        nodes=nodes,
    )


def test_processes_of_ours_find_the_nodes_and_may_ask_them(tmp_path: Path) -> None:
    """Workers as workers, a person's commands as an admin, whatever the shell says."""
    make_secrets(tmp_path)
    nodes = NodePorts.from_base(3)
    known = context(tmp_path, nodes)
    worker = agents(known, CONFIG, workers=2)[-1]
    assert worker.name == "worker-2"
    tokens = []
    for environ in (worker.environ, nodes.environ(tmp_path, ADMIN_TOKEN)):
        found = Settings.from_mapping({}, tmp_path, environ)
        assert found.coordinator.urls == nodes.settings().urls
        assert found.has_coordinator
        tokens.append(ClientOptions.of(found.coordinator).token)
    lines = (tmp_path / FOLDER / "tokens").read_text().split()
    assert lines == ["worker", tokens[0], "admin", tokens[1]]


def test_a_node_is_a_process_under_a_supervisor_on_ports_of_its_own(tmp_path: Path) -> None:
    first, second, third = coordinators(context(tmp_path, NodePorts.from_base(3)), CONFIG)
    assert (first.name, first.address, first.ports) == (
        "coordinator-1",
        "http://127.0.0.1:18070",
        (18_070, 18_075),
    )
    assert third.ports == (18_072, 18_077)
    command = second.prepare(())
    assert "ops.supervise" in command
    assert command[-5:] == ("coordinator", "--node", "2", "--config", str(CONFIG))
    assert coordinators(context(tmp_path, None), CONFIG) == ()
    assert second.environ["SEAMLESS_COORDINATOR_TOKEN_FILE"].startswith(str(tmp_path))
