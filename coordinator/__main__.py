"""`python -m coordinator --config seamless.yaml --node 1`: a node of the lease service.

Exit codes: 0 asked to stop, 1 crashed, 2 wrong configuration, damaged files, or the node runs
already.
"""

import argparse
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from bars.errors import InvalidValueError, SeamlessError
from coordinator._service.process import NodeOptions, run_node
from coordinator._service.raft.errors import (
    IncompatibleLibraryError,
    JournalCorruptError,
    SecretError,
    SnapshotCorruptError,
)
from runtime.errors import ConfigError
from runtime.lock import LockHeldError
from runtime.log import configure, logger
from runtime.settings import Settings

READY_FILE = "SEAMLESS_READY_FILE"
"""Environment variable: the file into which the process writes its id when it does its work."""

EXIT_CRASHED = 1
EXIT_REFUSED = 2

REFUSED = (
    ConfigError,
    IncompatibleLibraryError,
    InvalidValueError,
    JournalCorruptError,
    LockHeldError,
    SecretError,
    SnapshotCorruptError,
)
"""What the next start would meet again."""

_log = logger(__name__)


def main(arguments: Sequence[str], environ: Mapping[str, str]) -> int:
    """Run the node until it ends; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m coordinator", description=__doc__)
    parser.add_argument("--config", type=Path, default=Path("seamless.yaml"))
    parser.add_argument("--node", type=int, default=1, help="which of the peers, from 1")
    parser.add_argument("--ready-file", default=environ.get(READY_FILE))
    parser.add_argument("--log-level", default="INFO")
    chosen = parser.parse_args(arguments)
    configure(f"coordinator-{chosen.node}", chosen.log_level)
    options = NodeOptions(
        number=chosen.node,
        ready_file=Path(chosen.ready_file) if chosen.ready_file else None,
    )
    try:
        run_node(Settings.load(chosen.config, environ), options)
    except REFUSED as error:
        print(error, file=sys.stderr)
        return EXIT_REFUSED
    except SeamlessError:
        _log.exception("crashed")
        return EXIT_CRASHED
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], os.environ))
