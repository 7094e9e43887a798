"""What the commands share: the configuration, exit codes, and where words go.

Standard output carries what was asked for and nothing else; everything told beside it goes to
standard error. Exit codes: 0 done, 1 failed, 2 bad input (nothing was done), 130 interrupted.
"""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer
from rich.console import Console

from bars.errors import InvalidValueError, SeamlessError
from bars.series import Series, parse_interval
from bars.window import Window
from runtime import ConfigError, Settings, parse_time

EXIT_FAILED = 1
EXIT_INPUT = 2
EXIT_INTERRUPTED = 130

DEFAULT_CONFIG = Path("seamless.yaml")

Config = Annotated[
    Path,
    typer.Option(
        "--config", metavar="FILE", envvar="SEAMLESS_CONFIG", help="Nodes, sources, servers."
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document on standard output.")]
Node = Annotated[str, typer.Argument(metavar="NODE", help="Such as ohlcv:nasdaq:AAPL:1d.")]
Interval = Annotated[
    str, typer.Option("--interval", help="Bar length: 60, 30s, 5m, 1h, 1d.", show_default=False)
]
_TIME = "2000-03-01, 2000-03-01T09:30:00Z or epoch seconds; UTC when naive."
Start = Annotated[
    str, typer.Option("--start", help=f"First open time: {_TIME}", show_default=False)
]
End = Annotated[
    str, typer.Option("--end", help="First open time no longer wanted.", show_default=False)
]


@contextmanager
def told() -> Iterator[None]:
    """Turn an error into its message on standard error and an exit code."""
    try:
        yield
    except (ConfigError, InvalidValueError) as error:
        fail(str(error), EXIT_INPUT)
    except SeamlessError as error:
        fail(str(error), EXIT_FAILED)
    except KeyboardInterrupt:
        fail("interrupted", EXIT_INTERRUPTED)


def fail(message: str, code: int) -> NoReturn:
    """End the command.

    Raises:
        Exit: Always.
    """
    typer.echo(f"error: {message}", err=True)
    raise typer.Exit(code) from None


def load(config: Path) -> Settings:
    """Return the settings of a file and the environment.

    Raises:
        ConfigError: They are not what they may be.
    """
    return Settings.load(config, os.environ)


def series_of(node: str, interval: str, settings: Settings) -> Series:
    """Return a series of the configuration.

    Raises:
        InvalidValueError: It is not one.
    """
    return settings.node(Series(node, parse_interval(interval, "--interval"))).series


def window_of(start: str, end: str) -> Window:
    """Return the half-open window between two times.

    Raises:
        InvalidValueError: A time is not one, or there is nothing between them.
    """
    first, after = parse_time(start, "--start"), parse_time(end, "--end")
    if first < 0:
        raise InvalidValueError("--start", start, "1970-01-01 or later")
    if first >= after:
        raise InvalidValueError("--end", end, f"after --start {start}")
    return Window(first, after)


def print_json(document: Any) -> None:
    """Print one JSON document on standard output."""
    typer.echo(json.dumps(document, indent=1))


def stdout() -> Console:
    """Return where what was asked for goes."""
    return Console(highlight=False)


def stderr() -> Console:
    """Return where everything else goes."""
    return Console(stderr=True, highlight=False)
