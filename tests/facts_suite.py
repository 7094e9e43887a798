"""What a provider puts into its storage as a fact, and what of that it tells."""

import pytest

from bars.frame import BarFrame
from bars.window import Window
from provider import BackfillFailedError, DataSource, DataSourcePriority, NewRecord, Storage
from tests.provider_help import (
    ASK,
    DAY,
    END,
    LANE,
    NOW,
    SERIES,
    START,
    Made,
    Upstream,
    bars_at,
    same,
    sessions,
)


class FactsSuite:
    """Subclasses give the fixture `storage`, empty and with `bf:daily` ranked above `roll`."""

    async def test_wrong_bars_are_never_stored(self, storage: Storage) -> None:
        truth = sessions()
        high = truth.high.copy()
        high[3] = truth.low[3] - 1
        wrong = BarFrame(truth.ts, truth.open, high, truth.low, truth.close, truth.volume)
        async with Made(storage, Upstream(wrong)) as provider:
            with pytest.raises(BackfillFailedError) as failed:
                await provider.fetch(START, END, **ASK)
        assert failed.value.failures[0].error_class == "blocked"
        assert not await storage.covered(SERIES)
        assert not len(await storage.winners(SERIES, Window(START, END)))

    async def test_no_bars_prove_nothing_unless_the_source_says_so(self, storage: Storage) -> None:
        async with Made(storage, Upstream(BarFrame.empty())) as provider:
            with pytest.raises(BackfillFailedError, match="empty_confirmed") as failed:
                await provider.fetch(START, END, **ASK)
        assert failed.value.failures[0].error_class == "empty"
        assert not await storage.covered(SERIES)

    async def test_a_source_that_can_prove_emptiness_covers_it(self, storage: Storage) -> None:
        upstream = Upstream(BarFrame.empty())
        async with Made(storage, upstream, empty_confirmed=True) as provider:
            frame = await provider.fetch(START, END, **ASK)
            await provider.fetch(START, END, **ASK)
        assert not len(frame)
        assert frame.attrs["seamless"]["missing_slots"]["no_trades"] == len(sessions())
        assert len(upstream.calls) == 1

    async def test_a_bar_that_is_stored_without_a_ledger_row_is_not_told(
        self, storage: Storage
    ) -> None:
        """A writer that died between bars and ledger: the window is fetched again, and newer."""
        old = bars_at(sessions().ts[:3], seed=1)
        hidden = NewRecord(SERIES, LANE, Window(START + DAY, START + 2 * DAY), 1, old)
        await storage.prepare(SERIES)
        await storage.add([hidden])  # covers one day, holds three
        async with Made(storage, None, strategy="fail_fast") as fast:
            frame = await fast.fetch(START, START + 2 * DAY, **ASK)
            assert frame["ts"].tolist() == [START + DAY]
        async with Made(storage, Upstream(sessions())) as provider:
            frame = await provider.fetch(START + 2 * DAY, END, **ASK)
        assert same(frame, sessions().take(sessions().ts >= START + 2 * DAY))

    async def test_a_bar_that_the_source_no_longer_has_is_withdrawn(self, storage: Storage) -> None:
        """Same half-written start; the source has withdrawn one of those bars meanwhile."""
        truth = sessions()
        left = NewRecord(SERIES, LANE, Window(START + DAY, START + 2 * DAY), 1, truth.take([0, 1]))
        await storage.prepare(SERIES)
        await storage.add([left])
        without = truth.take(truth.ts != truth.ts[1])
        async with Made(storage, Upstream(without)) as provider:
            frame = await provider.fetch(START, END, **ASK)
        assert same(frame, without)

    async def test_versions_are_newer_even_when_the_clock_steps_back(
        self, storage: Storage
    ) -> None:
        ahead = (NOW + 1_000 * DAY) * 1_000_000
        first = sessions().take(slice(0, 3))
        window = Window(START + DAY, START + 2 * DAY)
        await storage.prepare(SERIES)
        await storage.add([NewRecord(SERIES, LANE, window, ahead, bars_at(first.ts, seed=1))])
        async with Made(storage, Upstream(sessions())) as provider:
            frame = await provider.fetch(START + 2 * DAY, END, **ASK)
        assert same(frame, sessions().take(sessions().ts >= START + 2 * DAY))
        assert await storage.highest_known(SERIES) > ahead

    async def test_what_another_lane_covers_is_not_fetched_and_each_range_names_its_lane(
        self, storage: Storage
    ) -> None:
        window = Window(START + DAY, START + 4 * DAY)
        await storage.prepare(SERIES)
        live = bars_at(sessions().inside(window).ts, seed=2)
        await storage.add([NewRecord(SERIES, "roll", window, 1, live)])
        async with Made(storage, Upstream(sessions())) as provider:
            frame = await provider.fetch(START, END, **ASK)
        assert frame["ts"].tolist() == sessions().ts.tolist()
        assert same(frame.head(len(live)), live)
        lanes = [s["lane"] for s in frame.attrs["seamless"]["sources"]]
        assert lanes == ["roll", LANE]

    async def test_a_storage_is_a_data_source(self, storage: Storage) -> None:
        window = Window(START, START + 10 * DAY)
        record = NewRecord(SERIES, LANE, window, 1, sessions().inside(window))
        await storage.prepare(SERIES)
        await storage.add([record])
        await storage.add([record])  # again changes nothing
        assert isinstance(storage, DataSource)
        assert storage.priority is DataSourcePriority.STORAGE
        assert await storage.coverage(**ASK) == [(START, START + 9 * DAY)]
        assert await storage.is_available(START, START + 10 * DAY, **ASK)
        assert not await storage.is_available(START, START + 11 * DAY, **ASK)
        assert same(await storage.fetch(START, END, **ASK), sessions().inside(window))
        assert await storage.coverage(node_id="nobody", interval=DAY) == []
