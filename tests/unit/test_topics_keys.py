"""Keys, and the one partitioner."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bars.errors import InvalidValueError
from bars.series import Series
from topics import (
    HistoryKey,
    WatermarkKey,
    history_key,
    parse_history_key,
    partition_of,
    report_key,
    series_key,
    visible_key,
    watermark_key,
)

nodes = st.text(min_size=1, max_size=30)
numbers = st.integers(-(2**63), 2**63 - 1)


def murmur2(data: bytes) -> int:
    """Return Kafka's hash, written down from `org.apache.kafka.common.utils.Utils.murmur2`."""
    m, mask = 0x5BD1E995, 0xFFFFFFFF
    h = (0x9747B28C ^ len(data)) & mask
    whole = len(data) // 4 * 4
    for i in range(0, whole, 4):
        k = int.from_bytes(data[i : i + 4], "little") * m & mask
        h = (h * m & mask) ^ ((k ^ k >> 24) * m & mask)
    if data[whole:]:
        h = (h ^ int.from_bytes(data[whole:], "little")) * m & mask
    h = (h ^ h >> 13) * m & mask
    return h ^ h >> 15


@pytest.mark.parametrize(
    ("text", "expected"),
    [("21", -973932308), ("foobar", -790332482), ("a-little-bit-long-string", -985981536)],
)
def test_the_reference_is_kafkas_own(text: str, expected: int) -> None:
    """The values are those of Kafka's own `UtilsTest.testMurmur2`."""
    assert murmur2(text.encode()) == expected & 0xFFFFFFFF


@given(st.text(max_size=60), st.integers(1, 200))
def test_a_key_goes_where_kafkas_default_partitioner_sends_it(key: str, partitions: int) -> None:
    assert partition_of(key, partitions) == (murmur2(key.encode()) & 0x7FFFFFFF) % partitions


def test_a_series_has_the_key_that_bars_gives_it() -> None:
    assert (
        series_key("ohlcv:binance:BTC/USDT:1m", 60) == Series("ohlcv:binance:BTC/USDT:1m", 60).key
    )


def test_keys_read_as_written_down() -> None:
    assert history_key("n", 60, "bf:csv", 0, 600) == "n|60|bf:csv|0|600"
    assert watermark_key("conform", 3) == "~wm|conform|3"
    assert report_key("n", 60, 0, 600) == "n|60|0|600"
    assert visible_key(3) == "3"


@given(nodes, numbers, st.sampled_from(["roll", "bf:a-b.c_d"]), numbers, numbers)
def test_a_history_key_gives_its_parts_back(
    node: str, interval: int, lane: str, start: int, end: int
) -> None:
    """For every node that may exist: what it must not hold is what keeps the parts apart."""
    try:
        Series(node, 1)
    except InvalidValueError:
        return
    key = history_key(node, interval, lane, start, end).encode()
    assert parse_history_key(key) == HistoryKey(node, interval, lane, start, end)


def test_a_watermark_is_never_taken_for_a_series() -> None:
    assert parse_history_key(b"~wm|conform|3") == WatermarkKey("conform", 3)


@pytest.mark.parametrize(
    "key", [None, b"", b"x", b"\xff|1|roll|0|1", b"n|x|roll|0|1", b"~wm|conform|x", b"~a|1|b|0|1"]
)
def test_a_key_that_nobody_here_wrote_is_no_key(key: bytes | None) -> None:
    assert parse_history_key(key) is None
