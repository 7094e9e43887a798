"""How many coordinators and workers a stack shall have, and on which ports."""

from dataclasses import astuple, replace
from pathlib import Path
from typing import Literal

from bars.errors import InvalidValueError
from ops.stack.addresses import Ports
from ops.stack.fleet import FOLDER, Asked, NodePorts, coordinators_of, nodes_made
from ops.stack.listening import is_taken
from ops.stack.state import Record
from runtime.settings import Settings


def staffed(
    record: Record,
    settings: Settings | None,
    asked: Asked,
    state: Path,
    ports: Ports | Literal["free"] | None,
) -> Record:
    """Return what is remembered, with as many coordinators and workers as there shall be.

    Args:
        record: What was before.
        settings: What the agents run with; None: there are none.
        asked: What a person asks for.
        state: The folder of the stack.
        ports: Where a person wants the stack to listen.

    Raises:
        InvalidValueError: They would not work together.
    """
    if settings is None:
        if asked.coordinators or asked.workers:
            allowed = "given with a configuration: `--config FILE`"
            raise InvalidValueError("--coordinators, --workers", "no configuration", allowed)
        return record
    count = asked.coordinators
    if count is None:
        count = len(record.nodes.api) if record.nodes else coordinators_of(settings)
    workers = record.workers if asked.workers is None else asked.workers
    if workers > 1 and not count and not settings.has_coordinator:
        allowed = "1 without a lease service: `--coordinators 1` starts one"
        raise InvalidValueError("--workers", workers, allowed)
    made = nodes_made(state)
    if count and made not in (0, count):
        raise InvalidValueError("--coordinators", count, f"{made}: {state / FOLDER} is their log")
    return replace(record, nodes=_node_ports(record, count, ports), workers=workers)


def _node_ports(
    record: Record, count: int, ports: Ports | Literal["free"] | None
) -> NodePorts | None:
    if not count:
        return None
    known = record.nodes
    if known is not None and len(known.api) == count:
        running = [name for name, each in record.processes.items() if each.alive()]
        alive = any(name.startswith(FOLDER) for name in running)
        if ports != "free" or alive or not any(map(is_taken, known.all)):
            return known
    if ports == "free":
        return NodePorts.free(count, but=astuple(record.ports))
    if isinstance(ports, Ports):
        return NodePorts.from_base(count, max(astuple(ports)) + 1)
    return NodePorts.from_base(count)
