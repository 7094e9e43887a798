"""Listening on this machine: where, which ports are taken, which are free and stay so.

A port that the system chooses (port 0) is one of those that it also gives to outgoing connections:
between the choice and the bind any connection of this machine may take it. So ports are chosen
beside that range.
"""

import socket
from collections.abc import Collection
from contextlib import ExitStack, suppress
from pathlib import Path
from random import Random, SystemRandom

from bars.errors import InvalidValueError
from ops.stack.errors import NoFreePortError

HOST = "127.0.0.1"
"""The stack has no passwords, so nothing of it listens anywhere else."""

PORT_MAX = 65_535
PORT_MIN = 1_024

FIRST = 20_000
"""Above the default ports of a stack, which may be stopped only for the moment."""

EPHEMERAL = range(32_768, 61_000)
"""What is given to connections where the system does not say: of Linux; of others a part of it."""

ROOM_MIN = 1_000
"""Fewer candidates than that would be met by two who choose at the same time."""

_RANGE_FILE = Path("/proc/sys/net/ipv4/ip_local_port_range")


def ephemeral_ports(file: Path = _RANGE_FILE) -> range:
    """Return the ports that the system gives to outgoing connections."""
    try:
        first, last = map(int, file.read_text("ascii").split())
    except (OSError, ValueError):
        return EPHEMERAL
    return range(first, last + 1)


def candidates(ephemeral: range) -> range:
    """Return ports to choose from, beside those of connections.

    Below them if there is room, else above. A system that gives all ports to connections leaves no
    others; then all that are not our defaults are as good.
    """
    below = range(FIRST, max(FIRST, ephemeral.start))
    above = range(max(FIRST, ephemeral.stop), PORT_MAX + 1)
    for beside in (below, above):
        if len(beside) >= ROOM_MIN:
            return beside
    return range(FIRST, PORT_MAX + 1)


def free_ports(
    count: int,
    *,
    but: Collection[int] = (),
    among: range | None = None,
    random: Random | None = None,
) -> tuple[int, ...]:
    """Return different ports on which nobody listens.

    They are held together until all are found, so none is there twice; afterwards they are free
    for whoever comes first.

    Args:
        count: How many.
        but: Ports that somebody will have who does not listen yet.
        among: Where to choose; None: beside what this system gives to connections.
        random: Chooses; two stacks that start at once must not choose the same.

    Raises:
        NoFreePortError: There are not as many.
        InvalidValueError: Fewer than none are wanted.
    """
    if count < 0:
        raise InvalidValueError("count", count, "0 or more")
    ports = candidates(ephemeral_ports()) if among is None else among
    found: list[int] = []
    with ExitStack() as held:
        for port in (random or SystemRandom()).sample(ports, len(ports)):
            if len(found) == count:
                break
            if port not in but:
                probe = held.enter_context(socket.socket())
                with suppress(OSError):
                    probe.bind((HOST, port))
                    found.append(port)
    if len(found) < count:
        raise NoFreePortError(count, len(found), ports)
    return tuple(found)


def is_taken(port: int) -> bool:
    """Whether a server cannot listen on a port of this machine now."""
    with socket.socket() as probe:
        # As servers do it: connections that are only fading away do not count.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return True
    return False
