"""What a bar is: series, grids, windows, frames, versions, sessions, and whether bars are right.

Lives here: the values that every other folder passes on (`series`, `window`, `frame`), the order
of versions and what a reader gets (`versions`), hashes (`fingerprint`), trading calendars
(`calendars`), the checks (`conformance`), inclusive ranges (`history_coverage`), what a record
says in these words (`records`), and the protocols of a strategy's parts (`protocols`).

Does not live here: anything that reads a clock, a file, a socket or the configuration. Times
are epoch seconds UTC, windows are half-open, unless a name says otherwise.
"""

from bars.calendars import AlwaysOpen, Calendar, Exchange, Weekly, exchange_codes, expected
from bars.errors import InvalidValueError, SeamlessError
from bars.fingerprint import content_hash
from bars.frame import COLUMNS, PRICE_COLUMNS, BarFrame
from bars.series import (
    ROLL,
    Series,
    backfill_lane,
    check_interval,
    check_lane,
    check_node,
    check_source,
    interval_label,
    parse_interval,
)
from bars.versions import UNLISTED_RANK, Versions, newest_of_lane, winners
from bars.window import Grid, Window

__all__ = [
    "COLUMNS",
    "PRICE_COLUMNS",
    "ROLL",
    "UNLISTED_RANK",
    "AlwaysOpen",
    "BarFrame",
    "Calendar",
    "Exchange",
    "Grid",
    "InvalidValueError",
    "SeamlessError",
    "Series",
    "Versions",
    "Weekly",
    "Window",
    "backfill_lane",
    "check_interval",
    "check_lane",
    "check_node",
    "check_source",
    "content_hash",
    "exchange_codes",
    "expected",
    "interval_label",
    "newest_of_lane",
    "parse_interval",
    "winners",
]
