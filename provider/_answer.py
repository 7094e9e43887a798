"""What hangs on an answer's frame: where the bars come from, what is not there, and why. Pure.

pandas copies `attrs` deeply with every operation on a frame, so lists are cut at a stated length
while the counts beside them stay exact; `cut` names the lists that are not whole. Everything is
plain: strings, numbers, lists and dicts that `json.dumps` takes.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import quote

from bars.conformance import ConformanceResult
from bars.history_coverage import to_ranges
from bars.window import Window, merge, subtract
from provider._sight import Absence, Reason, Sight

ATTRS_KEY = "seamless"
RANGES_MAX = 100
"""Most ranges of one list: a copy of all three then costs about as much as a filter on a year of
minutes."""


def metadata(
    sight: Sight,
    lanes: Mapping[str, tuple[Window, ...]],
    ranks: Mapping[str, int],
    absent: Iterable[Absence],
    report: ConformanceResult,
) -> dict[str, Any]:
    """Return what `frame.attrs["seamless"]` holds.

    Args:
        sight: The window as it was read.
        lanes: What the ledger covers of it, by lane.
        ranks: Rank of each lane.
        absent: Slots without a bar.
        report: What conformance says of the answer.
    """
    ask, grid = sight.ask, sight.ask.grid
    gone = list(absent)
    counts: Counter[str] = Counter()
    for absence in gone:
        counts[absence.reason.value] += absence.slots
    coverage = [[r.start, r.end] for r in to_ranges(sight.covered, grid)]
    sources = _sources(sight, lanes, ranks)
    told = gone
    if len(gone) > RANGES_MAX:  # weekends are the first to go
        told = [absence for absence in gone if absence.reason is not Reason.CLOSED]
    missing = [
        {"start": a.start, "end": a.end, "slots": a.slots, "reason": a.reason.value} for a in told
    ]
    lists: dict[str, list[Any]] = {"coverage": coverage, "sources": sources, "missing": missing}
    return {
        "node_id": ask.series.node,
        "interval": ask.series.interval,
        "window": [ask.window.start, ask.window.end],
        "request_id": ask.request_id,
        "session_bars": int(sight.session.size),
        **{name: ranges[:RANGES_MAX] for name, ranges in lists.items()},
        "missing_slots": dict(sorted(counts.items())),
        "cut": sorted(
            name
            for name, ranges in lists.items()
            if len(ranges) > RANGES_MAX or (name == "missing" and len(told) < len(gone))
        ),
        "report": _report(report),
    }


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
