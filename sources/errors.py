"""What can go wrong with a source of bars."""

from dataclasses import dataclass

from bars.errors import SeamlessError


@dataclass(frozen=True, slots=True)
class Cell:
    """A cell that is wrong."""

    row: int
    """Which row, in the count of whoever holds the cell."""

    column: str
    """Name of its column in the file."""

    found: object
    """What is there."""

    allowed: str
    """What may be there."""


class SourceError(SeamlessError):
    """A source cannot give what it was asked for, and will not until somebody mends it.

    Attributes:
        source: Its name.
    """

    def __init__(self, source: str, message: str) -> None:
        super().__init__(f"source {source}: {message}")
        self.source = source


class SourceUnavailableError(SourceError):
    """A source failed this time; it may answer when asked again."""

    retriable = True


class RateLimitedError(SourceUnavailableError):
    """A source wants to be asked less often.

    Attributes:
        retry_after_s: When it may be asked again, in seconds from now; None if it does not say.
    """

    def __init__(self, source: str, retry_after_s: float | None = None) -> None:
        when = "later" if retry_after_s is None else f"after {retry_after_s:g} s"
        super().__init__(source, f"asks to be asked again {when}")
        self.retry_after_s = retry_after_s


class BadCellError(SourceError):
    """A cell of a file is not what its column holds.

    Attributes:
        file: Where it is.
        row: Line of a CSV file, its header being line 1; of other files the row, the first being 1.
        column: Name of the column in the file.
        found: What is there.
        allowed: What may be there.
    """

    def __init__(self, source: str, file: str, cell: Cell) -> None:
        place = f"{file}, row {cell.row}, column {cell.column}"
        super().__init__(source, f"{place}: must be {cell.allowed}, was {cell.found!r}")
        self.file = file
        self.row = cell.row
        self.column = cell.column
        self.found = cell.found
        self.allowed = cell.allowed
