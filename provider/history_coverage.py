"""`bars.history_coverage` under the name by which existing code imports it."""

from bars.history_coverage import (
    CoverageRange,
    Range,
    WarmupWindow,
    _find_missing_ranges,
    _intersect_ranges,
    _merge_ranges,
    _subtract_ranges,
    compute_missing_ranges,
    merge_coverage,
)

__all__ = [
    "CoverageRange",
    "Range",
    "WarmupWindow",
    "_find_missing_ranges",
    "_intersect_ranges",
    "_merge_ranges",
    "_subtract_ranges",
    "compute_missing_ranges",
    "merge_coverage",
]
