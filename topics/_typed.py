"""Between the typed records and the dicts that Avro knows."""

from collections.abc import Callable
from dataclasses import fields
from typing import Any

import numpy as np

from avro_schemas import (
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

Values = dict[str, Any]

_ARRAYS = {
    "known_each": np.int64,
    "ts": np.int64,
    "open": np.float64,
    "high": np.float64,
    "low": np.float64,
    "close": np.float64,
    "volume": np.float64,
}


def _covers_in(found: list[Values]) -> tuple[tuple[int, int], ...]:
    return tuple((w["start"], w["end"]) for w in found)


def _covers_out(covers: tuple[tuple[int, int], ...]) -> list[Values]:
    return [{"start": start, "end": end} for start, end in covers]


def _shallow(record: Any) -> Values:
    return {f.name: getattr(record, f.name) for f in fields(record)}


def _request(v: Values) -> BackfillRequest:
    return BackfillRequest(**{**v, "kind": RequestKind(v["kind"])})


def _status(v: Values) -> BackfillStatus:
    failures = tuple(WindowFailure(**f) for f in v["failures"])
    return BackfillStatus(**{**v, "state": RequestState(v["state"]), "failures": failures})


def _chunk(v: Values) -> BarChunk:
    arrays = {name: np.asarray(v[name], dtype) for name, dtype in _ARRAYS.items()}
    return BarChunk(
        **{**v, **arrays, "covers": _covers_in(v["covers"]), "request_ids": tuple(v["request_ids"])}
    )


def _receipt(v: Values) -> Receipt:
    covers, requests = _covers_in(v["covers"]), tuple(v["request_ids"])
    return Receipt(**{**v, "covers": covers, "request_ids": requests})


def _flag(v: Values) -> Flag:
    return Flag(**{**v, "sample_ts": tuple(int(ts) for ts in v["sample_ts"])})


def _prices(v: Values | None) -> Prices | None:
    return None if v is None else Prices(**v)


def _revision(v: Values) -> Revision:
    return Revision(
        ts=v["ts"],
        kind=RevisionKind(v["kind"]),
        before=_prices(v["before"]),
        after=_prices(v["after"]),
    )


def _report(v: Values) -> ConformanceReport:
    return ConformanceReport(
        **{
            **v,
            "verdict": Verdict(v["verdict"]),
            "request_ids": tuple(v["request_ids"]),
            "flags": tuple(_flag(f) for f in v["flags"]),
            "revisions": tuple(_revision(r) for r in v["revisions"]),
        }
    )


_MAKE: dict[str, Callable[[Values], Record]] = {
    "BackfillRequest": _request,
    "BackfillStatus": _status,
    "BarChunk": _chunk,
    "ConformanceReport": _report,
    "Receipt": _receipt,
    "VisibleMark": lambda v: VisibleMark(**v),
    "Watermark": lambda v: Watermark(**v),
}


def to_record(name: str, values: Values) -> Record:
    """Return the typed record of a schema's name, made of all of its fields."""
    return _MAKE[name](values)


def _flag_out(flag: Flag) -> Values:
    return {**_shallow(flag), "sample_ts": np.array(flag.sample_ts, np.int64)}


def _revision_out(revision: Revision) -> Values:
    def prices(p: Prices | None) -> Values | None:
        return None if p is None else _shallow(p)

    return {
        "ts": revision.ts,
        "kind": revision.kind,
        "before": prices(revision.before),
        "after": prices(revision.after),
    }


def to_values(record: Record) -> Values:
    """Return the fields of a typed record, its arrays as they are."""
    values = _shallow(record)
    match record:
        case BarChunk() | Receipt():
            values["covers"] = _covers_out(record.covers)
        case BackfillStatus():
            values["failures"] = [_shallow(f) for f in record.failures]
        case ConformanceReport():
            values["flags"] = [_flag_out(f) for f in record.flags]
            values["revisions"] = [_revision_out(r) for r in record.revisions]
        case _:
            pass
    return values
