"""Our own processes, each under a supervisor: coordinators, conform, materialize, fetch workers."""

import sys
import sysconfig
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import ops
from ops.stack.fleet import WORKER_TOKEN, agent_names
from ops.stack.listening import HOST
from ops.stack.processes import ProcessId
from ops.stack.servers import HTTP_OK, Context, probe_http
from ops.stack.service import Service
from ops.supervise import Report, ready_file

STREAMS = frozenset({"conform", "materialize"})
"""Agents that are roles of `python -m streams`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Program:
    """One of our processes."""

    name: str
    title: str
    words: tuple[str, ...]
    """Module and arguments."""

    environ: Mapping[str, str]
    """What it has to know of the lease service."""


def agents(context: Context, config: Path, workers: int = 1) -> tuple[Service, ...]:
    """Return conform, materialize and the workers, run with a configuration."""
    nodes, folder = context.nodes, context.folder.path
    environ = {} if nodes is None else nodes.environ(folder, WORKER_TOKEN)
    return tuple(_agent(context, name, environ, config) for name in agent_names(workers))


def _agent(context: Context, name: str, environ: Mapping[str, str], config: Path) -> Service:
    role = ("streams", name) if name in STREAMS else ("worker",)
    port = context.metrics.get(name)
    # What an earlier version started serves no metrics, and has to be found and stopped.
    words = role if port is None else (*role, "--metrics-port", str(port))
    program = _Program(name=name, title=f"agent {name}", words=words, environ=environ)
    made = _service(context, program, config)
    if port is None:
        return made
    return replace(made, address=f"http://{HOST}:{port}/metrics", ports=(port,))


def coordinators(context: Context, config: Path) -> tuple[Service, ...]:
    """Return the nodes of the lease service, if there are any."""
    nodes = context.nodes
    if nodes is None:
        return ()
    ports = zip(nodes.settings().urls, nodes.api, nodes.raft, strict=True)
    environ = nodes.node_environ(context.folder.path)
    found = []
    for number, (url, *own) in enumerate(ports, 1):
        program = _Program(
            name=f"coordinator-{number}",
            title=f"coordinator {number}",
            words=("coordinator", "--node", str(number)),
            environ=environ,
        )
        made = _service(context, program, config)
        probe = partial(_probe_node, made.probe, f"{url}/readyz")
        found.append(replace(made, probe=probe, address=url, ports=tuple(own)))
    return tuple(found)


def _service(context: Context, program: _Program, config: Path) -> Service:
    name = program.name
    report = context.folder.run(f"{name}.json")
    module, *arguments = program.words
    # -P: a folder of the person's that happens to be called `store` must not be imported.
    python = (sys.executable, "-P", "-m")
    command = (*python, module, *arguments, "--config", str(config))
    supervised = (*python, "ops.supervise", "--report", str(report), "--", *command)
    return Service(
        name=name,
        title=program.title,
        log=context.folder.log(name),
        prepare=partial(_prepare, report, supervised),
        environ=dict(context.options.environ)
        | context.addresses.environ()
        | dict(program.environ)
        | {"SEAMLESS_STATE_DIR": str(context.folder.path)}
        | _import_path(context),
        probe=partial(_probe, report),
        find=partial(_supervisors, report),
        leftovers=partial(_children, report),
        stop_timeout_s=30.0,
    )


def _prepare(report: Path, command: tuple[str, ...], _files: tuple[Path, ...]) -> tuple[str, ...]:
    """Forget what the supervisor before this one said: the new one has not spoken yet."""
    report.unlink(missing_ok=True)
    ready_file(report).unlink(missing_ok=True)
    return command


def _probe(report: Path, _timeout_s: float) -> str | None:
    found = Report.read(report)
    return "its supervisor has not started it yet" if found is None else found.why_not_ready(report)


def _probe_node(
    supervised: Callable[[float], str | None], url: str, timeout_s: float
) -> str | None:
    """Return why a node is of no use now: not running, or without a majority."""
    return supervised(timeout_s) or probe_http(url, HTTP_OK, timeout_s)


def _supervisors(report: Path) -> Iterable[ProcessId]:
    found = Report.read(report)
    process = ProcessId.of(found.supervisor) if found else None
    return (process,) if process else ()


def _children(report: Path) -> Iterable[ProcessId]:
    found = Report.read(report)
    process = ProcessId.of(found.child) if found and found.child else None
    return (process,) if process else ()


def _import_path(context: Context) -> dict[str, str]:
    """Return where a child finds our packages when they are not installed but checked out."""
    root = Path(ops.__file__).parents[1]
    if root == Path(sysconfig.get_path("purelib")):
        return {}
    inherited = context.options.environ.get("PYTHONPATH")
    return {"PYTHONPATH": f"{root}:{inherited}" if inherited else str(root)}
