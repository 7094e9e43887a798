"""Every fault, three times, with outages of 20 s: `make faults`. Prints a table."""

import asyncio
import sys
import tempfile
import time
from pathlib import Path

from rich.console import Console
from rich.table import Table

from ops.stack import LocalStack
from tests.conftest import TEST_OPTIONS
from tests.faults.road import Road
from tests.faults.scenarios import SCENARIOS, run

ROUNDS = 3
OUTAGE_S = 20.0
SESSION_MS = 10_000


async def _rounds(stack: LocalStack, folder: Path, table: Table, names: list[str]) -> int:
    failed = 0
    for scenario in SCENARIOS:
        if names and not any(name in scenario.name for name in names):
            continue
        results = []
        for number in range(ROUNDS):
            place = folder / f"{SCENARIOS.index(scenario)}-{number}"
            place.mkdir()
            road = Road(stack, place, SESSION_MS)
            began = time.monotonic()
            try:
                await road.open()
                await run(road, scenario, OUTAGE_S)
            except (AssertionError, OSError) as error:
                failed += 1
                results.append("LOST")
                print(f"{scenario.name}, round {number + 1}: {error}", file=sys.stderr)
            else:
                results.append(f"ok {time.monotonic() - began:.0f} s")
            finally:
                await road.close()
        print(f"{scenario.name}: {', '.join(results)}", flush=True)
        table.add_row(scenario.name, scenario.goal, *results)
    return failed


def main() -> int:
    """Run those whose names have a word of the command line in them; all without one."""
    table = Table("fault", "goal", *(f"round {n + 1}" for n in range(ROUNDS)))
    with tempfile.TemporaryDirectory(prefix="seamless-faults-") as folder:
        stack = LocalStack(Path(folder, "stack"), ports="free", options=TEST_OPTIONS)
        try:
            stack.up_servers()
            failed = asyncio.run(_rounds(stack, Path(folder), table, sys.argv[1:]))
        finally:
            stack.down()
    Console().print(table)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
