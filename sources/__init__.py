"""Where bars come from: files, and fetchers that people bring.

What lives here: opening a source that the configuration describes, reading CSV and Parquet,
calling a person's fetcher, and their errors. What does not: which windows to ask for, retries,
leases (`worker`), and whether the bars are right (`bars.conformance`): values pass as they are.
"""

from sources._open import Source, bars_of, given_source, open_source
from sources.errors import (
    BadCellError,
    RateLimitedError,
    SourceError,
    SourceUnavailableError,
)

__all__ = [
    "BadCellError",
    "RateLimitedError",
    "Source",
    "SourceError",
    "SourceUnavailableError",
    "bars_of",
    "given_source",
    "open_source",
]
