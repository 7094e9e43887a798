"""How many coordinators and workers a stack shall have, and on which ports.

Behind the six ports of a stack there is room for ten of coordinators; those of the metrics follow.
Only where the six are not consecutive, or defaults, has each process a free one. All of them keep
what they had once.
"""

from collections.abc import Collection, Mapping, Sequence
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
    node_names,
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
    names = node_names(count)
    fixed, known = _fixed_nodes(record.ports, count), record.nodes
    running = [name for name, each in record.processes.items() if each.alive()]
    found = _settled(
        record,
        names,
        {} if fixed is None else dict(zip(names, fixed.all, strict=True)),
        {} if known is None else dict(zip(node_names(len(known.api)), known.all, strict=True)),
        ports,
        # The others know where each listens: one that moves takes all of them along.
        names if any(name.startswith(FOLDER) for name in running) else (),
    )
    every = tuple(found[name] for name in names)
    return NodePorts(every[:count], every[count:])


def _metrics_ports(record: Record, ports: Ports | Literal["free"] | None) -> dict[str, int]:
    names = agent_names(record.workers)
    running = [name for name, each in record.processes.items() if each.alive()]
    return _settled(record, names, _fixed(record.ports, names), record.metrics, ports, running)


def _settled(
    record: Record,
    names: Sequence[str],
    fixed: Mapping[str, int],
    remembered: Mapping[str, int],
    ports: Ports | Literal["free"] | None,
    busy: Collection[str],
) -> dict[str, int]:
    """Return the port of each name: what it had, else what it has by its place, else a free one.

    Args:
        record: Whoever else has a port.
        names: Who needs one.
        fixed: What they have by their place; empty where the stack's ports are chosen.
        remembered: What some of them had.
        ports: Where a person wants the stack to listen. Other ports of it are other ones of theirs;
            `"free"` moves only who finds his own taken.
        busy: Who has his port by right, although it is taken.
    """
    known = fixed if isinstance(ports, Ports) and fixed else {**fixed, **remembered}
    found = {name: known[name] for name in names if name in known}
    if ports == "free":
        found = {n: port for n, port in found.items() if n in busy or not is_taken(port)}
    missing = [name for name in names if name not in found]
    nodes = () if record.nodes is None else record.nodes.all
    others = {*astuple(record.ports), *nodes, *record.metrics.values()}
    free = free_ports(len(missing), but={*others, *found.values()})
    return found | dict(zip(missing, free, strict=True))


def _fixed_nodes(ports: Ports, count: int) -> NodePorts | None:
    """Return the ports that coordinators have by their place; None where the stack's are chosen."""
    if ports == Ports():
        return NodePorts.from_base(count)
    return NodePorts.from_base(count, max(astuple(ports)) + 1) if _consecutive(ports) else None


def _fixed(ports: Ports, names: Sequence[str]) -> dict[str, int]:
    """Return the ports that agents have by their place; empty where the stack's are chosen."""
    if ports == Ports():
        first = FIRST_METRICS_PORT
    elif _consecutive(ports):
        first = max(astuple(ports)) + 1 + 2 * NODES_MAX
    else:
        return {}
    if first + len(names) - 1 > PORT_MAX:
        allowed = f"at most {ports.kafka - (first + len(names) - 1 - PORT_MAX)}"
        raise InvalidValueError("ports", ports.kafka, f"{allowed} with {len(names)} agents")
    return {name: first + place for place, name in enumerate(names)}


def _consecutive(ports: Ports) -> bool:
    found = astuple(ports)
    return found == tuple(range(found[0], found[0] + len(found)))
