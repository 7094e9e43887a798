"""Every fault, three times, on the road with outages of 20 s: `make faults`. Prints a table."""

import argparse
import asyncio
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path

from rich.console import Console
from rich.table import Table

from ops.stack import LocalStack
from tests.conftest import TEST_OPTIONS
from tests.faults.road import Road
from tests.faults.scenarios import SCENARIOS, Scenario, run
from tests.faults.table import LOST, Row, lease_rows, run_rows, soak_rows

ROUNDS = 3
OUTAGE_S = 20.0
SESSION_MS = 10_000
SOAK_S = 3_600.0


def _road_rows(stack: LocalStack) -> Iterator[Row]:
    for scenario in SCENARIOS:
        run_it = partial(_on_the_road, stack, scenario)
        yield Row(name=scenario.name, goal=scenario.goal, rounds=ROUNDS, run=run_it)


def _on_the_road(stack: LocalStack, scenario: Scenario, folder: Path) -> str:
    async def once() -> None:
        road = Road(stack, folder, SESSION_MS)
        try:
            await road.open()
            await run(road, scenario, OUTAGE_S)
        finally:
            await road.close()

    asyncio.run(once())
    return "the store equals the source"


def _named(rows: Iterator[Row] | list[Row], words: list[str]) -> list[Row]:
    return [row for row in rows if not words or any(word in row.name for word in words)]


def main() -> int:
    """Run those whose names have a word of the command line in them; all without one."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    parser.add_argument("words", nargs="*", help="parts of names; none: all")
    parser.add_argument(
        "--soak", type=float, nargs="?", const=SOAK_S, metavar="SECONDS", help="the long ones"
    )
    parser.add_argument("--seed", type=int, help="of the load on the lease service")
    chosen = parser.parse_args()
    table = Table("fault", "goal", *(f"round {n + 1}" for n in range(ROUNDS)))
    failed = 0
    with tempfile.TemporaryDirectory(prefix="seamless-faults-") as space, ExitStack() as servers:
        stack = LocalStack(Path(space, "stack"), ports="free", options=TEST_OPTIONS)
        on_road = [] if chosen.soak else _named(_road_rows(stack), chosen.words)
        leases = (
            soak_rows(chosen.soak, chosen.seed) if chosen.soak else lease_rows(ROUNDS, chosen.seed)
        )
        if on_road:
            servers.callback(stack.down)
            stack.up_servers()
        for row, results in run_rows([*on_road, *_named(leases, chosen.words)], Path(space)):
            table.add_row(row.name, row.goal, *results)
            failed += results.count(LOST)
    Console().print(table)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
