"""`seamless leases`: look at the lease service, and change what is stuck.

Changes are a dry run unless `--yes` and `--reason` are given. They are compared with what stands:
if something else stands by then, nothing changes. Exit codes: 0 done, 1 failed or bad input, 2 no
quorum (nobody can decide now), 3 something else stands than was expected.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer
from typer.core import TyperGroup
from typer.exceptions import TyperException

from bars.errors import InvalidValueError, SeamlessError
from bars.series import parse_interval
from coordinator.client import (
    ClientOptions,
    CoordinatorUnavailableError,
    check_ttl_ms,
    machine_config,
)
from coordinator.recovery import ConflictError, LaneName, LeaseDesk, Order, WindowName
from ops import leases_files, leases_print
from ops.cli_common import DEFAULT_CONFIG, Config, End, Interval, Json, Node, Start, fail, load
from ops.cli_common import window_of as window_between
from ops.stack import stack_leases
from runtime import ConfigError, Settings
from runtime.coordinator import CoordinatorSettings

EXIT_FAILED = 1
EXIT_NO_QUORUM = 2
EXIT_CONFLICT = 3

T = TypeVar("T")

Lane = Annotated[
    str, typer.Option("--lane", help="bf:<source>, as `list` shows it.", show_default=False)
]
Yes = Annotated[bool, typer.Option("--yes", help="Do it; without, only say what would be done.")]
Reason = Annotated[str, typer.Option("--reason", help="Why; stands in the log for good.")]
Expect = Annotated[
    int | None,
    typer.Option(
        "--expect", help="Version that you have seen; not given: the one that stands now."
    ),
]


class _Group(TyperGroup):
    """Wrong usage is exit code 1 here: 2 says that there is no quorum."""

    def main(self, *args: Any, **kwargs: Any) -> Any:
        """Run as a program of its own."""
        with _usage():
            return super().main(*args, **kwargs)

    def make_context(self, *args: Any, **kwargs: Any) -> Any:
        """Read the words before the command."""
        with _usage():
            return super().make_context(*args, **kwargs)

    def invoke(self, ctx: Any) -> Any:
        """Run the command."""
        with _usage():
            return super().invoke(ctx)


@contextmanager
def _usage() -> Iterator[None]:
    try:
        yield
    except TyperException as error:
        if hasattr(error, "exit_code"):
            error.exit_code = EXIT_FAILED
        raise


leases = typer.Typer(
    cls=_Group,
    help="See and mend the leases of the fetch workers.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
snapshots = typer.Typer(help="Copies of the service's state.", no_args_is_help=True)
leases.add_typer(snapshots, name="snapshot")


def register(app: typer.Typer) -> None:
    """Add the commands to an app."""
    app.add_typer(leases, name="leases")


@contextmanager
def told() -> Iterator[None]:
    """Turn an error into its message on standard error and an exit code."""
    try:
        yield
    except CoordinatorUnavailableError as error:
        fail(f"{error}\nno quorum: ask `seamless leases status` which node is away", EXIT_NO_QUORUM)
    except ConflictError as error:
        fail(f"{error}\nnothing was changed: look again with `show`", EXIT_CONFLICT)
    except SeamlessError as error:
        fail(str(error), EXIT_FAILED)
    except KeyboardInterrupt:
        fail("interrupted", 130)


def _with_desk(config: Path, work: Callable[[LeaseDesk], Awaitable[T]]) -> T:
    """Return what somebody does at the desk of the configured service."""

    async def at_desk() -> T:
        try:
            section = _service(load(config))
        except ConfigError as error:
            fail(str(error), EXIT_FAILED)
        async with LeaseDesk(section.urls, ClientOptions.of(section)) as desk:
            return await work(desk)

    with told():
        return asyncio.run(at_desk())


def _service(settings: Settings) -> CoordinatorSettings:
    """Return where the nodes are: as configured, else those that `seamless up` has started."""
    section = settings.coordinator
    if section.urls != CoordinatorSettings().urls or section.client_token_file is not None:
        return section
    return stack_leases(settings.state_dir) or section


@leases.command("status")
def status(config: Config = DEFAULT_CONFIG, as_json: Json = False) -> None:
    """Say how each node is and how many of everything there are; 2 when nobody leads."""

    async def look(desk: LeaseDesk) -> bool:
        nodes = await desk.nodes()
        leads = any(node.document and node.document["node"]["is_leader"] for node in nodes)
        leases_print.nodes(nodes, as_json=as_json)
        return leads

    if not _with_desk(config, look):
        raise typer.Exit(EXIT_NO_QUORUM)


@leases.command("list")
def list_(  # noqa: PLR0913, PLR0917 - the options of a command are its parameters
    config: Config = DEFAULT_CONFIG,
    stale: Annotated[bool, typer.Option("--stale", help="Leases that do not move.")] = False,
    poisoned: Annotated[bool, typer.Option("--poisoned", help="Windows given up.")] = False,
    waiting: Annotated[bool, typer.Option("--waiting", help="Windows to be tried again.")] = False,
    lanes: Annotated[bool, typer.Option("--lanes", help="Lanes, their rules and ratios.")] = False,
    jobs: Annotated[bool, typer.Option("--jobs", help="Jobs and how far they are.")] = False,
    as_json: Json = False,
) -> None:
    """List the leases in force, or what an option asks for instead."""
    wanted = {"poisoned": poisoned, "waiting": waiting, "lanes": lanes, "jobs": jobs}
    chosen = [name for name, asked in wanted.items() if asked] + (["leases"] if stale else [])
    if len(chosen) > 1:
        fail("choose one of --stale, --poisoned, --waiting, --lanes, --jobs", EXIT_FAILED)
    view = chosen[0] if chosen else "leases"
    rows = _with_desk(config, lambda desk: desk.rows(view, {"stale": "1"} if stale else {}))
    leases_print.table(rows, as_json=as_json)


@leases.command("show")
def show(  # noqa: PLR0913, PLR0917 - the options of a command are its parameters
    node: Node,
    interval: Interval,
    lane: Lane,
    start: Start,
    end: End,
    config: Config = DEFAULT_CONFIG,
    as_json: Json = False,
) -> None:
    """Show everything that stands in a window, and its version (`token`)."""
    with told():
        name = _window(node, interval, lane, start, end)
    leases_print.row(_with_desk(config, lambda desk: desk.window(name)), as_json=as_json)


@leases.command("revoke")
def revoke(
    token: Annotated[int, typer.Argument(help="Of the lease, as `list` shows it.")],
    config: Config = DEFAULT_CONFIG,
    yes: Yes = False,
    reason: Reason = "",
    as_json: Json = False,
) -> None:
    """Take a lease away: its window is free at once, and no attempt is counted."""
    _change(config, lambda desk: desk.revoke(token), _Will(yes, reason, as_json))


def _of_window(kind: str, help_: str) -> None:
    @leases.command(kind, help=help_)
    def change(  # noqa: PLR0913, PLR0917
        node: Node,
        interval: Interval,
        lane: Lane,
        start: Start,
        end: End,
        config: Config = DEFAULT_CONFIG,
        expect: Expect = None,
        yes: Yes = False,
        reason: Reason = "",
        as_json: Json = False,
    ) -> None:
        with told():
            name = _window(node, interval, lane, start, end)
        will = _Will(yes, reason, as_json)
        _change(config, lambda desk: desk.change_window(kind, name, expect), will)


_of_window("requeue", "Let what waits for another try be tried at once, its attempts forgotten.")
_of_window("unpoison", "Let what was given up be tried again by the jobs that still want it.")


@leases.command("complete")
def complete(  # noqa: PLR0913, PLR0917
    node: Node,
    interval: Interval,
    lane: Lane,
    start: Start,
    end: End,
    force: Annotated[bool, typer.Option("--force", help="Needed: nobody has judged it.")] = False,
    evidence: Annotated[str, typer.Option("--evidence", help="How it is known.")] = "",
    config: Config = DEFAULT_CONFIG,
    expect: Expect = None,
    yes: Yes = False,
    reason: Reason = "",
    as_json: Json = False,
) -> None:
    """Take a window as done because you say so; leases on it end."""
    if not force or not evidence:
        fail("--force and --evidence are needed: nothing has proved it", EXIT_FAILED)
    with told():
        name = _window(node, interval, lane, start, end)
    _change(
        config,
        lambda desk: desk.change_window("complete", name, expect, evidence=evidence),
        _Will(yes, reason, as_json),
    )


def _of_lane(kind: str, help_: str) -> None:
    @leases.command(kind, help=help_)
    def change(  # noqa: PLR0913, PLR0917
        node: Node,
        interval: Interval,
        lane: Lane,
        config: Config = DEFAULT_CONFIG,
        expect: Expect = None,
        yes: Yes = False,
        reason: Reason = "",
        as_json: Json = False,
    ) -> None:
        with told():
            name = LaneName(node=node, interval=parse_interval(interval, "--interval"), lane=lane)
        will = _Will(yes, reason, as_json)
        _change(config, lambda desk: desk.change_lane(kind, name, expect), will)


_of_lane("pause", "Grant nothing more of a lane; leases in force go on.")
_of_lane("resume", "Grant again, even if the source has asked for a pause.")


@leases.command("policy")
def policy(  # noqa: PLR0913, PLR0917
    node: Node,
    interval: Interval,
    lane: Lane,
    policy: Annotated[
        str, typer.Argument(help="any, newest_first or strict_oldest_first.", metavar="POLICY")
    ],
    config: Config = DEFAULT_CONFIG,
    expect: Expect = None,
    yes: Yes = False,
    reason: Reason = "",
    as_json: Json = False,
) -> None:
    """Choose which window of a lane is granted next."""
    with told():
        name = LaneName(node=node, interval=parse_interval(interval, "--interval"), lane=lane)
    will = _Will(yes, reason, as_json)
    _change(config, lambda desk: desk.change_lane("policy", name, expect, policy=policy), will)


@leases.command("configure")
def configure(
    config: Config = DEFAULT_CONFIG,
    expect: Expect = None,
    yes: Yes = False,
    reason: Reason = "",
    as_json: Json = False,
) -> None:
    """Let the rules hold that the configuration says: lives of leases, retries, limits."""
    with told():
        settings = load(config)
        check_ttl_ms(settings.backfill.lease_ttl_ms, "backfill.lease_ttl_ms")
        wanted = machine_config(settings.backfill, settings.coordinator)
    _change(config, lambda desk: desk.configure(wanted, expect), _Will(yes, reason, as_json))


@leases.command("transfer-leader")
def transfer_leader(
    config: Config = DEFAULT_CONFIG,
    yes: Yes = False,
    reason: Reason = "",
    as_json: Json = False,
) -> None:
    """Let another node lead, as before the one that leads is taken away."""
    _change(config, lambda desk: desk.transfer(), _Will(yes, reason, as_json))


@snapshots.command("export")
def export(
    file: Annotated[Path, typer.Argument(help="Must not be there yet.")],
    config: Config = DEFAULT_CONFIG,
    as_json: Json = False,
) -> None:
    """Write a copy of the service's state into a file."""
    data = _with_desk(config, lambda desk: desk.snapshot())
    with told():
        leases_print.row(leases_files.export(data, file), as_json=as_json)


@snapshots.command("verify")
def verify(file: Path, as_json: Json = False) -> None:
    """Read all of a snapshot and say what it holds."""
    with told():
        leases_print.row(leases_files.verify(file), as_json=as_json)


@leases.command("inspect")
def inspect(
    folder: Annotated[Path, typer.Argument(help="Of one node: .../coordinator/node-1")],
    tail: Annotated[int, typer.Option("--tail", help="Last entries to tell.")] = 20,
    as_json: Json = False,
) -> None:
    """Read a node's folder, without any node; nothing is written."""
    with told():
        leases_print.row(leases_files.inspect(folder, tail), as_json=as_json)


@leases.command("restore")
def restore(
    file: Annotated[Path, typer.Argument(help="A snapshot.")],
    node: Annotated[int, typer.Option("--node", help="Which node, 1 for the first.")],
    config: Config = DEFAULT_CONFIG,
    yes: Yes = False,
    reason: Reason = "",
    as_json: Json = False,
) -> None:
    """Make the folder of a node anew from a snapshot; all nodes have to be, while none runs."""
    with told():
        settings = load(config)
        if yes and not reason:
            raise InvalidValueError("--reason", reason, "given with --yes")
        found = leases_files.restore(settings, file, node, reason if yes else None)
        leases_print.row(found, as_json=as_json)
    if not yes:
        leases_print.dry_run()


class _Will:
    """Whether a person means it."""

    def __init__(self, yes: bool, reason: str, as_json: bool) -> None:
        if yes and not reason:
            fail("--reason must be given with --yes", EXIT_FAILED)
        self.yes = yes
        self.reason = reason
        self.as_json = as_json


def _change(config: Path, work: Callable[[LeaseDesk], Awaitable[Order]], will: _Will) -> None:
    """Work an order out, show it, and have it obeyed if that is meant."""

    async def change(desk: LeaseDesk) -> tuple[Order, Mapping[str, Any] | None]:
        order = await work(desk)
        return order, await desk.obey(order, will.reason) if will.yes else None

    order, answer = _with_desk(config, change)
    leases_print.order(order, answer, as_json=will.as_json)
    if answer is None:
        leases_print.dry_run()


def _window(node: str, interval: str, lane: str, start: str, end: str) -> WindowName:
    name = LaneName(node=node, interval=parse_interval(interval, "--interval"), lane=lane)
    return WindowName(lane=name, window=window_between(start, end))


def main() -> None:
    """Run the commands as a program of their own."""
    leases()
