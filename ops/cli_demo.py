"""`seamless demo`: real bars go the whole road and come back bit for bit the same."""

from pathlib import Path
from typing import Annotated

import typer

from ops.cli_common import stderr, stdout, told
from ops.demo import Demo, Options


def register(app: typer.Typer) -> None:
    """Add the command to an app."""
    app.command("demo")(demo)


def demo(
    keep: Annotated[
        bool, typer.Option("--keep", help="Leave the stack running and say how to stop it.")
    ] = False,
    state: Annotated[
        Path | None,
        typer.Option("--state", metavar="DIR", help="An empty folder; else a temporary one."),
    ] = None,
    out: Annotated[
        Path, typer.Option("--out", metavar="FILE", help="The page that shows it.")
    ] = Path("demo.html"),
) -> None:
    """Send 12 years of daily bars of four stocks down the whole road, and compare every value.

    Starts a stack of its own on free ports in an empty folder and stops it. Exit code 1 if a
    single bar differs.
    """
    with told():
        Demo(Options(state=state, out=out, keep=keep), stdout(), stderr()).run()
