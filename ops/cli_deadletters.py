"""`seamless deadletters list | replay`: what was put aside, and asking anew for what it held.

A replay asks for the windows of letters as anybody may ask: under a fresh lease, only for what the
ledger lacks in the letters' own lane. Without `--yes` it says what it would ask for.
"""

import asyncio
from dataclasses import asdict, dataclass
from typing import Annotated, Any

import typer
from rich.table import Table

from avro_schemas import BackfillRequest
from bars.errors import InvalidValueError
from ops.cli_common import DEFAULT_CONFIG, Config, Json, load, print_json, stdout, told
from ops.deadletters import Filters, Letter, Lot, lots_of, read_letters
from ops.planning import plan_now
from provider import BackfillRequests
from runtime import Settings, SystemClock, format_time, parse_time
from worker import RefusedRequestError, accept

LIMIT = 100
LIMIT_MAX = 100_000
_WIDTH_MIN = 140

ErrorClass = Annotated[
    str | None, typer.Option("--class", help="Only letters of this error class.")
]
OfNode = Annotated[str | None, typer.Option("--node", help="Only letters about this node.")]
Since = Annotated[str | None, typer.Option("--since", help="Only those first seen then or later.")]
Until = Annotated[str | None, typer.Option("--until", help="Only those first seen before.")]
Limit = Annotated[int, typer.Option("--limit", help="The newest so many.")]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Wish:
    """A request that a replay would make, and what would become of it."""

    request: BackfillRequest
    letters: int
    windows: int
    """Windows that would be fetched."""

    note: str
    """Why there are none, or what is not known."""


def register(app: typer.Typer) -> None:
    """Add the commands to an app."""
    group = typer.Typer(no_args_is_help=True, help="Records that can never be right.")
    group.command("list")(list_letters)
    group.command("replay")(replay)
    app.add_typer(group, name="deadletters")


def list_letters(  # noqa: PLR0913, PLR0917  the options of a command are its parameters
    error_class: ErrorClass = None,
    node: OfNode = None,
    since: Since = None,
    until: Until = None,
    limit: Limit = LIMIT,
    config: Config = DEFAULT_CONFIG,
    as_json: Json = False,
) -> None:
    """Print dead letters, oldest first."""
    with told():
        settings = load(config)
        filters = _filters(error_class, node, since, until, limit)
        letters = asyncio.run(read_letters(settings, filters, limit))
    if as_json:
        print_json([_as_json(letter) for letter in letters])
    else:
        _show_letters(letters)


def replay(  # noqa: PLR0913, PLR0917  the options of a command are its parameters
    error_class: ErrorClass = None,
    node: OfNode = None,
    since: Since = None,
    until: Until = None,
    limit: Limit = LIMIT,
    yes: Annotated[
        bool, typer.Option("--yes", help="Ask; without, only say what would be asked for.")
    ] = False,
    config: Config = DEFAULT_CONFIG,
    as_json: Json = False,
) -> None:
    """Ask for the windows of dead letters that the ledger does not cover."""
    with told():
        settings = load(config)
        filters = _filters(error_class, node, since, until, limit)
        letters, wishes = asyncio.run(_replay(settings, filters, limit, yes=yes))
    if as_json:
        print_json({"letters": len(letters), "requests": [_wish_json(wish) for wish in wishes]})
    else:
        _show_wishes(letters, wishes, yes=yes)


async def _replay(
    settings: Settings, filters: Filters, limit: int, *, yes: bool
) -> tuple[list[Letter], list[_Wish]]:
    letters = await read_letters(settings, filters, limit)
    wishes = [wish for lot in lots_of(letters) for wish in await _wishes(lot, settings)]
    if not yes:
        return letters, wishes
    requests = BackfillRequests(settings, SystemClock())
    try:
        for wish in wishes:
            if wish.windows:
                await requests.publish(wish.request)
    finally:
        await requests.close()
    return letters, wishes


async def _wishes(lot: Lot, settings: Settings) -> list[_Wish]:
    found: list[_Wish] = []
    for request in lot.requests:
        about = sum(_is_about(letter, request) for letter in lot.letters)
        try:
            made, note = await plan_now(accept(request, settings), settings)
        except RefusedRequestError as error:
            windows, note = 0, str(error)
        else:
            windows, note = len(made.windows), note or made.note
        found.append(_Wish(request=request, letters=about, windows=windows, note=note))
    return found


def _is_about(letter: Letter, request: BackfillRequest) -> bool:
    bars = letter.bars
    return bars is not None and request.start <= bars.window.start < request.end


def _filters(
    error_class: str | None, node: str | None, since: str | None, until: str | None, limit: int
) -> Filters:
    if not 1 <= limit <= LIMIT_MAX:
        raise InvalidValueError("--limit", limit, f"1 to {LIMIT_MAX}")
    return Filters(
        error_class=error_class,
        node=node,
        since=None if since is None else parse_time(since, "--since"),
        until=None if until is None else parse_time(until, "--until"),
    )


def _as_json(letter: Letter) -> dict[str, Any]:
    bars = letter.bars
    return {
        "place": [letter.partition, letter.offset],
        "key": letter.key,
        "bars": None
        if bars is None
        else {
            "node_id": bars.series.node,
            "interval": bars.series.interval,
            "lane": bars.lane,
            "window": [bars.window.start, bars.window.end],
        },
        **asdict(letter.info),
    }


def _wish_json(wish: _Wish) -> dict[str, Any]:
    request = wish.request
    return {
        "request_id": request.request_id,
        "node_id": request.node_id,
        "interval": request.interval,
        "source": request.source,
        "window": [request.start, request.end],
        "letters": wish.letters,
        "windows": wish.windows,
        "note": wish.note,
    }


def _show_letters(letters: list[Letter]) -> None:
    if not letters:
        typer.echo("no dead letters")
        return
    table = Table("first seen", "class", "came from", "about", "message", box=None, pad_edge=False)
    for letter in letters:
        info, bars = letter.info, letter.bars
        about = letter.key
        if bars is not None:
            start, end = format_time(bars.window.start), format_time(bars.window.end)
            about = f"{bars.series} {bars.lane} {start} to before {end}"
        table.add_row(
            format_time(info.first_seen_us // 1_000_000),
            info.error_class,
            f"{info.topic}[{info.partition}]@{info.offset}",
            about,
            info.message,
        )
    console = stdout()
    console.width = max(console.width, _WIDTH_MIN)
    console.print(table)


def _show_wishes(letters: list[Letter], wishes: list[_Wish], *, yes: bool) -> None:
    if not letters:
        typer.echo("no dead letters")
    for wish in wishes:
        request = wish.request
        bounds = f"{format_time(request.start)} to before {format_time(request.end)}"
        what = f"{request.node_id} from {request.source}, {bounds}: {wish.letters} letters"
        if not wish.windows:
            typer.echo(f"{what}: {wish.note}")
            continue
        done = f"asked for as {request.request_id}" if yes else "would be asked for"
        doubt = f" ({wish.note})" if wish.note else ""
        typer.echo(f"{what}, {wish.windows} windows {done}{doubt}")
    rest = len(letters) - sum(wish.letters for wish in wishes)
    if rest:
        typer.echo(f"{rest} letters hold no bars of a source: nothing to ask for")
    if not yes and any(wish.windows for wish in wishes):
        typer.echo("a dry run: --yes asks")
