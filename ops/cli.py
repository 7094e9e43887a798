"""The `seamless` command: each module `cli_*` brings its own commands."""

import typer

from ops import (
    cli_backfill,
    cli_deadletters,
    cli_demo,
    cli_leases,
    cli_read,
    cli_stack,
    cli_topics,
)
from runtime.log import configure

app = typer.Typer(
    name="seamless",
    help="Price bars as if they had always been there, and the proof that they are right.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
cli_stack.register(app)
cli_topics.register(app)
cli_backfill.register(app)
cli_read.register(app)
cli_leases.register(app)
cli_deadletters.register(app)
cli_demo.register(app)


def main() -> None:
    """Run the command line."""
    configure("cli", "WARNING")
    app()
