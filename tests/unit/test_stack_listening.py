"""Ports that a stack may listen on: beside those of connections, and different ones."""

import socket
from dataclasses import astuple
from pathlib import Path
from random import Random

import pytest

from ops.stack.addresses import Ports
from ops.stack.errors import NoFreePortError
from ops.stack.fleet import NodePorts
from ops.stack.listening import EPHEMERAL, candidates, ephemeral_ports, free_ports, is_taken

SEED = 11


def test_a_port_is_taken_while_somebody_listens_on_it() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        assert is_taken(port)
    assert not is_taken(port)


@pytest.mark.parametrize(
    ("ephemeral", "found"),
    [
        (EPHEMERAL, range(20_000, 32_768)),
        (range(49_152, 65_536), range(20_000, 49_152)),
        (range(15_000, 61_000), range(61_000, 65_536)),
        (range(20_999, 60_000), range(60_000, 65_536)),
        (range(1_024, 65_536), range(20_000, 65_536)),
        (range(15_000, 65_000), range(20_000, 65_536)),
    ],
)
def test_ports_are_chosen_beside_those_of_connections(ephemeral: range, found: range) -> None:
    """Below them, above them where there is no room, and anywhere where there is none at all."""
    assert candidates(ephemeral) == found


def test_the_system_says_which_ports_it_gives_to_connections(tmp_path: Path) -> None:
    file = tmp_path / "range"
    file.write_text("40000\t50000\n")
    assert ephemeral_ports(file) == range(40_000, 50_001)


@pytest.mark.parametrize("text", [None, "", "40000", "many few", "1 2 3"])
def test_a_system_that_does_not_say_has_the_usual_ones(tmp_path: Path, text: str | None) -> None:
    file = tmp_path / "range"
    if text is not None:
        file.write_text(text)
    assert ephemeral_ports(file) == EPHEMERAL


def test_no_connection_is_given_what_a_stack_chose() -> None:
    """What is free for the moment of the choice has to be free when the server comes up."""
    allowed = candidates(ephemeral_ports())
    assert {*astuple(Ports.free()), *NodePorts.free(3).all} <= {*allowed}


def test_who_listens_and_who_will_are_passed_over() -> None:
    first, second = free_ports(2, random=Random(SEED))
    with socket.create_server(("127.0.0.1", first)):
        (third,) = free_ports(1, but=(second,), random=Random(SEED))
    assert third not in {first, second}


def test_fewer_free_ports_than_needed_are_told() -> None:
    (port,) = free_ports(1)
    with pytest.raises(NoFreePortError, match="--ports BASE") as refused:
        free_ports(2, among=range(port, port + 1))
    assert refused.value.retriable
    assert (refused.value.wanted, refused.value.found) == (2, 1)
