"""Many seeds: `make simulate SEEDS=10000`. Prints each seed that shows something, and a sum."""

import argparse
import sys
import time
from collections import Counter

from tests.simulation.builds import BUILDS, HONEST
from tests.simulation.run import simulate_many


def main() -> int:
    """Run the seeds that the command line names."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation")
    parser.add_argument("--seeds", type=int, default=200, help="how many")
    parser.add_argument("--first", type=int, default=0, help="the first of them")
    parser.add_argument("--jobs", type=int, default=1, help="processes")
    parser.add_argument("--build", choices=sorted(BUILDS), default=HONEST.name)
    options = parser.parse_args()
    seeds = range(options.first, options.first + options.seeds)
    began = time.monotonic()
    total: Counter[str] = Counter()
    failed = 0
    for told, counts in simulate_many(seeds, options.jobs, options.build):
        total += counts
        if told is not None:
            failed += 1
            print(told, flush=True)
    took = time.monotonic() - began
    print(f"{len(seeds)} seeds in {took:.0f} s, {failed} of them showed something")
    print(", ".join(f"{name} {count}" for name, count in sorted(total.items())))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
