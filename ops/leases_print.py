"""What `seamless leases` prints: tables and fields for people, JSON for programs."""

from collections.abc import Mapping, Sequence
from typing import Any

import typer
from rich.table import Table

from coordinator.recovery import NodeReport, Order
from ops.cli_common import print_json, stdout

_WIDTH_MIN = 140


def nodes(reports: Sequence[NodeReport], *, as_json: bool) -> None:
    """Print how each node is, and what the one that leads says of the state."""
    if as_json:
        print_json([node_document(report) for report in reports])
        return
    rows = []
    for report in reports:
        found = report.document
        if found is None:
            rows.append({"url": report.url, "is": "away", "problem": report.problem})
            continue
        node = found["node"]
        behind = node["commit_index"] - node["applied_index"]
        rows.append(
            {
                "url": report.url,
                "is": "leader" if node["is_leader"] else "follower",
                "quorum": "yes" if node["has_quorum"] else "NO",
                "term": node["term"],
                "applied": node["applied_index"],
                "behind": behind,
                "digest": f"{found['digest']['raft_index']}:{found['digest']['sha256'][:12]}",
            }
        )
    table(rows, as_json=False)
    leaders = [r.document for r in reports if r.document and r.document["node"]["is_leader"]]
    for found in leaders[:1]:
        typer.echo("")
        row(found["state"], as_json=False)


def node_document(report: NodeReport) -> Mapping[str, Any]:
    """Return what a node says of itself as JSON shows it."""
    found = {"url": report.url, "away": report.document is None, "problem": report.problem}
    return {**found, **(report.document or {})}


def table(rows: Sequence[Mapping[str, Any]], *, as_json: bool) -> None:
    """Print rows, with a column for each field that one of them has."""
    if as_json:
        print_json(list(rows))
        return
    if not rows:
        typer.echo("none")
        return
    columns = list(dict.fromkeys(name for each in rows for name in each))
    made = Table(*columns, box=None, pad_edge=False)
    for each in rows:
        made.add_row(*(text(each.get(name)) for name in columns))
    console = stdout()
    console.width = max(console.width, _WIDTH_MIN)  # tokens are for copying: never cut them
    console.print(made)


def row(found: Mapping[str, Any], *, as_json: bool) -> None:
    """Print one thing, a field a line; lists of things as tables."""
    if as_json:
        print_json(found)
        return
    for name, value in found.items():
        if isinstance(value, list) and value and isinstance(value[0], Mapping):
            typer.echo(f"{name}:")
            table(value, as_json=False)
        elif isinstance(value, Mapping):
            typer.echo(f"{name}: {_fields(value) or 'none'}")
        else:
            typer.echo(f"{name}: {text(value)}")


def order(made: Order, answer: Mapping[str, Any] | None, *, as_json: bool) -> None:
    """Print an order, and the answer if it was obeyed."""
    if as_json:
        found = {"path": made.path, "body": made.body, "stands": made.stands, "answer": answer}
        print_json(found)
        return
    typer.echo(f"stands: {_fields({k: v for k, v in made.stands.items() if v != []})}")
    typer.echo(f"order:  {made.path} {_fields(made.body)}")
    if answer is None:
        return
    if "raft_index" in answer:
        typer.echo(f"done, as entry {answer['raft_index']} of the log")
    else:  # what changes who leads is no entry
        typer.echo(f"done: {_fields(answer)}")


def dry_run() -> None:
    """Say on standard error that nothing was done."""
    typer.echo("dry run: nothing was changed; add --yes --reason WHY to do it", err=True)


def _fields(found: Mapping[str, Any]) -> str:
    return ", ".join(f"{name}={text(value)}" for name, value in found.items())


def text(value: object) -> str:
    """Return a field as people read it."""
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:.6g}" if isinstance(value, float) else str(value)
