"""Names: nodes, intervals, sources, lanes, and the key made of them."""

import pytest

from bars import (
    InvalidValueError,
    Series,
    backfill_lane,
    check_interval,
    check_lane,
    check_node,
    check_source,
    interval_label,
    parse_interval,
)


@pytest.mark.parametrize(
    "node",
    ["a", "ohlcv:binance:BTC/USDT:1m", "株価 🚀", "a~", 'it\'s "quoted"', "é" * 100],
)
def test_a_node_may_be_any_text_of_200_bytes(node: str) -> None:
    assert check_node(node) == node


@pytest.mark.parametrize(
    "node",
    ["", "a|b", "~wm", "a\nb", "a\x00", "a\x7f", "é" * 101, "\ud800", None, 1, 1.0, b"a", ["a"]],
)
def test_a_node_that_a_key_or_a_store_could_not_carry_is_refused(node: object) -> None:
    with pytest.raises(InvalidValueError, match="node_id must be 1 to 200 bytes") as caught:
        check_node(node)
    assert caught.value.found is node
    assert caught.value.field == "node_id"


@pytest.mark.parametrize("interval", [0, -60, 60.0, "60", True, None, 2**31, float("nan")])
def test_an_interval_is_a_whole_number_of_seconds_above_zero(interval: object) -> None:
    with pytest.raises(InvalidValueError, match="interval must be a whole number of seconds"):
        check_interval(interval)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [(7, 7), ("60", 60), ("60s", 60), ("5m", 300), ("1h", 3_600), (" 1d ", 86_400)],
)
def test_intervals_are_read_as_people_write_them(text: object, seconds: int) -> None:
    assert parse_interval(text) == seconds


@pytest.mark.parametrize(
    "text",
    [
        "",
        "m",
        "1w",
        "1.5h",
        "-1m",
        "0",
        "01m",
        "1 m",
        "1m\n1",
        "٣m",
        -7,
        True,
        60.0,
        None,
        "9" * 99,
    ],
)
def test_what_is_no_interval_is_refused_by_its_field(text: object) -> None:
    """A configuration may hold anything: a float or nothing must not end in another error."""
    with pytest.raises(InvalidValueError) as caught:
        parse_interval(text, "nodes.x.interval")
    assert caught.value.field == "nodes.x.interval"


@pytest.mark.parametrize(
    ("interval", "label"),
    [(1, "1s"), (90, "90s"), (60, "1m"), (5_400, "90m"), (3_600, "1h"), (604_800, "7d")],
)
def test_a_label_uses_the_largest_unit_that_divides_and_reads_back(
    interval: int, label: str
) -> None:
    assert interval_label(interval) == label
    assert parse_interval(label) == interval


@pytest.mark.parametrize("name", ["", "A", "a b", "a:b", "ü", None, 1])
def test_a_source_name_has_only_plain_characters(name: object) -> None:
    with pytest.raises(InvalidValueError, match="source must be"):
        check_source(name)


def test_a_lane_is_roll_or_a_source() -> None:
    assert check_lane("roll") == "roll"
    assert check_lane(backfill_lane("daily.v2")) == "bf:daily.v2"


@pytest.mark.parametrize("lane", ["", "bf:", "bf:A", "live", "Roll", None, 3])
def test_other_lanes_are_refused(lane: object) -> None:
    with pytest.raises(InvalidValueError, match="lane must be"):
        check_lane(lane)


def test_a_series_is_checked_once_and_is_its_key() -> None:
    series = Series("ohlcv:nasdaq:AAPL:1d", 86_400)
    assert series.key == str(series) == "ohlcv:nasdaq:AAPL:1d|86400"
    with pytest.raises(InvalidValueError):
        Series("", 60)
    with pytest.raises(InvalidValueError):
        Series("a", 0)


def test_a_bad_value_is_a_value_error_that_is_not_worth_a_retry() -> None:
    assert issubclass(InvalidValueError, ValueError)
    assert not InvalidValueError("f", 1, "2").retriable
