"""One agent as this process: arguments, configuration, log, and then its role until it ends.

Exit codes: 0 asked to stop, 1 crashed or fenced by another process, 2 wrong configuration.
"""

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from bars.errors import InvalidValueError
from runtime import ConfigError, Settings, exposition
from runtime.exposition import MetricsAddress, MetricsPortError
from runtime.log import configure, logger
from streams.app import EXIT_CONFIGURATION, EXIT_CRASHED
from streams.roles import ROLES, run_role

READY_FILE = "SEAMLESS_READY_FILE"
"""Environment variable: the file into which the process writes its id when it does its work."""

_log = logger(__name__)


def main(arguments: Sequence[str], environ: Mapping[str, str]) -> int:
    """Run a role until it ends; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m streams", description=__doc__)
    parser.add_argument("role", choices=sorted(ROLES))
    parser.add_argument("--config", type=Path, default=Path("seamless.yaml"))
    parser.add_argument("--ready-file", type=Path, default=environ.get(READY_FILE))
    parser.add_argument("--log-level", default="INFO")
    exposition.add_arguments(parser)
    chosen = parser.parse_args(arguments)
    configure(chosen.role, chosen.log_level)
    try:
        settings = Settings.load(chosen.config, environ)
        metrics_at = MetricsAddress.parse(chosen.metrics_port, chosen.metrics_host)
    except (ConfigError, InvalidValueError) as error:
        sys.stderr.write(f"{error}\n")
        return EXIT_CONFIGURATION
    ready_file = Path(chosen.ready_file) if chosen.ready_file else None
    try:
        return run_role(chosen.role, settings, ready_file, metrics_at)
    except MetricsPortError as error:
        _log.error("crashed", reason=str(error), error=type(error).__name__)
        return EXIT_CRASHED
