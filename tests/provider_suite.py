"""What a provider without Kafka does, whatever it stores in. Run on memory and on QuestDB."""

import asyncio
import json
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from bars.window import Window
from provider import (
    BackfillFailedError,
    ConformancePipelineError,
    DataAvailabilityStrategy,
    DataUnavailableError,
    InvalidValueError,
    Storage,
)
from sources import SourceError
from tests.facts_suite import FactsSuite
from tests.provider_help import (
    ASK,
    DAY,
    END,
    LANE,
    NODE,
    QUICK,
    SERIES,
    START,
    Made,
    Upstream,
    bars_at,
    clock_at,
    pass_time,
    same,
    sessions,
)


class ProviderSuite(FactsSuite):
    """Subclasses give the fixture `storage`, empty and with `bf:daily` ranked above `roll`."""

    async def test_what_is_missing_is_fetched_stored_and_read(self, storage: Storage) -> None:
        upstream = Upstream(sessions())
        async with Made(storage, upstream) as provider:
            frame = await provider.fetch(START, END, **ASK)
            assert same(frame, sessions())
            assert await provider.coverage(**ASK) == [(START + DAY, END - 2 * DAY)]

    async def test_asking_again_fetches_nothing(self, storage: Storage) -> None:
        upstream = Upstream(sessions())
        async with Made(storage, upstream) as provider:
            first = await provider.fetch(START, END, **ASK)
            calls = list(upstream.calls)
            again = await provider.fetch(START, END, **ASK)
        assert upstream.calls == calls
        pd.testing.assert_frame_equal(first, again)

    async def test_only_the_gap_is_asked_for(self, storage: Storage) -> None:
        upstream = Upstream(sessions())
        async with Made(storage, upstream) as provider:
            await provider.fetch(START, START + 20 * DAY, **ASK)
            await provider.fetch(START + 30 * DAY, START + 40 * DAY, **ASK)
            frame = await provider.fetch(START, END, **ASK)
        assert same(frame, sessions())
        assert upstream.asked.tolist() == sessions().ts.tolist(), "each bar asked for once"

    async def test_windows_are_no_larger_than_configured(self, storage: Storage) -> None:
        upstream = Upstream(sessions())
        small = replace(QUICK, window_bars=7)
        async with Made(storage, upstream, backfill_config=small) as provider:
            frame = await provider.fetch(START, END, **ASK)
        assert same(frame, sessions())
        assert max(end - start for start, end in upstream.calls) <= 7 * DAY

    async def test_calls_at_the_same_time_ask_for_each_bar_once(self, storage: Storage) -> None:
        upstream = Upstream(sessions())
        async with Made(storage, upstream) as provider:
            frames = await asyncio.gather(
                *(provider.fetch(START + k * DAY, END, **ASK) for k in range(8))
            )
        assert upstream.asked.tolist() == sessions().ts.tolist()
        for k, frame in enumerate(frames):
            assert same(frame, sessions().inside(Window(START + k * DAY, END)))

    async def test_an_empty_answer_has_the_same_columns_and_types(self, storage: Storage) -> None:
        async with Made(storage, Upstream(sessions())) as provider:
            weekend = await provider.fetch(START + 3 * DAY, START + 5 * DAY, **ASK)
            full = await provider.fetch(START, START + 5 * DAY, **ASK)
        assert not len(weekend)
        assert weekend.dtypes.to_dict() == full.dtypes.to_dict()
        assert weekend.attrs["seamless"]["missing"] == [
            {"start": START + 3 * DAY, "end": START + 4 * DAY, "slots": 2, "reason": "closed"}
        ]

    async def test_fail_fast_never_asks_the_fetcher(self, storage: Storage) -> None:
        upstream = Upstream(sessions())
        fast = DataAvailabilityStrategy.FAIL_FAST
        async with Made(storage, upstream, strategy=fast) as provider:
            with pytest.raises(DataUnavailableError, match="FAIL_FAST") as missing:
                await provider.fetch(START, START + 10 * DAY, **ASK)
        assert upstream.calls == []
        assert missing.value.missing == ((START + DAY, START + 9 * DAY),)
        assert missing.value.missing_bars == 7
        assert missing.value.retriable

    async def test_fail_fast_answers_what_is_stored(self, storage: Storage) -> None:
        provider = Made(storage, Upstream(sessions()))
        await provider.fetch(START, END, **ASK)
        async with Made(storage, None, strategy="fail_fast") as fast:
            assert same(await fast.fetch(START, END, **ASK), sessions())

    async def test_without_a_fetcher_missing_bars_are_an_error(self, storage: Storage) -> None:
        async with Made(storage, None) as provider:
            with pytest.raises(DataUnavailableError, match="no fetcher"):
                await provider.fetch(START, END, **ASK)

    async def test_what_is_not_over_is_said_and_not_asked_for(self, storage: Storage) -> None:
        upstream = Upstream(sessions())
        now = START + 9 * DAY + DAY // 2
        async with Made(storage, upstream, clock=clock_at(now)) as provider:
            frame = await provider.fetch(START, START + 12 * DAY, **ASK)
        assert frame["ts"].max() == START + 8 * DAY
        assert max(end for _, end in upstream.calls) <= START + 9 * DAY
        assert frame.attrs["seamless"]["missing"][-1] == {
            "start": START + 9 * DAY,
            "end": START + 11 * DAY,
            "slots": 3,
            "reason": "not_closed",
        }

    async def test_slots_without_trades_are_said_and_do_not_raise(self, storage: Storage) -> None:
        truth = sessions()
        truth = truth.take(truth.ts != START + 6 * DAY)
        async with Made(storage, Upstream(truth)) as provider:
            frame = await provider.fetch(START, END, **ASK)
        assert same(frame, truth)
        told = frame.attrs["seamless"]
        assert {
            "start": START + 6 * DAY,
            "end": START + 6 * DAY,
            "slots": 1,
            "reason": "no_trades",
        } in told["missing"]
        assert told["missing_slots"]["no_trades"] == 1
        assert [f["severity"] for f in told["report"]["flags"]] == ["INFO"]

    async def test_the_metadata_is_plain_and_complete(self, storage: Storage) -> None:
        async with Made(storage, Upstream(sessions())) as provider:
            frame = await provider.fetch(START, END, **ASK)
        told = frame.attrs["seamless"]
        assert json.loads(json.dumps(told)) == told
        assert told["node_id"] == NODE
        assert told["interval"] == DAY
        assert told["window"] == [START, END]
        assert told["coverage"] == [[START + DAY, END - 2 * DAY]]
        assert told["sources"] == [{"lane": LANE, "start": START + DAY, "end": END - 2 * DAY}]
        assert told["session_bars"] == len(sessions())
        assert told["cut"] == []
        assert told["report"]["uri"] == f"qmtl://observability/seamless/{NODE}"
        assert told["report"]["passed"]
        assert told["request_id"]
        pd.concat([frame, frame])  # pandas compares attrs: arrays in them would raise

    async def test_a_retriable_error_is_tried_again(self, storage: Storage) -> None:
        clock = clock_at()
        upstream = Upstream(sessions(), failing=[ConnectionError("gone"), OSError("still gone")])
        async with Made(storage, upstream, clock=clock) as provider:
            asked = asyncio.ensure_future(provider.fetch(START, END, **ASK))
            # The deadline sleeps too. Thread by thread the real store needs its own time.
            await pass_time(clock, asked)
            assert same(await asked, sessions())
        assert len(upstream.calls) == 3

    async def test_a_final_error_fails_with_its_window(self, storage: Storage) -> None:
        upstream = Upstream(sessions(), failing=[SourceError("daily", "no such symbol")])
        async with Made(storage, upstream) as provider:
            with pytest.raises(BackfillFailedError, match="no such symbol") as failed:
                await provider.fetch(START, END, **ASK)
        assert len(upstream.calls) == 1
        assert failed.value.windows == (Window(START + DAY, END - DAY),)
        assert failed.value.failures[0].error_class == "source"
        assert failed.value.request_id
        assert not await storage.covered(SERIES)

    async def test_a_mistake_in_the_fetcher_is_not_repeated(self, storage: Storage) -> None:
        upstream = Upstream(sessions(), failing=[TypeError("unexpected argument")])
        async with Made(storage, upstream) as provider:
            with pytest.raises(BackfillFailedError, match="TypeError: unexpected argument"):
                await provider.fetch(START, END, **ASK)
        assert len(upstream.calls) == 1

    async def test_whole_numbers_are_taken_exactly_and_words_are_refused(
        self, storage: Storage
    ) -> None:
        class Whole(Upstream):
            async def fetch(self, *args: int, **more: Any) -> pd.DataFrame:
                frame = await super().fetch(*args, **more)
                return frame.astype({"volume": self.kind})[["volume", *frame.columns[:-1]]]

            kind = "int64"

        class Words(Whole):
            kind = "str"

        async with Made(storage, Words(sessions())) as provider:
            with pytest.raises(BackfillFailedError, match="volume must be numbers"):
                await provider.fetch(START, END, **ASK)
        async with Made(storage, Whole(sessions())) as provider:
            assert same(await provider.fetch(START, END, **ASK), sessions())

    async def test_a_warning_raises_unless_it_is_accepted(self, storage: Storage) -> None:
        saturday = START + 3 * DAY
        truth = bars_at(np.sort(np.append(sessions().ts, saturday)))
        provider = Made(storage, Upstream(truth))
        with pytest.raises(ConformancePipelineError, match=r"time\.session") as refused:
            await provider.fetch(START, END, **ASK)
        assert refused.value.report.objections
        accepting = Made(storage, None, accept_warnings=("time.session",))
        assert same(await accepting.fetch(START, END, **ASK), truth)
        async with Made(storage, None, partial_ok=True) as partial:
            frame = await partial.fetch(START, END, **ASK)
        flags = frame.attrs["seamless"]["report"]["flags"]
        assert [(f["check"], f["severity"]) for f in flags] == [("time.session", "WARN")]

    @pytest.mark.parametrize(
        "wrong",
        [
            {"start": 5, "end": 5},
            {"start": 6, "end": 5},
            {"start": 1.5},
            {"end": "2020-01-01"},
            {"node_id": ""},
            {"interval": 0},
            {"interval": 0.5},
        ],
    )
    async def test_a_wrong_argument_is_refused_before_anything_is_read(
        self, storage: Storage, wrong: dict[str, Any]
    ) -> None:
        upstream = Upstream(sessions())
        given = {"start": START, "end": END, **ASK} | wrong
        provider = Made(storage, upstream)
        with pytest.raises(InvalidValueError):
            await provider.fetch(given.pop("start"), given.pop("end"), **given)
        assert upstream.calls == []

    def test_the_sync_twin_answers_the_same(self, storage: Storage) -> None:
        with Made(storage, Upstream(sessions())) as provider:
            assert same(provider.fetch_sync(START, END, **ASK), sessions())
            assert provider.coverage_sync(**ASK) == [(START + DAY, END - 2 * DAY)]

    async def test_the_sync_twin_works_where_a_loop_runs(self, storage: Storage) -> None:
        """As in a notebook: no `RuntimeError: This event loop is already running`."""
        async with Made(storage, Upstream(sessions())) as provider:
            both = provider.fetch_sync(START, END, **ASK), await provider.fetch(START, END, **ASK)
        assert same(both[0], sessions())
        assert same(both[1], sessions())
