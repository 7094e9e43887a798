"""A node as a program of level 1 has it: `python -m tests.faults.coordinator.older`.

It has no command and no field of a later level, in its log, its state and its API, and it says no
level to its leader. All else is the node of today.
"""

import importlib
import os
import sys
from dataclasses import fields
from typing import Any

from pysyncobj.node import TCPNode

from coordinator.__main__ import main
from coordinator._service.raft.transport import GuardedTransport
from coordinator.machine import wire
from coordinator.machine._codec import codec_of
from coordinator.machine._facts import _Facts
from coordinator.machine.replica import Replica
from coordinator.machine.state import Session
from tests.unit.test_machine_levels import FIRST

LATER = {Session: ("claim",), _Facts: ("config_version",)}
"""Fields of the state that level 1 has not."""


class WithoutLevel(GuardedTransport):
    """Says nothing of a level: nobody asked for one then."""

    def send(self, node: TCPNode, message: Any) -> bool:
        """Send a message to a node."""
        if message["type"] == "next_node_idx":
            message = {name: value for name, value in message.items() if name != "level"}
        return super().send(node, message)


def install() -> None:
    """Take away what level 1 has not.

    Raises:
        LookupError: Something of it is not there: this node would be no older one.
    """
    assert isinstance(wire.OPS, dict)  # nobody else may change it
    later = [op for op in wire.OPS if op not in FIRST]
    if not later:
        raise LookupError("no command has come since level 1: this node would be no older one")
    for op in later:
        del wire.OPS[op]
    for op, kind in wire.OPS.items():
        known = FIRST[op].split()
        written = [each.name for each in fields(kind) if each.metadata.get("wire", True)]
        _forget(kind, [name for name in written if name not in known])
    for kind, names in LATER.items():
        _forget(kind, names)
    if wire.LEVEL == 1 or "level" not in vars(Replica):
        raise LookupError("a replica says no level: this node would be as any other")
    Replica.level = 1
    real = importlib.import_module("coordinator._service.raft.real")
    if not hasattr(real, "GuardedTransport"):
        raise LookupError(
            f"{real.__name__} has no GuardedTransport: this node would tell its level"
        )
    setattr(real, "GuardedTransport", WithoutLevel)  # noqa: B010 - mypy lets nobody else


def _forget(kind: type, names: Any) -> None:
    """Have a field refused; what nobody can say is never written either."""
    codec: Any = codec_of(kind)
    codecs = codec.decode.__self__._codecs
    for name in names:
        if name not in codecs:
            raise LookupError(f"{kind.__name__} has no {name}: this node would be no older one")
        del codecs[name]


if __name__ == "__main__":
    install()
    sys.exit(main(sys.argv[1:], os.environ))
