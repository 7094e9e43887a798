"""A fetch worker that does not know when its time is up: `python -m tests.faults.late worker ...`.

What it holds is over when it wakes, and it publishes all the same: only conform stands between its
chunks and the store.
"""

import math
import os
import sys

from coordinator.client import HeldLease
from worker.__main__ import main

if __name__ == "__main__":
    setattr(HeldLease, "stop_s", property(lambda _lease: math.inf))  # noqa: B010
    sys.exit(main(sys.argv[2:], os.environ))
