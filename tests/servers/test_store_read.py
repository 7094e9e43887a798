"""Reading winners and versions, on the real server."""

import http.client
from collections.abc import Iterator

import numpy as np
import pytest

from bars.frame import BarFrame
from bars.series import Series
from bars.versions import Versions, winners
from bars.window import Window
from runtime.settings import Settings
from store import BarWriter, MissingTableError, RecordRows, Store, StoreError
from tests.servers.store_help import MINUTE, NODE, RANKS, SPAN, A, prices, put, record, run, walk

pytestmark = pytest.mark.servers

WIDE = Window(0, 100_000 * MINUTE)
"""Wide enough to be read as Parquet."""


@pytest.fixture
def store(settings: Settings) -> Iterator[Store]:
    with Store.connect(settings.store) as made:
        made.ensure_tables([MINUTE])
        yield made


@pytest.fixture
def writer(store: Store) -> BarWriter:
    return store.writer()


def opens(store: Store, window: Window = SPAN, as_of: int | None = None) -> dict[int, float]:
    found = store.reader.bars(A, window, RANKS, as_of)
    assert (np.diff(found.ts) > 0).all()
    return dict(zip(found.ts.tolist(), found.open.tolist(), strict=True))


@pytest.mark.parametrize("window", [SPAN, WIDE], ids=["pgwire", "parquet"])
class TestWinners:
    """The same by both ways of reading."""

    def test_v1_v2_and_v1_again(self, store: Store, writer: BarWriter, window: Window) -> None:
        """Values that return are a newer version, not the old one found again."""
        for known, price in ((5, 1.0), (6, 2.0), (7, 1.0)):
            put(writer, record(prices([60, 120], price), known))
        assert opens(store, window) == {60: 1.0, 120: 1.0}
        assert opens(store, window, as_of=6) == {60: 2.0, 120: 2.0}
        assert opens(store, window, as_of=5) == {60: 1.0, 120: 1.0}
        assert opens(store, window, as_of=4) == {}

    def test_versions_that_arrive_backwards(
        self, store: Store, writer: BarWriter, window: Window
    ) -> None:
        for known in (7, 6, 5):
            put(writer, record(prices([60], float(known)), known))
        assert opens(store, window) == {60: 7.0}

    def test_a_withdrawn_bar_is_gone(self, store: Store, writer: BarWriter, window: Window) -> None:
        put(writer, record(prices([60, 120, 180], 1.0), 5))
        put(writer, record(prices([120], np.nan), 6))
        assert opens(store, window) == {60: 1.0, 180: 1.0}
        assert opens(store, window, as_of=5) == {60: 1.0, 120: 1.0, 180: 1.0}

    def test_a_bar_that_was_only_ever_withdrawn(
        self, store: Store, writer: BarWriter, window: Window
    ) -> None:
        put(writer, record(prices([60, 120], [np.nan, 1.0]), 5))
        assert opens(store, window) == {120: 1.0}

    def test_a_withdrawal_shows_the_lane_below(
        self, store: Store, writer: BarWriter, window: Window
    ) -> None:
        put(writer, record(prices([60], 1.0), 5, "roll"), record(prices([60], 2.0), 6))
        assert opens(store, window) == {60: 2.0}
        put(writer, record(prices([60], np.nan), 7))
        assert opens(store, window) == {60: 1.0}

    def test_a_newer_version_of_a_lower_lane_loses(
        self, store: Store, writer: BarWriter, window: Window
    ) -> None:
        put(writer, record(prices([60, 120], 2.0), 5, "bf:second"))
        put(writer, record(prices([60], 1.0), 6))
        put(writer, record(prices([60, 120], 3.0), 7, "bf:second"))
        put(writer, record(prices([60, 120, 180], 4.0), 8, "bf:unlisted"))
        assert opens(store, window) == {60: 1.0, 120: 3.0, 180: 4.0}

    def test_only_the_window_and_the_node_are_read(
        self, store: Store, writer: BarWriter, window: Window
    ) -> None:
        edges = [window.start, window.end - MINUTE, window.end]
        put(writer, record(prices(edges, 1.0), 5))
        put(writer, record(prices([60], 9.0), 5, series=Series(NODE + "x", MINUTE)))
        assert sorted(opens(store, window)) == edges[:2]


def test_random_versions_have_the_winners_of_all_versions(store: Store, writer: BarWriter) -> None:
    """Rewritten stretches, withdrawals and lanes all over 20,000 bars."""
    random = np.random.default_rng(11)
    records = [record(walk(20_000, 0), 1, "bf:second")]
    for known in range(2, 40):
        size = int(random.integers(1, 1_500))
        first = int(random.integers(0, 20_000 - size))
        bars = walk(size, known, start=first * MINUTE)
        gone = random.random(size) < 0.1
        bars = BarFrame(bars.ts, *(np.where(gone, np.nan, c) for c in bars.prices))
        lane = str(random.choice(["bf:first", "bf:second", "roll"]))
        records.append(RecordRows(A, lane, known, bars))
    put(writer, *records)
    every = store.reader.versions(A, WIDE)
    assert len(every) == sum(len(r.bars) for r in records)
    assert store.reader.bars(A, WIDE, RANKS).equals(winners(every, RANKS).bars)
    learnt = every.take(every.known <= 20)
    assert store.reader.bars(A, WIDE, RANKS, as_of=20).equals(winners(learnt, RANKS).bars)


def test_newest_has_one_version_a_lane_withdrawn_ones_too(store: Store, writer: BarWriter) -> None:
    put(writer, record(prices([60, 120], 1.0), 5), record(prices([60], 2.0), 6, "roll"))
    put(writer, record(prices([120], np.nan), 7))
    found = store.reader.newest(A, SPAN)
    assert list(zip(found.bars.ts.tolist(), found.lane, found.known.tolist(), strict=True)) == [
        (60, "bf:first", 5),
        (60, "roll", 6),
        (120, "bf:first", 7),
    ]
    assert np.isnan(found.bars.close[2])


def test_an_empty_answer_has_the_same_types(store: Store) -> None:
    for window in (SPAN, WIDE):
        assert store.reader.bars(A, window, RANKS).equals(BarFrame.empty())
        found = store.reader.versions(A, window)
        assert (len(found), found.known.dtype) == (0, np.dtype(np.int64))
        assert isinstance(store.reader.newest(A, window), Versions)


def test_when_too_many_export_the_rows_come_the_other_way(
    store: Store, writer: BarWriter, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(writer, record(walk(5_000, 1), 5), record(walk(100, 2), 6))
    usual = store.reader.bars(A, WIDE, RANKS)

    def full(_self: http.client.HTTPConnection) -> None:
        raise AssertionError("no export was expected")

    monkeypatch.setattr("store._export.Export.parquet", lambda *_: None)
    monkeypatch.setattr(http.client.HTTPConnection, "connect", full)
    assert store.reader.bars(A, WIDE, RANKS).equals(usual)
    assert len(usual) == 5_000


def test_bars_of_a_length_that_nobody_stores_have_no_table(store: Store) -> None:
    with pytest.raises(MissingTableError, match="bars_7m"):
        store.reader.bars(Series(NODE, 420), SPAN, RANKS)


def test_a_bar_between_seconds_is_told_not_rounded(store: Store) -> None:
    table = store.bars_table(MINUTE)
    run(store, f"INSERT INTO {table} VALUES (60000001, '{NODE}', 1, 1, 1, 1, 1, 'roll', 5)")
    store.writer().wait_visible([table])
    with pytest.raises(StoreError, match="whole second"):
        store.reader.bars(A, SPAN, RANKS)
