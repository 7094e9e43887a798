"""`seamless topics apply | check`: topics and subjects as the catalogue says."""

import asyncio
from collections.abc import Sequence
from dataclasses import asdict

import typer

import topics
from ops.cli_common import DEFAULT_CONFIG, EXIT_FAILED, Config, Json, load, print_json, told
from topics import Change, Difference


def register(app: typer.Typer) -> None:
    """Add the commands to an app."""
    group = typer.Typer(no_args_is_help=True, help="Topics, schemas and their compatibility.")
    group.command("apply")(apply)
    group.command("check")(check)
    app.add_typer(group, name="topics")


def apply(config: Config = DEFAULT_CONFIG, as_json: Json = False) -> None:
    """Create and alter topics and subjects until all is as it should be; repeat it at will."""
    with told():
        done = asyncio.run(topics.apply(load(config)))
    _show(done, "nothing to change: topics and schemas are as they should be", as_json=as_json)


def check(config: Config = DEFAULT_CONFIG, as_json: Json = False) -> None:
    """Name each difference to what should be; exit code 1 if there is one."""
    with told():
        found = asyncio.run(topics.check(load(config)))
    _show(found, "topics and schemas are as they should be", as_json=as_json)
    if found:
        raise typer.Exit(EXIT_FAILED)


def _show(found: Sequence[Change | Difference], nothing: str, *, as_json: bool) -> None:
    if as_json:
        print_json([asdict(each) for each in found])
        return
    for line in map(str, found) if found else [nothing]:
        typer.echo(line)
