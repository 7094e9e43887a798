"""`seamless leases`: look at the lease service, and change what is stuck.

Changes are a dry run unless `--yes` and `--reason` are given. They are compared with what stands:
if something else stands by then, nothing changes. Exit codes: 0 done, 1 failed or bad input, 2 no
quorum (nobody can decide now), 3 something else stands than was expected.
"""

from pathlib import Path
from typing import Annotated

import typer

from bars.errors import InvalidValueError
from bars.series import parse_interval
from coordinator.client import (
    check_ttl_ms,
    machine_config,
)
from coordinator.recovery import LaneName, LeaseDesk, WindowName
from ops import leases_files, leases_print
from ops.cli_common import DEFAULT_CONFIG, Config, End, Interval, Json, Node, Start, fail, load
from ops.cli_common import window_of as window_between
from ops.leases_desk import (
    EXIT_FAILED,
    EXIT_NO_QUORUM,
    LeasesGroup,
    Will,
    change_it,
    told,
    with_desk,
)

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


leases = typer.Typer(
    cls=LeasesGroup,
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


@leases.command("status")
def status(config: Config = DEFAULT_CONFIG, as_json: Json = False) -> None:
    """Say how each node is and how many of everything there are; 2 when nobody leads."""

    async def look(desk: LeaseDesk) -> bool:
        nodes = await desk.nodes()
        leads = any(node.document and node.document["node"]["is_leader"] for node in nodes)
        leases_print.nodes(nodes, as_json=as_json)
        return leads

    if not with_desk(config, look):
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
    rows = with_desk(config, lambda desk: desk.rows(view, {"stale": "1"} if stale else {}))
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
    leases_print.row(with_desk(config, lambda desk: desk.window(name)), as_json=as_json)


@leases.command("revoke")
def revoke(
    token: Annotated[int, typer.Argument(help="Of the lease, as `list` shows it.")],
    config: Config = DEFAULT_CONFIG,
    yes: Yes = False,
    reason: Reason = "",
    as_json: Json = False,
) -> None:
    """Take a lease away: its window is free at once, and no attempt is counted."""
    change_it(config, lambda desk: desk.revoke(token), Will(yes, reason, as_json))


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
        will = Will(yes, reason, as_json)
        change_it(config, lambda desk: desk.change_window(kind, name, expect), will)


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
    change_it(
        config,
        lambda desk: desk.change_window("complete", name, expect, evidence=evidence),
        Will(yes, reason, as_json),
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
        will = Will(yes, reason, as_json)
        change_it(config, lambda desk: desk.change_lane(kind, name, expect), will)


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
    will = Will(yes, reason, as_json)
    change_it(config, lambda desk: desk.change_lane("policy", name, expect, policy=policy), will)


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
    change_it(config, lambda desk: desk.configure(wanted, expect), Will(yes, reason, as_json))


@leases.command("transfer-leader")
def transfer_leader(
    config: Config = DEFAULT_CONFIG,
    yes: Yes = False,
    reason: Reason = "",
    as_json: Json = False,
) -> None:
    """Let another node lead, as before the one that leads is taken away."""
    change_it(config, lambda desk: desk.transfer(), Will(yes, reason, as_json))


@snapshots.command("export")
def export(
    file: Annotated[Path, typer.Argument(help="Must not be there yet.")],
    config: Config = DEFAULT_CONFIG,
    as_json: Json = False,
) -> None:
    """Write a copy of the service's state into a file."""
    data = with_desk(config, lambda desk: desk.snapshot())
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


def _window(node: str, interval: str, lane: str, start: str, end: str) -> WindowName:
    name = LaneName(node=node, interval=parse_interval(interval, "--interval"), lane=lane)
    return WindowName(lane=name, window=window_between(start, end))


def main() -> None:
    """Run the commands as a program of their own."""
    leases()
