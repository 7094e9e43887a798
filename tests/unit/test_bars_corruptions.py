"""One thing wrong in a clean frame is found by exactly the check that is meant for it."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import numpy as np
import pandas as pd
import pytest

from bars import BarFrame, Exchange, Versions, Weekly, Window, content_hash
from bars.conformance import (
    CHECKS,
    ConformancePipeline,
    ConformanceResult,
    Context,
    Frame,
    Severity,
)
from tests.unit.bars_help import DAY, MINUTE, context, walk

ROWS = 300
CLEAN = walk(ROWS)
LANE = "bf:daily"
CONTEXT = context(
    CLEAN,
    lane=LANE,
    ranks={LANE: 1, "bf:best": 2, "roll": 0},
    stored=Versions.of_lane(CLEAN, LANE, 5),
    listed=Window(0, 2**40),
    content_hash=content_hash(CLEAN),
)

Case: TypeAlias = tuple[Frame, Context]


def judged(case: Case) -> ConformanceResult:
    return ConformancePipeline().run(*case)


def values(column: str, *rows: tuple[int, float]) -> Case:
    """Return the clean bars with other values in one column, and nothing to compare with."""
    columns = {n: getattr(CLEAN, n).copy() for n in ("ts", *CLEAN.to_pandas().columns[1:])}
    for row, value in rows:
        columns[column][row] = value
    return BarFrame(**columns), replace(CONTEXT, content_hash=None, stored=None)


def added(row: int, ts: int) -> Case:
    """Return the clean bars and, before a row, the same bar at another time."""
    more = BarFrame(np.array([ts]), *(column[row : row + 1] for column in CLEAN.prices))
    bars = BarFrame.concat([CLEAN.take(slice(row)), more, CLEAN.take(slice(row, ROWS))])
    return bars, replace(CONTEXT, content_hash=None, stored=None)


def frame(change: Callable[[pd.DataFrame], pd.DataFrame]) -> Case:
    return change(CLEAN.to_pandas()), replace(CONTEXT, content_hash=None, stored=None)


def about(**other: Any) -> Case:
    """Return the clean bars in another context."""
    return CLEAN, replace(CONTEXT, **{"stored": None, **other})


def rows_of(rows: Any) -> Case:
    return CLEAN.take(rows), replace(CONTEXT, content_hash=None, stored=None)


def stored(bars: BarFrame, lane: str = LANE) -> Case:
    return about(stored=Versions.of_lane(bars, lane, 5))


def repriced(row: int, value: float) -> BarFrame:
    bars = values("close", (row, value))[0]
    assert isinstance(bars, BarFrame)
    return bars


def columns(**other: Any) -> Case:
    """Return the clean bars as columns by name, some of them other."""
    given = {n: CLEAN.to_pandas()[n].to_numpy().copy() for n in CLEAN.to_pandas().columns}
    return {**given, **other}, replace(CONTEXT, content_hash=None, stored=None)


@dataclass(frozen=True)
class Corruption:
    """One thing wrong, the check that must say so, and how many bars it must name."""

    check: str
    case: Callable[[], Case]
    rows: int = 0


T = CLEAN.ts.tolist()
HIGH, LOW = CLEAN.high, CLEAN.low

CORRUPTIONS = {
    "a column is missing": Corruption(
        "schema.columns", lambda: frame(lambda f: f.drop(columns="volume"))
    ),
    "ts is the index": Corruption("schema.columns", lambda: frame(lambda f: f.set_index("ts"))),
    "columns are called otherwise": Corruption(
        "schema.columns", lambda: (CLEAN.to_pandas()[["ts"]], CONTEXT)
    ),
    "a column stands twice": Corruption(
        "schema.repeated", lambda: frame(lambda f: pd.concat([f, f[["close"]]], axis=1))
    ),
    "volume is whole numbers": Corruption(
        "schema.types", lambda: frame(lambda f: f.astype({"volume": "int64"}))
    ),
    "prices are single precision": Corruption(
        "schema.types", lambda: frame(lambda f: f.astype({"close": "float32"}))
    ),
    "prices are nullable": Corruption(
        "schema.types", lambda: frame(lambda f: f.astype({"close": "Float64"}))
    ),
    "prices are objects": Corruption(
        "schema.types", lambda: frame(lambda f: f.astype({"close": "object"}))
    ),
    "ts is dates": Corruption(
        "schema.types", lambda: frame(lambda f: f.assign(ts=pd.to_datetime(f["ts"], unit="s")))
    ),
    "ts is floats": Corruption(
        "schema.types", lambda: frame(lambda f: f.astype({"ts": "float64"}))
    ),
    "bytes stand the other way round": Corruption(
        "schema.types", lambda: columns(ts=CLEAN.ts.astype(">i8"))
    ),
    "a column is a list": Corruption("schema.types", lambda: columns(open=CLEAN.open.tolist())),
    "a column is longer": Corruption(
        "schema.lengths", lambda: columns(open=np.append(CLEAN.open, 1.0))
    ),
    "a column is a table": Corruption(
        "schema.lengths", lambda: columns(**{n: c.reshape(-1, 2) for n, c in named()})
    ),
    "a column nobody knows": Corruption(
        "schema.unknown", lambda: frame(lambda f: f.assign(vwap=1.0))
    ),
    "an index that holds something": Corruption(
        "schema.index", lambda: frame(lambda f: f.set_index(pd.Index(f["ts"], name="when")))
    ),
    "columns in another order": Corruption(
        "schema.order", lambda: frame(lambda f: f[["ts", "close", "open", "high", "low", "volume"]])
    ),
    "another hash than the sender's": Corruption(
        "schema.hash", lambda: about(content_hash="0" * 32)
    ),
    "NaT": Corruption("time.missing", lambda: added(9, -(2**63)), 1),
    "two rows change places": Corruption("time.order", lambda: rows_of(swapped(8, 9)), 1),
    "a row comes again": Corruption(
        "time.repeated", lambda: rows_of(np.repeat(np.arange(ROWS), twice(8))), 1
    ),
    "a time between two slots": Corruption("time.grid", lambda: added(9, T[8] + 1), 1),
    "a bar before the window": Corruption(
        "time.window", lambda: about(window=Window(T[1], T[-1] + MINUTE)), 1
    ),
    "a bar at the window's end": Corruption(
        "time.window", lambda: about(window=Window(T[0], T[-1])), 1
    ),
    "bars before the listing": Corruption(
        "time.listed", lambda: about(listed=Window(T[3], T[-1] + MINUTE)), 3
    ),
    "bars after the listing": Corruption("time.listed", lambda: about(listed=Window(0, T[-2])), 2),
    "bars that the record does not cover": Corruption(
        "time.covered", lambda: about(covers=(Window(T[0], T[9]), Window(T[10], T[-1] + 1))), 1
    ),
    "a window of which the calendar knows nothing": Corruption(
        "time.calendar", lambda: about(calendar=Exchange("XSAU"))
    ),
    "a window without an end": Corruption(
        "time.calendar", lambda: about(window=Window(0, 2**62), listed=None)
    ),
    "NaN in one column": Corruption("values.missing", lambda: values("low", (5, np.nan)), 1),
    "NaN in all columns": Corruption("values.empty", lambda: without_prices(5, 6), 2),
    "an infinity": Corruption("values.infinite", lambda: values("high", (5, np.inf)), 1),
    "a negative infinity": Corruption("values.infinite", lambda: values("volume", (5, -np.inf)), 1),
    "high below close": Corruption(
        "values.range", lambda: values("close", (5, HIGH[5] + 0.01), (7, HIGH[7] + 0.01)), 2
    ),
    "low above open": Corruption("values.range", lambda: values("open", (5, LOW[5] - 0.01)), 1),
    "high and low changed": Corruption(
        "values.range", lambda: values("high", (5, LOW[5] - 0.01)), 1
    ),
    "negative volume": Corruption("values.volume", lambda: values("volume", (5, -1.0)), 1),
    "a price of zero": Corruption("values.sign", lambda: values("low", (5, 0.0)), 1),
    "bars while the market is closed": Corruption(
        "time.session", lambda: about(calendar=closing_at(T[-4])), 4
    ),
    "a bar is missing": Corruption("time.gaps", lambda: rows_of(np.arange(ROWS) != 8), 1),
    "a stretch is missing": Corruption(
        "time.gaps", lambda: rows_of((np.arange(ROWS) < 8) | (np.arange(ROWS) > 60)), 53
    ),
    "a lane that has no rank": Corruption("regression.rank", lambda: about(lane="bf:other")),
    "a value is otherwise than before": Corruption(
        "regression.changed", lambda: stored(repriced(5, float(LOW[5]))), 1
    ),
    "a stored bar is there again": Corruption(
        "regression.restored", lambda: stored(all_withdrawn()), ROWS
    ),
    "a higher lane says otherwise": Corruption(
        "regression.outranked", lambda: stored(repriced(5, float(LOW[5])), "bf:best"), 1
    ),
}


def named() -> list[tuple[str, Any]]:
    return [(n, CLEAN.to_pandas()[n].to_numpy()) for n in CLEAN.to_pandas().columns]


def swapped(a: int, b: int) -> Any:
    order = np.arange(ROWS)
    order[[a, b]] = b, a
    return order


def twice(row: int) -> Any:
    return np.where(np.arange(ROWS) == row, 2, 1)


def without_prices(*rows: int) -> Case:
    gone = np.isin(np.arange(ROWS), rows)
    bars = BarFrame(CLEAN.ts, *(np.where(gone, np.nan, c) for c in CLEAN.prices))
    return bars, replace(CONTEXT, content_hash=None, stored=None)


def all_withdrawn() -> BarFrame:
    return BarFrame(CLEAN.ts, *(np.full(ROWS, np.nan) for _ in CLEAN.prices))


def closing_at(ts: int) -> Weekly:
    """Return a calendar that closes at a time of the clean frame's day and opens before it."""
    close = pd.Timestamp(ts, unit="s")
    return Weekly("w", "UTC", f"{(close - pd.Timedelta(days=1)):%a %H:%M}", f"{close:%a %H:%M}")


def test_a_clean_frame_has_no_finding_in_any_of_its_shapes() -> None:
    for shape in (CLEAN, CLEAN.to_pandas(), dict(named())):
        result = judged((shape, CONTEXT))
        assert result.findings == ()
        assert result.revisions == ()
        assert result.passed
        assert result.bars is not None
        assert result.bars.equals(CLEAN)


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_a_corruption_is_found_by_its_check_alone(name: str) -> None:
    corruption = CORRUPTIONS[name]
    result = judged(corruption.case())
    assert [finding.check for finding in result.findings] == [corruption.check]
    found = result.findings[0]
    assert found.severity is CHECKS[corruption.check]
    assert found.rows == corruption.rows
    assert len(found.sample_ts) == min(corruption.rows, 20)
    if found.mask is not None:
        assert result.bars is not None
        assert tuple(result.bars.ts[found.mask][:20]) == found.sample_ts


def test_a_withdrawn_bar_is_a_gap_and_a_revision() -> None:
    """The only thing that two checks tell, for two readers: what is missing, and what changed."""
    bars, _ = rows_of(np.arange(ROWS) != 8)
    result = judged((bars, replace(CONTEXT, content_hash=None)))
    assert [f.check for f in result.findings] == ["time.gaps", "regression.withdrawn"]
    assert result.withdrawn.tolist() == [T[8]]


def test_a_row_that_comes_again_much_later_is_repeated_and_out_of_order() -> None:
    bars = BarFrame.concat([CLEAN, CLEAN.take([8])])
    result = judged((bars, replace(CONTEXT, content_hash=None, stored=None)))
    assert [f.check for f in result.findings] == ["time.order", "time.repeated"]
    assert [f.sample_ts for f in result.findings] == [(T[8],), (T[8],)]


def test_times_that_no_store_can_hold_are_found() -> None:
    """A window that reaches there must not make them right."""
    far = replace(CONTEXT, window=Window(-DAY, 2**40), covers=(), stored=None, content_hash=None)
    for wrong in (-MINUTE, 253_402_300_800):
        bars = CLEAN.take([0])
        moved = BarFrame(np.array([wrong]), *bars.prices)
        found = judged(
            (moved, replace(far, covers=None, listed=None, window=Window(wrong, wrong + 60)))
        )
        assert [f.check for f in found.findings] == ["time.unstorable"]


def test_every_check_is_shown_to_find_something() -> None:
    shown = {corruption.check for corruption in CORRUPTIONS.values()}
    assert set(CHECKS) - shown == {"time.unstorable", "regression.withdrawn"}


def test_only_what_is_certainly_wrong_blocks() -> None:
    """Gaps, unusual prices and revisions are told; sessions and unknown columns warn."""
    quiet = {check for check, severity in CHECKS.items() if severity is not Severity.BLOCK}
    assert {c for c in quiet if CHECKS[c] is Severity.WARN} == {"schema.unknown", "time.session"}
    assert quiet - {"schema.unknown", "time.session"} == {
        "schema.index",
        "schema.order",
        "values.sign",
        "time.gaps",
        *(check for check in CHECKS if check.startswith("regression.")),
    }
