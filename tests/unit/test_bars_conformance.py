"""The pipeline: what clean data is, what a verdict holds, and when `check` raises."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from backtesting.test import EURUSD
from bokeh_sampledata.stocks import AAPL, GOOG, IBM, MSFT

from bars import (
    BarFrame,
    Exchange,
    Grid,
    InvalidValueError,
    SeamlessError,
    Series,
    Versions,
    Weekly,
    Window,
)
from bars.conformance import (
    ConformancePipeline,
    ConformancePipelineError,
    Context,
    Finding,
    RegressionReportStage,
    SchemaRollupStage,
    Severity,
    Subject,
    TemporalRollupStage,
)
from bars.frame import Times
from tests.unit.bars_help import DAY, MINUTE, at, context, priced, span, walk

HOUR = 3_600
PIPELINE = ConformancePipeline()
FX = Weekly("fx", "America/New_York", "Sun 17:00", "Fri 17:00")


def daily(table: Mapping[str, Any]) -> BarFrame:
    """Return the bars of a table of `bokeh_sampledata`."""
    ts = np.array(table["date"], "datetime64[s]").astype(np.int64)
    names = ("open", "high", "low", "close", "volume")
    return BarFrame(ts, *(np.array(table[name], np.float64) for name in names))


def euro() -> BarFrame:
    """Return ten months of hours of EUR/USD."""
    ts = EURUSD.index.to_numpy().astype("datetime64[s]").astype(np.int64)
    names = ("Open", "High", "Low", "Close", "Volume")
    return BarFrame(ts, *(EURUSD[name].to_numpy(np.float64, copy=True) for name in names))


def findings(bars: BarFrame, given: Context) -> list[tuple[str, int]]:
    return [(found.check, found.rows) for found in PIPELINE.run(bars, given).findings]


@pytest.mark.parametrize("table", [AAPL, GOOG, IBM, MSFT], ids=["AAPL", "GOOG", "IBM", "MSFT"])
def test_thirteen_years_of_real_days_have_no_finding(table: Mapping[str, Any]) -> None:
    """Splits, crashes and closed weeks are ordinary."""
    bars = daily(table)
    assert findings(bars, context(bars, DAY, calendar=Exchange("XNYS"))) == []


def test_a_series_that_did_not_exist_yet_has_no_gaps_then() -> None:
    bars = daily(GOOG)
    window = span("2000-03-01", "2013-03-02")
    given = context(bars, DAY, calendar=Exchange("XNYS"), window=window)
    listed = Window(at("2004-08-19"), at("2030-01-01"))
    assert findings(bars, replace(given, listed=listed)) == []
    assert findings(bars, given) == [("time.gaps", len(daily(AAPL)) - len(bars))]


def test_real_hours_of_a_currency_have_two_strange_bars_and_two_holidays() -> None:
    """Two bars stand at the very close of a week; Christmas and New Year have no trades."""
    bars = euro()
    given = context(bars, HOUR, calendar=FX)
    assert findings(bars, given) == [("time.session", 2), ("time.gaps", 48)]
    gaps = PIPELINE.run(bars, given).findings[1]
    assert gaps.message == (
        "48 of 5046 session bars without trades, in 2 stretches, the longest of 24"
    )
    assert gaps.sample_ts[0] == at("2017-12-24T22:00")


def slots_of(calendar: Exchange | Weekly, interval: int, window: Window) -> Times:
    return calendar.session_bars(Grid(interval), window)


@pytest.mark.parametrize(
    ("calendar", "interval", "window"),
    [
        pytest.param(Exchange("XNYS"), MINUTE, span("2024-03-07", "2024-03-13"), id="spring"),
        pytest.param(Exchange("XNYS"), HOUR, span("2024-10-31", "2024-11-06"), id="autumn"),
        pytest.param(Exchange("XNYS"), 1800, span("2024-07-01", "2024-07-08"), id="early close"),
        pytest.param(Exchange("XHKG"), 900, span("2024-02-05", "2024-02-20"), id="lunch"),
        pytest.param(FX, HOUR, span("2024-03-07", "2024-03-13"), id="week in spring"),
        pytest.param(FX, DAY, span("2024-10-25", "2024-11-10"), id="days in autumn"),
    ],
)
def test_a_bar_for_each_session_bar_is_clean_and_none_is_all_gaps(
    calendar: Exchange | Weekly, interval: int, window: Window
) -> None:
    bars = priced(slots_of(calendar, interval, window).tolist())
    given = context(bars, interval, calendar=calendar, window=window)
    assert findings(bars, given) == []
    assert findings(BarFrame.empty(), given) == [("time.gaps", len(bars))]


def test_a_window_in_which_the_market_is_closed_wants_nothing() -> None:
    weekend = span("2024-01-13", "2024-01-15")
    given = Context(
        series=Series("n", DAY), grid=Grid(DAY), window=weekend, calendar=Exchange("XNYS")
    )
    assert findings(BarFrame.empty(), given) == []
    assert PIPELINE.run(BarFrame.empty().to_pandas(), given).passed


def test_an_answer_that_covers_nothing_has_no_gaps() -> None:
    """A source that cannot prove emptiness has said nothing about the slots."""
    bars = walk(10)
    given = context(bars)
    assert findings(BarFrame.empty(), replace(given, covers=())) == []
    half = (Window(int(bars.ts[0]), int(bars.ts[5])),)
    assert findings(BarFrame.empty(), replace(given, covers=half)) == [("time.gaps", 5)]


def test_bars_on_closed_days_warn_and_pass() -> None:
    days = [at("2024-01-12"), at("2024-01-13"), at("2024-01-15"), at("2024-01-16")]
    bars = priced(days)
    result = PIPELINE.run(bars, context(bars, DAY, calendar=Exchange("XNYS")))
    assert [(f.check, f.rows) for f in result.findings] == [("time.session", 2)]
    assert result.passed
    assert result.findings[0].sample_ts == tuple(days[1:3])


def broken(rows: int = 100, *bad: int) -> BarFrame:
    """Return a clean frame with an impossible high in some rows."""
    bars = walk(rows)
    high = bars.high.copy()
    high[list(bad)] = 0.001
    return BarFrame(bars.ts, bars.open, high, bars.low, bars.close, bars.volume)


def test_a_finding_names_at_most_twenty_bars_and_counts_all() -> None:
    bars = broken(100, *range(30))
    found = PIPELINE.run(bars, context(bars)).findings[0]
    assert found.rows == 30
    assert found.sample_ts == tuple(bars.ts[:20].tolist())
    assert found.mask is not None
    assert found.mask.sum() == 30
    with pytest.raises(ValueError, match="read-only"):
        found.mask[0] = False


def test_the_rows_that_nothing_blocks_are_there_and_the_frame_is_as_it_came() -> None:
    bars = broken(10, 3)
    result = PIPELINE.run(bars, context(bars))
    assert not result.passed
    assert result.bars is bars
    assert result.passing.equals(bars.take([0, 1, 2, 4, 5, 6, 7, 8, 9]))


def test_nothing_passes_when_the_frame_as_a_whole_is_wrong() -> None:
    bars = walk(10)
    damaged = PIPELINE.run(bars, replace(context(bars), content_hash="0" * 32))
    assert len(damaged.passing) == 0
    shapeless = PIPELINE.run(bars.to_pandas().drop(columns="low"), context(bars))
    assert shapeless.bars is None
    assert len(shapeless.passing) == 0
    assert len(shapeless.withdrawn) == 0


def test_a_frame_without_a_row_is_judged_like_any_other() -> None:
    given = context(walk(3))
    empty = BarFrame.empty().to_pandas()
    assert [f.check for f in PIPELINE.run(empty, given).findings] == ["time.gaps"]
    assert [f.check for f in PIPELINE.run(pd.DataFrame(), given).findings] == ["schema.columns"]
    wrong = empty.astype({"volume": "int64"})
    assert [f.check for f in PIPELINE.run(wrong, given).findings] == ["schema.types"]


def test_judging_changes_nothing_and_later_changes_do_not_reach_the_verdict() -> None:
    bars = walk(20)
    frame = bars.to_pandas()
    result = PIPELINE.run(frame, context(bars))
    pd.testing.assert_frame_equal(frame, bars.to_pandas())
    frame.loc[:, "close"] = 0.0
    assert result.bars is not None
    assert result.bars.equals(bars)


def test_columns_given_by_name_stay_writable_for_their_owner() -> None:
    bars = walk(5)
    given = {name: column.to_numpy().copy() for name, column in bars.to_pandas().items()}
    PIPELINE.run({str(name): column for name, column in given.items()}, context(bars))
    given["close"][0] = 1.0


def test_check_raises_for_block_and_says_what_where_and_why() -> None:
    bars = broken(10, 3)
    with pytest.raises(ConformancePipelineError, match=r"n\|60 .*BLOCK values.range: open") as e:
        PIPELINE.check(bars, context(bars))
    assert isinstance(e.value, SeamlessError)
    assert not e.value.retriable
    assert e.value.report.findings[0].sample_ts == (int(bars.ts[3]),)


def test_partial_ok_reports_the_same_without_raising() -> None:
    bars = broken(10, 3)
    raised = PIPELINE.run(bars, context(bars))
    told = ConformancePipeline(partial_ok=True).check(bars, context(bars))
    assert told.flags == raised.flags
    assert not told.passed


def test_a_warning_raises_unless_it_was_accepted_by_name() -> None:
    bars = walk(3)
    frame = bars.to_pandas().assign(vwap=1.0)
    given = context(bars)
    with pytest.raises(ConformancePipelineError, match=r"schema\.unknown"):
        PIPELINE.check(frame, given)
    accepted = PIPELINE.check(frame, replace(given, accepted=("schema.unknown",)))
    assert [f.check for f in accepted.findings] == ["schema.unknown"]
    with pytest.raises(ConformancePipelineError):
        PIPELINE.check(frame, replace(given, accepted=("time.session",)))


def test_a_block_cannot_be_accepted() -> None:
    bars = broken(3, 1)
    with pytest.raises(ConformancePipelineError):
        PIPELINE.check(bars, replace(context(bars), accepted=("values.range",)))


def test_info_never_raises() -> None:
    bars = walk(10).take([0, 1, 8, 9])
    assert PIPELINE.check(bars, context(bars)).findings[0].severity is Severity.INFO


def test_a_finding_becomes_a_flag_of_the_contract() -> None:
    bars = broken(10, 3)
    flag = PIPELINE.run(bars, context(bars)).flags[0]
    assert (flag.check, flag.severity, flag.rows) == ("values.range", "BLOCK", 1)
    assert flag.sample_ts == (int(bars.ts[3]),)
    assert type(flag.sample_ts[0]) is int


def test_severities_are_ordered() -> None:
    assert Severity.INFO < Severity.WARN < Severity.BLOCK


def test_a_grid_of_another_bar_length_is_refused() -> None:
    with pytest.raises(InvalidValueError, match=r"grid.interval must be that of n\|60"):
        Context(series=Series("n", 60), grid=Grid(300), window=Window(0, 60))


def test_a_chunk_is_compared_only_where_something_is_stored() -> None:
    bars = walk(10)
    stored = Versions.of_lane(priced(bars.ts.tolist()), "bf:a", 5)
    given = context(bars, lane="bf:a", ranks={"bf:a": 1})
    assert PIPELINE.run(bars, given).revisions == ()
    assert len(PIPELINE.run(bars, replace(given, stored=stored)).revisions) == 10
    answer = replace(given, stored=stored, lane="")
    assert PIPELINE.run(bars, answer).revisions == ()


def test_rows_out_of_order_are_not_compared() -> None:
    """They are blocked; a comparison by position would name the wrong bars."""
    bars = walk(10).take([1, 0, *range(2, 10)])
    stored = Versions.of_lane(walk(20), "bf:a", 5)
    result = PIPELINE.run(bars, context(walk(20), lane="bf:a", ranks={"bf:a": 1}, stored=stored))
    assert not result.passed
    assert result.revisions == ()
    assert len(result.withdrawn) == 0


@dataclass(frozen=True)
class NoFridays:
    """A stage of somebody else's."""

    name: str = "house rules"

    def run(self, subject: Subject) -> tuple[Finding, ...]:
        if subject.view is None:
            return ()
        friday = subject.view.bars.ts // DAY % 7 == 1
        return (Finding("house.fridays", Severity.WARN, "never on a Friday", int(friday.sum())),)


def test_stages_can_be_chosen_and_added() -> None:
    bars = priced([at("2024-01-12")])
    stages = (SchemaRollupStage(), TemporalRollupStage(), RegressionReportStage(), NoFridays())
    result = ConformancePipeline(stages).run(bars, context(bars, DAY))
    assert [(f.check, f.rows) for f in result.findings] == [("house.fridays", 1)]
    assert ConformancePipeline((SchemaRollupStage(),)).run(broken(3, 1), context(walk(3))).passed
