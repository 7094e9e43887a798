"""`seamless fetch` and `seamless coverage`: what a strategy would get, on the command line."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import pandas as pd
import typer
from rich.table import Table

from bars.errors import InvalidValueError
from bars.history_coverage import CoverageRange, to_windows
from bars.window import Grid
from ops.cli_common import (
    DEFAULT_CONFIG,
    Config,
    End,
    Interval,
    Json,
    Node,
    Start,
    load,
    print_json,
    series_of,
    stderr,
    stdout,
    told,
    window_of,
)
from provider import DataAvailabilityStrategy, EnhancedQuestDBProvider
from provider.options import ALLOWED_STRATEGIES
from runtime import format_time

SHOWN = 5
"""Bars at each end of a long answer that a terminal shows."""

STDOUT = Path("-")
"""`--out -`: CSV on standard output."""


def register(app: typer.Typer) -> None:
    """Add the commands to an app."""
    app.command("fetch")(fetch)
    app.command("coverage")(coverage)


def fetch(  # noqa: PLR0913, PLR0917  the options of a command are its parameters
    node: Node,
    interval: Interval,
    start: Start,
    end: End,
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="FILE", help=".csv, .parquet, or - for CSV on stdout."),
    ] = None,
    strategy: Annotated[
        str, typer.Option("--strategy", help="fail_fast, auto_backfill, partial_fill or seamless.")
    ] = DataAvailabilityStrategy.AUTO_BACKFILL.value,
    config: Config = DEFAULT_CONFIG,
    as_json: Json = False,
) -> None:
    """Print or write the bars of a window; what is missing is requested and waited for."""
    with told():
        write = _writer(out)
        settings = load(config)
        series, window = series_of(node, interval, settings), window_of(start, end)
        chosen = _strategy(strategy)
        with EnhancedQuestDBProvider.from_settings(settings, strategy=chosen) as provider:
            bars = provider.fetch_sync(
                window.start, window.end, node_id=series.node, interval=series.interval
            )
        if write is not None:
            write(bars)
    about = bars.attrs["seamless"]
    if as_json:
        columns = {} if out else {"bars": {name: bars[name].tolist() for name in bars}}
        print_json({**about, "rows": len(bars), **columns})
    elif out is None:
        _print_bars(bars)
    _tell(about, len(bars), out)


def coverage(
    node: Node, interval: Interval, config: Config = DEFAULT_CONFIG, as_json: Json = False
) -> None:
    """Print what is covered of a series: first and last bar of each range, both inclusive."""
    with told():
        settings = load(config)
        series = series_of(node, interval, settings)
        with EnhancedQuestDBProvider.from_settings(settings) as provider:
            ranges = provider.coverage_sync(node_id=series.node, interval=series.interval)
    if as_json:
        print_json([list(each) for each in ranges])
        return
    if not ranges:
        typer.echo("nothing is covered")
        return
    table = Table("first bar", "last bar", "slots", box=None, pad_edge=False)
    for first, last in ranges:
        (window,) = to_windows([CoverageRange(first, last)], series.interval)
        slots = Grid(series.interval, first).slots(window)
        table.add_row(format_time(first), format_time(last), str(slots))
    stdout().print(table)


def _strategy(name: str) -> DataAvailabilityStrategy:
    for allowed in ALLOWED_STRATEGIES:
        if name == allowed.value:
            return allowed
    names = " or ".join(allowed.value for allowed in ALLOWED_STRATEGIES)
    raise InvalidValueError("--strategy", name, names)


def _writer(out: Path | None) -> Callable[[pd.DataFrame], None] | None:
    """Return what writes the answer; a wrong name is refused before anything is fetched."""
    if out is None:
        return None
    if out == STDOUT:
        return lambda bars: typer.echo(bars.to_csv(index=False, lineterminator="\n"), nl=False)
    if out.suffix not in (".csv", ".parquet"):
        raise InvalidValueError("--out", str(out), "a file ending in .csv or .parquet, or -")
    if not out.parent.is_dir():
        raise InvalidValueError("--out", str(out), "a file in a folder that exists")

    def write(bars: pd.DataFrame) -> None:
        # Beside it first: who reads the file never sees half of one.
        part = out.with_name(f".{out.name}.{os.getpid()}")
        try:
            if out.suffix == ".csv":
                bars.to_csv(part, index=False)
            else:
                bars.to_parquet(part, index=False)
            part.replace(out)
        finally:
            part.unlink(missing_ok=True)

    return write


def _print_bars(bars: pd.DataFrame) -> None:
    table = Table(box=None, pad_edge=False)
    for name in ("time", *bars.columns):
        table.add_column(name, justify="left" if name == "time" else "right")
    cut = len(bars) > 2 * SHOWN + 1
    for part in (bars.head(SHOWN), bars.tail(SHOWN)) if cut else (bars,):
        columns = (part[name].tolist() for name in part.columns)
        for ts, *values in zip(*columns, strict=True):
            table.add_row(format_time(ts), str(ts), *(f"{value:.10g}" for value in values))
        if cut and part.index[0] == 0:
            table.add_row("...", *("" for _ in bars.columns))
    stdout().print(table)


def _tell(about: dict[str, Any], rows: int, out: Path | None) -> None:
    console = stderr()
    where = f", written to {out}" if out and out != STDOUT else ""
    console.print(f"{rows} bars of {about['session_bars']} session bars{where}", markup=False)
    for reason, slots in about["missing_slots"].items():
        console.print(f"  {slots} slots without a bar: {reason}", markup=False)
    for flag in about["report"]["flags"]:
        console.print(f"  {flag['severity']} {flag['check']}: {flag['message']}", markup=False)
