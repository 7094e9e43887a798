"""Our own processes, each under a supervisor: conform, materialize and the fetch worker."""

import sys
import sysconfig
from collections.abc import Iterable
from functools import partial
from pathlib import Path

import ops
from ops.stack.processes import ProcessId
from ops.stack.servers import Context
from ops.stack.service import Service
from ops.supervise import Report, ready_file

_PROGRAMS = {
    "conform": ("streams", "conform"),
    "materialize": ("streams", "materialize"),
    "worker": ("worker",),
}
"""Module and arguments by name."""

NAMES = tuple(_PROGRAMS)


def agents(context: Context, config: Path) -> tuple[Service, ...]:
    """Return the three, run with a configuration."""
    return tuple(_agent(context, name, config) for name in NAMES)


def _agent(context: Context, name: str, config: Path) -> Service:
    report = context.folder.run(f"{name}.json")
    module, *arguments = _PROGRAMS[name]
    # -P: a folder of the person's that happens to be called `store` must not be imported.
    python = (sys.executable, "-P", "-m")
    program = (*python, module, *arguments, "--config", str(config))
    supervised = (*python, "ops.supervise", "--report", str(report), "--", *program)
    return Service(
        name=name,
        title=f"agent {name}",
        log=context.folder.log(name),
        prepare=partial(_prepare, report, supervised),
        environ=dict(context.options.environ)
        | context.addresses.environ()
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
