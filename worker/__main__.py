"""`python -m worker --config seamless.yaml`: the fetch worker as this process.

Exit codes: 0 asked to stop, 1 crashed, 2 wrong configuration, another worker runs that may not, or
the lease service refuses us.
"""

import argparse
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from bars.errors import InvalidValueError, SeamlessError
from coordinator.client import CommandRefusedError
from runtime import exposition
from runtime.errors import ConfigError
from runtime.exposition import MetricsAddress
from runtime.log import configure, logger
from runtime.settings import Settings
from worker.epoch import EpochFileError
from worker.errors import SecondWorkerError
from worker.process import ProcessOptions, run_process

READY_FILE = "SEAMLESS_READY_FILE"
"""Environment variable: the file into which the process writes its id when it does its work."""

EXIT_CRASHED = 1
EXIT_REFUSED = 2

REFUSED = (
    CommandRefusedError,
    ConfigError,
    EpochFileError,
    InvalidValueError,
    SecondWorkerError,
)
"""What another start would meet again."""

_log = logger(__name__)


def main(arguments: Sequence[str], environ: Mapping[str, str]) -> int:
    """Run the worker until it ends; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m worker", description=__doc__)
    parser.add_argument("--config", type=Path, default=Path("seamless.yaml"))
    parser.add_argument("--ready-file", default=environ.get(READY_FILE))
    parser.add_argument("--log-level", default="INFO")
    exposition.add_arguments(parser)
    chosen = parser.parse_args(arguments)
    configure("worker", chosen.log_level)
    try:
        options = ProcessOptions(
            ready_file=Path(chosen.ready_file) if chosen.ready_file else None,
            metrics_at=MetricsAddress.parse(chosen.metrics_port, chosen.metrics_host),
        )
        run_process(Settings.load(chosen.config, environ), options)
    except REFUSED as error:
        print(error, file=sys.stderr)
        return EXIT_REFUSED
    except SeamlessError:
        _log.exception("crashed")
        return EXIT_CRASHED
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], os.environ))
