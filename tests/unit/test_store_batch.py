"""What QuestDB would silently store as something else is refused before it is sent."""

from typing import Any

import numpy as np
import pytest

from bars.frame import PRICE_COLUMNS, BarFrame
from bars.series import Series
from store import RecordRows, UnstorableRowError
from store.batch import batches, pack

NAT = np.datetime64("NaT").astype(np.int64)
MINUTE = Series("ohlcv:x:A:1m", 60)


def frame(ts: list[int], **columns: list[float]) -> BarFrame:
    prices = [np.array(columns.get(n, [1.5] * len(ts)), np.float64) for n in PRICE_COLUMNS]
    return BarFrame(np.array(ts, np.int64), *prices)


def rows(bars: BarFrame | None = None, **changes: Any) -> RecordRows:
    record = RecordRows(MINUTE, "bf:x", 7, bars if bars is not None else frame([60, 120]))
    values = {name: getattr(record, name) for name in ("series", "lane", "known", "bars")}
    return RecordRows(**(values | changes))


def refused(record: RecordRows) -> UnstorableRowError:
    with pytest.raises(UnstorableRowError) as caught:
        batches([rows(), record])
    assert not caught.value.retriable
    return caught.value


def named(node: object, interval: object = 60) -> Series:
    """A series that no constructor has checked, as a careless caller may make one."""
    series = object.__new__(Series)
    object.__setattr__(series, "node", node)
    object.__setattr__(series, "interval", interval)
    return series


def test_an_absent_ts_is_refused() -> None:
    """The server would put its own clock there."""
    error = refused(rows(frame([60, int(NAT)])))
    assert (error.field, error.found) == ("ts of ohlcv:x:A:1m row 3", "NaT")


@pytest.mark.parametrize("ts", [-1, -86_400, 253_402_300_800])
def test_a_ts_before_1970_or_after_9999_is_refused(ts: int) -> None:
    assert refused(rows(frame([ts]))).found == ts


@pytest.mark.parametrize("ts", [0, 253_402_300_799])
def test_the_first_and_the_last_ts_are_taken(ts: int) -> None:
    assert batches([rows(frame([ts]))])[0].ts.tolist() == [ts]


@pytest.mark.parametrize("known", [0, -5, 253_402_300_800_000_000])
def test_a_known_outside_time_is_refused(known: int) -> None:
    assert refused(rows(known=known)).found == known
    assert refused(rows(known=np.array([9, known]))).found == known


def test_an_absent_known_is_refused() -> None:
    assert refused(rows(known=int(NAT))).found == "NaT"
    assert refused(rows(known=np.array([9, NAT]))).found == "NaT"
    assert refused(rows(known=None)).found is None


@pytest.mark.parametrize(
    "known",
    [1.5, True, "7", np.array([1.0, 2.0]), np.array(["2020", "NaT"], "M8[us]"), np.array([7])],
)
def test_a_known_that_is_no_time_or_not_one_a_row_is_refused(known: object) -> None:
    assert refused(rows(known=known)).field == "known"


@pytest.mark.parametrize("column", PRICE_COLUMNS)
@pytest.mark.parametrize("value", [np.inf, -np.inf])
def test_an_infinity_is_refused(column: str, value: float) -> None:
    """The server would store NULL: a withdrawn price."""
    error = refused(rows(frame([60, 120], **{column: [1.0, value]})))
    assert error.field.startswith(f"{column} of")
    assert error.found == value


def test_a_row_without_prices_is_a_withdrawn_bar_and_is_taken() -> None:
    nothing = {name: [np.nan] for name in PRICE_COLUMNS}
    assert np.isnan(batches([rows(frame([60], **nothing))])[0].prices[0]).all()


@pytest.mark.parametrize("node", [None, "", 1.0, 7, "a|b", "~a", "a\nb", "x" * 201])
def test_a_node_that_is_no_name_is_refused(node: object) -> None:
    """A number would be stored as the name '1.0', and nothing as NULL."""
    assert refused(rows(series=named(node))).field == "node_id"


@pytest.mark.parametrize("lane", [None, "", 1.0, "bf:", "bf", "backfill", "bf:A", "roll "])
def test_a_lane_that_is_no_name_is_refused(lane: object) -> None:
    assert refused(rows(lane=lane)).field == "lane"


@pytest.mark.parametrize("interval", [0, -60, 1.5, True, None])
def test_an_interval_that_is_none_is_refused(interval: object) -> None:
    assert refused(rows(series=named("n", interval))).field == "interval"


def test_a_record_without_bars_is_still_checked() -> None:
    assert refused(rows(BarFrame.empty(), known=0)).field == "known"
    assert batches([rows(BarFrame.empty())]) == []


def test_rows_go_out_by_ts_and_one_batch_a_bar_length() -> None:
    day = RecordRows(Series("d", 86_400), "roll", 3, frame([86_400]))
    first = rows(frame([300, 60], close=[5.0, 1.0]), known=np.array([50, 10]))
    second = RecordRows(Series("B", 60), "roll", 4, frame([120], close=[2.0]))
    minutes, days = batches([first, day, second])
    assert (minutes.interval, days.interval) == (60, 86_400)
    assert minutes.ts.tolist() == [60, 120, 300]
    assert minutes.prices[3].tolist() == [1.0, 2.0, 5.0]
    assert minutes.known.tolist() == [10, 4, 50]
    assert minutes.node.texts().tolist() == ["ohlcv:x:A:1m", "B", "ohlcv:x:A:1m"]
    assert minutes.lane.texts().tolist() == ["bf:x", "roll", "bf:x"]


def test_rows_of_one_ts_keep_their_order() -> None:
    """The later of two rows with one key is the one the server keeps."""
    twice = rows(frame([60, 60, 0], close=[1.0, 2.0, 3.0]))
    assert batches([twice])[0].prices[3].tolist() == [3.0, 1.0, 2.0]


def test_the_frame_carries_microseconds_and_codes() -> None:
    batch = pack([rows()])[0]
    sent = batch.frame(slice(0, 1))
    assert sent["ts"].to_numpy().view(np.int64).tolist() == [60_000_000]
    assert sent["known"].to_numpy().view(np.int64).tolist() == [7]
    assert sent["node"].dtype == "category"
    assert sent["node"].tolist() == ["ohlcv:x:A:1m"]
    assert sent["lane"].tolist() == ["bf:x"]
    assert list(sent.columns) == ["ts", "node", *PRICE_COLUMNS, "lane", "known"]
