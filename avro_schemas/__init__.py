"""The contract: one Avro schema a record, and the typed record beside it.

Lives here: the `.avsc` files, `load(name)`, the frozen dataclasses that carry the same
fields. Times are epoch seconds except where a field says microseconds; windows are half-open.

Does not live here: the wire format and the registry (`topics`), what the values mean and
whether they are right (`bars`). Nothing here does I/O beyond reading the package's own files.
"""

from avro_schemas._load import NAMES, Schema, history_schema, load
from avro_schemas._records import (
    BackfillRequest,
    BackfillStatus,
    BarChunk,
    ConformanceReport,
    Flag,
    Prices,
    Receipt,
    Record,
    RequestKind,
    RequestState,
    Revision,
    RevisionKind,
    Verdict,
    VisibleMark,
    Watermark,
    WindowFailure,
)

__all__ = [
    "NAMES",
    "BackfillRequest",
    "BackfillStatus",
    "BarChunk",
    "ConformanceReport",
    "Flag",
    "Prices",
    "Receipt",
    "Record",
    "RequestKind",
    "RequestState",
    "Revision",
    "RevisionKind",
    "Schema",
    "Verdict",
    "VisibleMark",
    "Watermark",
    "WindowFailure",
    "history_schema",
    "load",
]
