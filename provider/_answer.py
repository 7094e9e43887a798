"""What hangs on an answer's frame: where the bars come from, what is not there, and why. Pure.

pandas copies `attrs` deeply with every operation on a frame, so lists are cut at a stated length
while the counts beside them stay exact; `cut` names the lists that are not whole. Everything is
plain: strings, numbers, lists and dicts that `json.dumps` takes.
"""

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from bars.conformance import ConformanceResult
from bars.history_coverage import to_ranges
from bars.window import Window, merge, subtract
from provider._call import Call, share
from provider._filled import Filled
from provider._join import Piece
from provider._sight import Absence, Reason, Sight
from provider.errors import SeamlessSLAExceeded

ATTRS_KEY = "seamless"
RANGES_MAX = 100
"""Most ranges of one list: a copy of all three then costs about as much as a filter on a year of
minutes."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Told:
    """All that there is to say of one answer."""

    sight: Sight
    lanes: Mapping[str, tuple[Window, ...]]
    """What ledgers cover of the window, by lane."""

    ranks: Mapping[str, int]
    """Rank of each lane."""

    pieces: Sequence[Piece]
    """What was read, from where."""

    absent: Sequence[Absence]
    """Slots without a bar."""

    report: ConformanceResult
    """What conformance says of the answer."""

    call: Call
    violations: Sequence[SeamlessSLAExceeded]
    failures: Sequence[tuple[str, str]]
    """Sources that were passed over, and why."""

    filled: Filled
    job: str | None
    """What goes on behind the call."""

    unverified: bool
    """Whether bars of a cache were taken though the ledger could not be asked."""


def metadata(told: Told) -> dict[str, Any]:
    """Return what `frame.attrs["seamless"]` holds."""
    sight, call = told.sight, told.call
    ask, grid = sight.ask, sight.ask.grid
    counts: Counter[str] = Counter()
    for absence in told.absent:
        counts[absence.reason.value] += absence.slots
    named = told.absent
    if len(named) > RANGES_MAX:  # weekends are the first to go
        named = [absence for absence in named if absence.reason is not Reason.CLOSED]
    lists: dict[str, list[Any]] = {
        "coverage": [[r.start, r.end] for r in to_ranges(sight.covered, grid)],
        "sources": _sources(sight, told.lanes, told.ranks),
        "read_from": _read_from(told.pieces, sight),
        "missing": [
            {"start": a.start, "end": a.end, "slots": a.slots, "reason": a.reason.value}
            for a in named
        ],
        "failed": [
            {"start": f.start, "end": f.end, "error_class": f.error_class, "message": f.message}
            for f in told.filled.failures
        ],
    }
    cut = {name for name, ranges in lists.items() if len(ranges) > RANGES_MAX}
    if len(named) < len(told.absent):
        cut.add("missing")
    return {
        "node_id": ask.series.node,
        "interval": ask.series.interval,
        "window": [ask.window.start, ask.window.end],
        "request_id": ask.request_id,
        "strategy": call.strategy.value,
        "session_bars": int(sight.session.size),
        "coverage_ratio": share(sight),
        **{name: ranges[:RANGES_MAX] for name, ranges in lists.items()},
        "missing_slots": dict(sorted(counts.items())),
        "cut": sorted(cut),
        "passed_over": [{"source": name, "error": error} for name, error in told.failures],
        "unverified": told.unverified,
        "backfill": {
            "request_id": told.filled.request_id or None,
            "job": told.job,
            "reason": told.filled.reason,
            "unstored": str(told.filled.unstored or ""),
        },
        **_level_of(told),
        "report": _report(told.report),
    }


def _level_of(told: Told) -> dict[str, Any]:
    """Return how the service level was kept; `hold`: nothing should be decided upon this."""
    mode = told.call.on_violation if told.violations else None
    return {
        "downgraded": bool(told.violations),
        "downgrade_mode": mode,
        "downgrade_reason": "; ".join(map(str, told.violations)),
        "hold": mode == "hold",
        "sla": [
            {
                "phase": v.phase,
                "elapsed_ms": v.elapsed_ms,
                "budget_ms": v.budget_ms if math.isfinite(v.budget_ms) else None,
            }
            for v in told.violations
        ],
    }


def _read_from(pieces: Iterable[Piece], sight: Sight) -> list[dict[str, Any]]:
    by_source: dict[str, list[Window]] = {}
    for piece in pieces:
        by_source.setdefault(piece.source, []).append(piece.window)
    found = [
        {"source": name, "start": r.start, "end": r.end}
        for name, windows in by_source.items()
        for r in to_ranges(windows, sight.ask.grid)
    ]
    return sorted(found, key=lambda one: int(one["start"]))


def report_uri(node_id: str) -> str:
    """Return where the reports on a node resolve."""
    return f"qmtl://observability/seamless/{quote(node_id, safe=':')}"


def _sources(
    sight: Sight, lanes: Mapping[str, tuple[Window, ...]], ranks: Mapping[str, int]
) -> list[dict[str, Any]]:
    """Return for each covered range the lane of highest rank that covers it.

    A bar that this lane lacks inside its range comes from the next lane below.
    """
    taken: tuple[Window, ...] = ()
    found: list[dict[str, Any]] = []
    lowest = min(ranks.values(), default=0) - 1
    for lane in sorted(lanes, key=lambda name: (-ranks.get(name, lowest), name)):
        own = subtract(lanes[lane], taken)
        taken = merge((*taken, *lanes[lane]))
        found += [
            {"lane": lane, "start": r.start, "end": r.end} for r in to_ranges(own, sight.ask.grid)
        ]
    return sorted(found, key=lambda source: int(source["start"]))


def _report(report: ConformanceResult) -> dict[str, Any]:
    return {
        "uri": report_uri(report.context.series.node),
        "passed": report.passed,
        "flags": [
            {
                "check": flag.check,
                "severity": flag.severity,
                "rows": flag.rows,
                "sample_ts": list(flag.sample_ts),
                "message": flag.message,
            }
            for flag in report.flags
        ],
    }
