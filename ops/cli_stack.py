"""`seamless up`, `seamless status`, `seamless down`: the local stack from the command line.

Exit codes: 0 all is well, 1 something is down or does not start, 2 what was asked for is wrong.
"""

import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Literal

import typer
from rich.table import Table

from ops.cli_common import EXIT_FAILED, EXIT_INPUT, Json, fail, print_json, stdout, told
from ops.stack import Asked, LocalStack, Ports, StackStatus, StateFolderError

_WIDTH_MIN = 120
_COLOURS = {"ready": "green", "stopped": "dim"}

State = Annotated[
    Path,
    typer.Option(
        "--state",
        metavar="DIR",
        envvar="SEAMLESS_STATE_DIR",
        help="Folder with the data, logs and memory of the stack.",
    ),
]
DEFAULT_STATE = Path("~/.seamless")


def register(app: typer.Typer) -> None:
    """Add the commands to an app."""
    app.command("up")(up)
    app.command("status")(status)
    app.command("down")(down)


def up(  # noqa: PLR0913, PLR0917  the options of a command are its parameters
    state: State = DEFAULT_STATE,
    config: Annotated[
        Path | None,
        typer.Option("--config", metavar="FILE", help="What the agents run with; remembered."),
    ] = None,
    ports: Annotated[
        str | None,
        typer.Option(
            "--ports",
            metavar="BASE|free",
            help="First of the servers' six ports, those of ours follow; or 'free' for any that "
            "nobody uses; remembered.",
        ),
    ] = None,
    agents: Annotated[
        bool, typer.Option("--agents/--no-agents", help="Whether to start the agents.")
    ] = True,
    coordinators: Annotated[
        int | None,
        typer.Option(
            "--coordinators",
            metavar="N",
            help="Nodes of a lease service: 0, 1, 3 or 5; remembered. One where the "
            "configuration has a section for it, else none.",
        ),
    ] = None,
    workers: Annotated[
        int | None,
        typer.Option("--workers", metavar="N", help="Fetch workers; remembered."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Start what does not run of the local stack, and wait until all of it answers."""
    with _told():
        asked = Asked(coordinators, workers)
        stack = LocalStack(state, ports=_ports(ports))
        found = stack.up(config, with_agents=agents, asked=asked)
    _show(found, as_json=as_json)
    raise typer.Exit(0 if found.ready else EXIT_FAILED)


def status(state: State = DEFAULT_STATE, as_json: Json = False) -> None:
    """Say what of the local stack runs and answers; exit code 1 if anything does not."""
    with _told():
        found = LocalStack(state).status()
    _show(found, as_json=as_json)
    raise typer.Exit(0 if found.ready else EXIT_FAILED)


def down(state: State = DEFAULT_STATE, as_json: Json = False) -> None:
    """Stop what `up` started; the data stays."""
    with _told():
        stack = LocalStack(state)
        stack.down()
        found = stack.status()
    if as_json:
        _show(found, as_json=True)


@contextmanager
def _told() -> Iterator[None]:
    """Turn an error into its message and an exit code; an unfit folder is bad input."""
    with told():
        try:
            yield
        except StateFolderError as error:
            fail(str(error), EXIT_INPUT)


def _ports(text: str | None) -> Ports | Literal["free"] | None:
    return None if text is None else "free" if text == "free" else Ports.parse(text)


def _show(found: StackStatus, *, as_json: bool) -> None:
    if as_json:
        print_json(found.to_json())
        return
    if not found.services:
        typer.echo(f"no stack in {found.state}: `seamless up` makes one")
        return
    table = Table("service", "status", "pid", "address", box=None, pad_edge=False)
    for each in found.services:
        colour = _COLOURS.get(each.status, "red")
        shown = f"[{colour}]{each.status}[/]"
        table.add_row(each.title, shown, str(each.pid or ""), each.address)
    console = stdout()
    console.width = max(console.width, _WIDTH_MIN)  # addresses are for copying: never cut them
    console.print(table)
    for each in found.services:
        if each.detail:
            console.print(f"{each.title}: {each.detail}", markup=False, soft_wrap=True)
    console.print(f"state and logs: {found.state}", markup=False, soft_wrap=True)
    if found.addresses != Ports().addresses().environ():
        typer.echo("processes of yours find these servers with:")
        for name, value in found.addresses.items():
            typer.echo(f"  export {name}={shlex.quote(value)}")
