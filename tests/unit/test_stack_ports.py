"""Which ports a stack gets that had some before."""

import os
import socket
from dataclasses import astuple, replace
from pathlib import Path
from typing import Literal

import pytest

from bars.errors import InvalidValueError
from ops.stack.addresses import Ports
from ops.stack.local import LocalStack
from ops.stack.processes import ProcessId
from ops.stack.state import Record

OTHER = Ports.from_base(31_900)


def chosen(tmp_path: Path, ports: Ports | Literal["free"] | None, record: Record) -> Ports:
    return LocalStack(tmp_path, ports=ports)._known_ports(record)


def running(ports: Ports) -> Record:
    me = ProcessId.of(os.getpid())
    assert me
    return Record(ports=ports, processes={"kafka": me})


def test_a_stack_keeps_its_ports() -> None:
    """Or those who know its addresses would lose it at each start."""
    record = Record(ports=Ports.free())
    assert chosen(Path("/x"), None, record) == record.ports
    assert chosen(Path("/x"), "free", record) == record.ports


def test_free_ports_are_chosen_anew_when_somebody_took_one(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        taken = replace(Ports.free(), registry=server.getsockname()[1])
        found = chosen(tmp_path, "free", Record(ports=taken))
    assert set(astuple(found)).isdisjoint(astuple(taken))


def test_other_ports_are_taken_while_nothing_runs(tmp_path: Path) -> None:
    assert chosen(tmp_path, OTHER, Record(ports=Ports.free())) == OTHER


def test_other_ports_for_a_stack_that_runs_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidValueError, match="until `seamless down`"):
        chosen(tmp_path, OTHER, running(Ports.free()))


def test_free_ports_for_a_stack_that_runs_are_those_it_has(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:  # as its own server does
        ports = replace(Ports.free(), kafka=server.getsockname()[1])
        assert chosen(tmp_path, "free", running(ports)) == ports
