"""Where a process tells its metrics: a host, and a port or the first free one of several.

Processes that share one address, as the workers of a compose file do, are given the same range;
each takes a port of its own.
"""

import argparse
import re
from dataclasses import dataclass
from typing import Self

from bars.errors import InvalidValueError, SeamlessError
from runtime.log import logger
from runtime.metrics import Metrics, Served

LOOPBACK = "127.0.0.1"
PORT_MAX = 65_535

_WRITTEN = re.compile(r"(?P<first>[0-9]{1,5})(?:-(?P<last>[0-9]{1,5}))?")

_log = logger(__name__)


class MetricsPortError(SeamlessError):
    """Metrics cannot be served where they shall be.

    Attributes:
        host: Where.
        ports: On which port, or the first free one of which.
        reason: What the system said of the last one.
    """

    retriable = True

    def __init__(self, host: str, ports: range, reason: str) -> None:
        which = _written(ports)
        super().__init__(
            f"metrics cannot be served on {host}:{which} ({reason}): stop who listens there, or "
            "choose another with --metrics-port"
        )
        self.host = host
        self.ports = ports
        self.reason = reason


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricsAddress:
    """Where Prometheus may ask a process."""

    ports: range
    """The first free one is taken."""

    host: str = LOOPBACK
    """Metrics have no password: another address than the loopback is for a network of its own."""

    @classmethod
    def parse(cls, ports: str | None, host: str = LOOPBACK) -> Self | None:
        """Return what a person wrote, `18101` or `18103-18166`; None: metrics are not served.

        Raises:
            InvalidValueError: It is neither, or they are no ports.
        """
        if ports is None:
            return None
        found = _WRITTEN.fullmatch(ports)
        first = int(found["first"]) if found else 0
        last = int(found["last"] or first) if found else 0
        if not 1 <= first <= last <= PORT_MAX:
            allowed = f"a port from 1 to {PORT_MAX}, or FIRST-LAST of them"
            raise InvalidValueError("--metrics-port", ports, allowed)
        return cls(ports=range(first, last + 1), host=host)

    def serve(self, metrics: Metrics) -> Served:
        """Serve metrics until closed.

        Raises:
            MetricsPortError: None of the ports can be had.
        """
        reason = ""
        for port in self.ports:
            try:
                served = metrics.serve(port, self.host)
            except OSError as error:
                reason = error.strerror or str(error)
            else:
                _log.info("metrics", url=f"http://{self.host}:{served.port}/metrics")
                return served
        raise MetricsPortError(self.host, self.ports, reason)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add `--metrics-port` and `--metrics-host` to the command line of a process."""
    parser.add_argument("--metrics-port", metavar="PORT|FIRST-LAST", default=None)
    parser.add_argument("--metrics-host", metavar="HOST", default=LOOPBACK)


def _written(ports: range) -> str:
    return str(ports.start) if len(ports) == 1 else f"{ports.start}-{ports.stop - 1}"
