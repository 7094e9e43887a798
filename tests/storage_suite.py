"""What any `Storage` does, whatever it keeps facts in."""

import asyncio

import numpy as np
import pytest

from bars.frame import BarFrame
from bars.window import Window
from provider import NewRecord, Storage
from store import LedgerState
from tests.provider_help import DAY, LANE, NODE, SERIES, START

ALL = Window(START, START + 100 * DAY)


def days(first: int, end: int) -> Window:
    """Return a window of days."""
    return Window(START + first * DAY, START + end * DAY)


def flat(first: int, end: int, price: float) -> BarFrame:
    """Return one flat bar for each day."""
    ts = START + DAY * np.arange(first, end, dtype=np.int64)
    return BarFrame(ts, *(np.full(ts.size, price) for _ in range(5)))


def record(
    first: int, end: int, price: float, lane: str = LANE, known: int = 1_000_000
) -> NewRecord:
    """Return a record of flat bars that covers its days."""
    return NewRecord(SERIES, lane, days(first, end), known, flat(first, end, price))


class StorageSuite:
    """Subclasses give the fixture `storage`, empty, with `bf:daily` ranked above `roll`."""

    async def test_an_empty_storage_has_nothing_and_says_so(self, storage: Storage) -> None:
        assert not len(await storage.ledger(SERIES))
        assert await storage.covered(SERIES) == {}
        assert await storage.highest_known(SERIES) == 0
        assert not len(await storage.winners(SERIES, ALL))
        assert not len(await storage.newest(SERIES, ALL))
        await storage.close()
        await storage.close()

    async def test_the_highest_lane_wins_and_then_the_newest(self, storage: Storage) -> None:
        await storage.prepare(SERIES)
        await storage.add([record(0, 3, 1.0), record(0, 3, 9.0, "roll", 5_000_000)])
        await storage.add([record(1, 2, 2.0, known=2_000_000)])
        bars = await storage.winners(SERIES, ALL)
        assert bars.close.tolist() == [1.0, 2.0, 1.0]
        assert len(await storage.newest(SERIES, ALL)) == 6
        assert await storage.highest_known(SERIES) == 5_000_000

    async def test_a_withdrawn_bar_leaves_the_next_lane_below(self, storage: Storage) -> None:
        await storage.prepare(SERIES)
        await storage.add([record(0, 2, 1.0), record(0, 1, 9.0, "roll")])
        gone = NewRecord(SERIES, LANE, days(0, 2), 2_000_000, flat(0, 2, np.nan))
        await storage.add([gone])
        bars = await storage.winners(SERIES, ALL)
        assert (bars.ts.tolist(), bars.close.tolist()) == ([START], [9.0])

    async def test_the_same_record_again_changes_nothing(self, storage: Storage) -> None:
        await storage.prepare(SERIES)
        for _ in range(3):
            await storage.add([record(0, 3, 1.0)])
        assert (await storage.ledger(SERIES)).state(ALL) == LedgerState(1, 1_000_000)
        assert len(await storage.winners(SERIES, ALL)) == 3

    async def test_bits_come_back_as_they_went_in(self, storage: Storage) -> None:
        """A column of numbers in SQLite makes 0.0 of -0.0."""
        ts = np.array([START], np.int64)
        odd = BarFrame(ts, *(np.array([v]) for v in (0.1, 1e308, -0.0, 5e-324, 0.0)))
        await storage.prepare(SERIES)
        await storage.add([NewRecord(SERIES, LANE, days(0, 1), 1, odd)])
        assert (await storage.winners(SERIES, ALL)).equals(odd)

    async def test_only_what_overlaps_a_window_is_told(self, storage: Storage) -> None:
        await storage.prepare(SERIES)
        await storage.add([record(k, k + 1, float(k)) for k in range(10)])
        view = await storage.ledger(SERIES, days(3, 5))
        assert view.covered() == (days(3, 5),)
        assert (await storage.winners(SERIES, days(3, 5))).close.tolist() == [3.0, 4.0]
        assert await storage.covered(SERIES, Window(START + 1, START + 2)) == {
            LANE: (Window(START + 1, START + 2),)
        }

    async def test_a_window_without_bars_is_covered(self, storage: Storage) -> None:
        await storage.prepare(SERIES)
        await storage.add([NewRecord(SERIES, LANE, days(0, 2), 1, BarFrame.empty())])
        assert await storage.coverage(node_id=NODE, interval=DAY) == [(START, START + DAY)]

    async def test_bars_may_be_put_in_as_a_frame(self, storage: Storage) -> None:
        write = storage.write  # type: ignore[attr-defined]  # every storage of ours has it
        frame = flat(0, 2, 3.0).to_pandas()
        await write(START, START + 5 * DAY, frame, node_id=NODE, interval=DAY)
        await write(START, START + DAY, frame.head(1), node_id=NODE, interval=DAY)
        assert await storage.coverage(node_id=NODE, interval=DAY) == [(START, START + 4 * DAY)]
        assert len(await storage.ledger(SERIES)) == 2
        assert len(await storage.winners(SERIES, ALL)) == 2

    async def test_many_read_and_write_at_a_time(self, storage: Storage) -> None:
        await storage.prepare(SERIES)

        async def one(k: int) -> None:
            await storage.add([record(k, k + 1, float(k), known=1_000 + k)])
            assert (await storage.winners(SERIES, days(k, k + 1))).close.tolist() == [float(k)]

        await asyncio.gather(*(one(k) for k in range(12)))
        assert len(await storage.winners(SERIES, ALL)) == 12

    @pytest.mark.parametrize("seed", range(4))
    async def test_any_facts_in_any_order_give_the_winners_of_the_rule(
        self, storage: Storage, seed: int
    ) -> None:
        """Against the pure rule on all versions; the seed in the name replays it."""
        random = np.random.default_rng(seed)
        records = []
        for known in range(1, 25):
            first = int(random.integers(0, 20))
            end = first + int(random.integers(1, 8))
            price = np.nan if random.random() < 0.2 else float(random.integers(1, 9))
            lane = str(random.choice([LANE, "roll", "bf:unlisted"]))
            records.append(record(first, end, price, lane, known))
        await storage.prepare(SERIES)
        for k in random.permutation(len(records)):
            await storage.add([records[int(k)]])
        for day in range(28):
            own = [r for r in records if START + day * DAY in r.window]
            standing = [
                max((r for r in own if r.lane == lane), key=lambda r: r.known)
                for lane in {r.lane for r in own}
            ]
            priced = [r for r in standing if r.bars.has_prices.all()]
            best = max(priced, key=lambda r: (storage.ranks.get(r.lane, -9), r.known), default=None)
            found = await storage.winners(SERIES, days(day, day + 1))
            wanted = [] if best is None else [float(best.bars.close[0])]
            assert found.close.tolist() == wanted, (seed, day)
