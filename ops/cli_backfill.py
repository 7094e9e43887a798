"""`seamless backfill`: asks for bars over Kafka and follows the request to its end."""

import asyncio
import uuid
from collections.abc import Callable
from contextlib import aclosing
from dataclasses import asdict
from functools import partial
from typing import Annotated

import typer
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
)

from avro_schemas import BackfillRequest, BackfillStatus, RequestKind, RequestState
from bars.errors import InvalidValueError
from bars.window import Window
from ops.cli_common import (
    DEFAULT_CONFIG,
    EXIT_FAILED,
    EXIT_INPUT,
    EXIT_INTERRUPTED,
    Config,
    End,
    Interval,
    Json,
    Node,
    Start,
    fail,
    load,
    print_json,
    series_of,
    stderr,
    told,
    window_of,
)
from ops.planning import plan_now
from provider import BackfillRequests
from runtime import Settings, SystemClock, format_time
from worker import Accepted, Plan, accept

_EXITS = {RequestState.DONE: 0, RequestState.REJECTED: EXIT_INPUT}
_WINDOWS_SHOWN = 10


def register(app: typer.Typer) -> None:
    """Add the command to an app."""
    app.command("backfill")(backfill)


def backfill(  # noqa: PLR0913, PLR0917  the options of a command are its parameters
    node: Node,
    interval: Interval,
    start: Start,
    end: End,
    source: Annotated[
        str, typer.Option("--source", help="A source of the node; the first if left out.")
    ] = "",
    refetch: Annotated[
        bool, typer.Option("--refetch", help="Fetch what is covered too; changes are reported.")
    ] = False,
    priority: Annotated[int, typer.Option("--priority", help="Higher is served sooner.")] = 0,
    wait: Annotated[
        bool, typer.Option("--wait/--no-wait", help="Follow the request to its end.")
    ] = True,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would be fetched, and ask for nothing.")
    ] = False,
    timeout: Annotated[
        float | None,
        typer.Option("--timeout", metavar="SECONDS", help="Wait no longer than this in all."),
    ] = None,
    config: Config = DEFAULT_CONFIG,
    as_json: Json = False,
) -> None:
    """Ask for the bars of a window to be fetched and stored, and follow the request.

    Exit code 0: every bar is in the store; 1: something failed, or there was no end in time;
    2: bad input, nothing was asked for.
    """
    with told():
        settings = load(config)
        if timeout is not None and not timeout > 0:
            raise InvalidValueError("--timeout", timeout, "seconds above 0")
        series, window = series_of(node, interval, settings), window_of(start, end)
        request = BackfillRequest(
            request_id=str(uuid.uuid4()),
            kind=RequestKind.SUBMIT,
            node_id=series.node,
            interval=series.interval,
            start=window.start,
            end=window.end,
            source=source,
            refetch=refetch,
            priority=priority,
            requested_by="seamless backfill",
        )
        accepted = accept(request, settings)
        if dry_run:
            found, doubt = asyncio.run(plan_now(accepted, settings))
            _show_plan(found, doubt, accepted, as_json=as_json)
            return
        if not wait:
            asyncio.run(_publish(request, settings))
            if as_json:
                print_json({"request_id": request.request_id})
            else:
                typer.echo(request.request_id)
            return
        status = _follow(request, settings, timeout)
    if as_json:
        print_json(asdict(status))
    else:
        _show_end(status)
    raise typer.Exit(_EXITS.get(status.state, EXIT_FAILED))


async def _publish(request: BackfillRequest, settings: Settings) -> None:
    requests = BackfillRequests(settings, SystemClock())
    try:
        await requests.publish(request)
    finally:
        await requests.close()


def _follow(
    request: BackfillRequest, settings: Settings, timeout_s: float | None
) -> BackfillStatus:
    """Return the final status; while waiting, show how far it has come."""
    bar = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("windows, {task.fields[bars]} bars"),
        TimeElapsedColumn(),
        console=stderr(),
    )
    try:
        with bar:
            task = bar.add_task(f"{request.node_id} requested", total=None, bars=0)
            return asyncio.run(_statuses(request, settings, timeout_s, partial(_draw, bar, task)))
    except TimeoutError:
        silence = f"{settings.backfill.wait_timeout_s:g} s without news"
        limit = silence if timeout_s is None else f"{timeout_s:g} s, or {silence}"
        fail(f"request {request.request_id} has not ended after {limit}; it goes on", EXIT_FAILED)
    except KeyboardInterrupt:
        fail(f"interrupted; request {request.request_id} goes on", EXIT_INTERRUPTED)


async def _statuses(
    request: BackfillRequest,
    settings: Settings,
    timeout_s: float | None,
    show: Callable[[BackfillStatus], None],
) -> BackfillStatus:
    """Return the final status of a request, each one shown on the way.

    Raises:
        TimeoutError: It has not ended in time, or nothing has been heard of it for long.
    """
    requests = BackfillRequests(settings, SystemClock())
    try:
        async with asyncio.timeout(timeout_s), aclosing(requests.submit(request)) as statuses:
            while True:
                async with asyncio.timeout(settings.backfill.wait_timeout_s):
                    status = await anext(statuses)
                show(status)
                if status.state.final:
                    return status
    finally:
        await requests.close()


def _draw(bar: Progress, task: TaskID, status: BackfillStatus) -> None:
    bar.update(
        task,
        description=f"{status.node_id} {status.state.value.lower()}",
        total=status.windows_total,
        completed=status.windows_done + status.windows_failed,
        bars=status.bars_fetched,
    )


def _show_plan(found: Plan, doubt: str, accepted: Accepted, *, as_json: bool) -> None:
    if as_json:
        print_json(
            {
                "node_id": accepted.node.series.node,
                "interval": accepted.node.series.interval,
                "source": accepted.source,
                "window": _pair(found.window) if found.window else None,
                "windows": [_pair(window) for window in found.windows],
                "missing": [_pair(window) for window in found.missing],
                "session_bars": found.session_bars,
                "covered_bars": found.covered_bars,
                "note": found.note,
                "doubt": doubt,
            }
        )
        return
    typer.echo(f"{accepted.node.series} from source {accepted.source}")
    if found.window:
        bounds = f"{format_time(found.window.start)} to before {format_time(found.window.end)}"
        typer.echo(f"window: {bounds}")
    typer.echo(f"session bars: {found.session_bars}, of them covered: {found.covered_bars}")
    typer.echo(f"windows to fetch: {len(found.windows)}")
    for window in found.windows[:_WINDOWS_SHOWN]:
        typer.echo(f"  {format_time(window.start)} to before {format_time(window.end)}")
    if len(found.windows) > _WINDOWS_SHOWN:
        typer.echo(f"  ... and {len(found.windows) - _WINDOWS_SHOWN} more (--json has them all)")
    for told_too in filter(None, (found.note, doubt)):
        typer.echo(told_too)


def _pair(window: Window) -> list[int]:
    return [window.start, window.end]


def _show_end(status: BackfillStatus) -> None:
    typer.echo(
        f"{status.request_id} {status.state.value}: {status.windows_done} of "
        f"{status.windows_total} windows stored, {status.bars_fetched} bars fetched, "
        f"{status.session_bars_covered} of {status.session_bars} session bars were covered before"
    )
    if status.message:
        typer.echo(status.message)
    for failure in status.failures[:_WINDOWS_SHOWN]:
        bounds = f"{format_time(failure.start)} to before {format_time(failure.end)}"
        typer.echo(f"  {bounds}: {failure.error_class}: {failure.message}")
    if len(status.failures) > _WINDOWS_SHOWN:
        typer.echo(f"  ... and {len(status.failures) - _WINDOWS_SHOWN} more (--json has them)")
