"""What can be wrong with a node's disk, its secret, or the library below it."""

from bars.errors import SeamlessError
from coordinator._service.log import LogError


class JournalCorruptError(LogError):
    """What was safe on disk is not what it was: this node must not vote or answer any more.

    Attributes:
        path: The file.
        offset: Where it cannot be read.
    """

    def __init__(self, path: str, offset: int, reason: str) -> None:
        super().__init__(f"{path} is damaged at byte {offset}: {reason}")
        self.path = path
        self.offset = offset


class SnapshotCorruptError(LogError):
    """A snapshot that is not, byte for byte, what a node once wrote."""


class EntryTooLargeError(LogError):
    """A command that no entry of the log can hold; it was not taken in.

    Attributes:
        found: Its size in bytes.
        allowed: The most there may be.
    """

    def __init__(self, found: int, allowed: int) -> None:
        super().__init__(f"the command takes {found} bytes, at most {allowed} are allowed")
        self.found = found
        self.allowed = allowed


class SecretError(SeamlessError):
    """The file with the nodes' common secret cannot be used; the text says how to make one."""


class IncompatibleLibraryError(SeamlessError):
    """PySyncObj is not built as this program needs it.

    Attributes:
        names: What has moved.
    """

    def __init__(self, names: tuple[str, ...]) -> None:
        super().__init__(f"PySyncObj has changed: {', '.join(names)}")
        self.names = names
