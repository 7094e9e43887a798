"""Reading winners and versions, on the real server."""

import http.client
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pytest

from bars.frame import BarFrame
from bars.series import Series
from bars.versions import Versions, winners
from bars.window import Window
from ops.stack import Addresses
from store import BarWriter, MissingTableError, RecordRows, Store, StoreError
from tests.servers.store_help import (
    MINUTE,
    RANKS,
    SPAN,
    new_series,
    new_store,
    prices,
    put,
    record,
    run,
    walk,
)

pytestmark = pytest.mark.servers

WIDE = Window(0, 100_000 * MINUTE)
"""Wide enough to be read as Parquet."""


@pytest.fixture(scope="module")
def store(stack: Addresses) -> Iterator[Store]:
    with new_store(stack.dsn) as made:
        yield made


@dataclass(frozen=True)
class Road:
    """A series of its own, written and read."""

    store: Store
    writer: BarWriter
    series: Series

    def put(self, bars: BarFrame, known: int, lane: str = "bf:first") -> None:
        put(self.writer, record(self.series, bars, known, lane))

    def bars(self, window: Window, as_of: int | None = None) -> BarFrame:
        return self.store.reader.bars(self.series, window, RANKS, as_of)

    def opens(self, window: Window, as_of: int | None = None) -> dict[int, float]:
        found = self.bars(window, as_of)
        assert (np.diff(found.ts) > 0).all()
        return dict(zip(found.ts.tolist(), found.open.tolist(), strict=True))


@pytest.fixture
def road(store: Store) -> Iterator[Road]:
    with store.writer() as writer:
        yield Road(store, writer, new_series())


@pytest.mark.parametrize("window", [SPAN, WIDE], ids=["pgwire", "parquet"])
class TestWinners:
    """The same by both ways of reading."""

    def test_v1_v2_and_v1_again(self, road: Road, window: Window) -> None:
        """Values that return are a newer version, not the old one found again."""
        for known, price in ((5, 1.0), (6, 2.0), (7, 1.0)):
            road.put(prices([60, 120], price), known)
        assert road.opens(window) == {60: 1.0, 120: 1.0}
        assert road.opens(window, as_of=6) == {60: 2.0, 120: 2.0}
        assert road.opens(window, as_of=5) == {60: 1.0, 120: 1.0}
        assert road.opens(window, as_of=4) == {}

    def test_versions_that_arrive_backwards(self, road: Road, window: Window) -> None:
        for known in (7, 6, 5):
            road.put(prices([60], float(known)), known)
        assert road.opens(window) == {60: 7.0}

    def test_a_withdrawn_bar_is_gone(self, road: Road, window: Window) -> None:
        road.put(prices([60, 120, 180], 1.0), 5)
        road.put(prices([120], np.nan), 6)
        assert road.opens(window) == {60: 1.0, 180: 1.0}
        assert road.opens(window, as_of=5) == {60: 1.0, 120: 1.0, 180: 1.0}

    def test_a_bar_that_was_only_ever_withdrawn(self, road: Road, window: Window) -> None:
        road.put(prices([60, 120], [np.nan, 1.0]), 5)
        assert road.opens(window) == {120: 1.0}

    def test_a_withdrawal_shows_the_lane_below(self, road: Road, window: Window) -> None:
        road.put(prices([60], 1.0), 5, "roll")
        road.put(prices([60], 2.0), 6)
        assert road.opens(window) == {60: 2.0}
        road.put(prices([60], np.nan), 7)
        assert road.opens(window) == {60: 1.0}

    def test_a_newer_version_of_a_lower_lane_loses(self, road: Road, window: Window) -> None:
        road.put(prices([60, 120], 2.0), 5, "bf:second")
        road.put(prices([60], 1.0), 6)
        road.put(prices([60, 120], 3.0), 7, "bf:second")
        road.put(prices([60, 120, 180], 4.0), 8, "bf:unlisted")
        assert road.opens(window) == {60: 1.0, 120: 3.0, 180: 4.0}

    def test_only_the_window_and_the_node_are_read(self, road: Road, window: Window) -> None:
        edges = [window.start, window.end - MINUTE, window.end]
        road.put(prices(edges, 1.0), 5)
        longer = Series(road.series.node + "x", MINUTE)
        put(road.writer, record(longer, prices([60], 9.0), 5))
        assert sorted(road.opens(window)) == edges[:2]


def test_random_versions_have_the_winners_of_all_versions(road: Road) -> None:
    """Rewritten stretches, withdrawals and lanes all over 20,000 bars."""
    random = np.random.default_rng(11)
    records = [record(road.series, walk(20_000, 0), 1, "bf:second")]
    for known in range(2, 40):
        size = int(random.integers(1, 1_500))
        first = int(random.integers(0, 20_000 - size))
        bars = walk(size, known, start=first * MINUTE)
        gone = random.random(size) < 0.1
        bars = BarFrame(bars.ts, *(np.where(gone, np.nan, c) for c in bars.prices))
        lane = str(random.choice(["bf:first", "bf:second", "roll"]))
        records.append(RecordRows(road.series, lane, known, bars))
    put(road.writer, *records)
    every = road.store.reader.versions(road.series, WIDE)
    assert len(every) == sum(len(r.bars) for r in records)
    assert road.bars(WIDE).equals(winners(every, RANKS).bars)
    learnt = every.take(every.known <= 20)
    assert road.bars(WIDE, as_of=20).equals(winners(learnt, RANKS).bars)


def test_newest_has_one_version_a_lane_withdrawn_ones_too(road: Road) -> None:
    road.put(prices([60, 120], 1.0), 5)
    road.put(prices([60], 2.0), 6, "roll")
    road.put(prices([120], np.nan), 7)
    found = road.store.reader.newest(road.series, SPAN)
    assert list(zip(found.bars.ts.tolist(), found.lane, found.known.tolist(), strict=True)) == [
        (60, "bf:first", 5),
        (60, "roll", 6),
        (120, "bf:first", 7),
    ]
    assert np.isnan(found.bars.close[2])


@pytest.mark.parametrize("window", [SPAN, WIDE], ids=["pgwire", "parquet"])
def test_an_empty_answer_has_the_same_types(road: Road, window: Window) -> None:
    assert road.bars(window).equals(BarFrame.empty())
    found = road.store.reader.versions(road.series, window)
    assert (len(found), found.known.dtype) == (0, np.dtype(np.int64))
    assert isinstance(road.store.reader.newest(road.series, window), Versions)


def test_when_too_many_export_the_rows_come_the_other_way(
    road: Road, monkeypatch: pytest.MonkeyPatch
) -> None:
    road.put(walk(5_000, 1), 5)
    road.put(walk(100, 2), 6)
    usual = road.bars(WIDE)

    def refuse(_self: http.client.HTTPConnection) -> None:
        raise AssertionError("no export was expected")

    monkeypatch.setattr("store._export.Export.parquet", lambda *_: None)
    monkeypatch.setattr(http.client.HTTPConnection, "connect", refuse)
    assert road.bars(WIDE).equals(usual)
    assert len(usual) == 5_000


def test_bars_of_a_length_that_nobody_stores_have_no_table(store: Store) -> None:
    with pytest.raises(MissingTableError, match="bars_7m"):
        store.reader.bars(new_series(420), SPAN, RANKS)


def test_a_bar_between_seconds_is_told_not_rounded(road: Road) -> None:
    table = road.store.bars_table(MINUTE)
    row = f"60000001, '{road.series.node}', 1, 1, 1, 1, 1, 'roll', 5"
    run(road.store, f"INSERT INTO {table} VALUES ({row})")
    road.writer.wait_visible([table])
    with pytest.raises(StoreError, match="whole second"):
        road.bars(SPAN)
