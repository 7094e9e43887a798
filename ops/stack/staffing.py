"""How many coordinators and workers a stack shall have, and on which ports.

Behind the six ports of a stack there is room for ten of coordinators; those of the metrics follow.
Only where the six are not consecutive, or defaults, has each process a free one.
"""

from collections.abc import Sequence
from dataclasses import astuple, replace
from pathlib import Path
from typing import Literal

from bars.errors import InvalidValueError
from ops.stack.addresses import Ports
from ops.stack.fleet import (
    FIRST_METRICS_PORT,
    FOLDER,
    NODES_MAX,
    Asked,
    NodePorts,
    agent_names,
    coordinators_of,
    nodes_made,
)
from ops.stack.listening import PORT_MAX, free_ports, is_taken
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

    Each has its ports: as many as are needed, and those it had as long as nothing else is said.

    Args:
        record: What was before.
        settings: What the agents run with; None: there are none.
        asked: What a person asks for.
        state: The folder of the stack.
        ports: Where a person wants the stack to listen.

    Raises:
        InvalidValueError: They would not work together, or have no ports.
        NoFreePortError: There are not as many as are needed.
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
    fleet = replace(record, nodes=_node_ports(record, count, ports), workers=workers)
    return replace(fleet, metrics=_metrics_ports(fleet, ports))


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


def _metrics_ports(record: Record, ports: Ports | Literal["free"] | None) -> dict[str, int]:
    names = agent_names(record.workers)
    fixed = _fixed(record.ports, names)
    # Other ports of the stack are other ones of its agents.
    known = fixed if isinstance(ports, Ports) and fixed else {**fixed, **record.metrics}
    found = {name: known[name] for name in names if name in known}
    if ports == "free":
        alive = {name for name, each in record.processes.items() if each.alive()}
        found = {n: port for n, port in found.items() if n in alive or not is_taken(port)}
    missing = [name for name in names if name not in found]
    nodes = () if record.nodes is None else record.nodes.all
    free = free_ports(len(missing), but={*astuple(record.ports), *nodes, *found.values()})
    return found | dict(zip(missing, free, strict=True))


def _fixed(ports: Ports, names: Sequence[str]) -> dict[str, int]:
    """Return the ports that agents have by their place; empty where the stack's are chosen."""
    if ports == Ports():
        first = FIRST_METRICS_PORT
    elif astuple(ports) == tuple(range(ports.kafka, ports.kafka + len(astuple(ports)))):
        first = max(astuple(ports)) + 1 + 2 * NODES_MAX
    else:
        return {}
    if first + len(names) - 1 > PORT_MAX:
        allowed = f"at most {ports.kafka - (first + len(names) - 1 - PORT_MAX)}"
        raise InvalidValueError("ports", ports.kafka, f"{allowed} with {len(names)} agents")
    return {name: first + place for place, name in enumerate(names)}
