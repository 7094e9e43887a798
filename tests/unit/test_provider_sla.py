"""Service levels: enforced while waiting, on a clock in the test's hand; nothing read is lost."""

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import pandas as pd
import pytest
from opentelemetry import trace

from bars.frame import BarFrame
from bars.series import Series
from bars.window import Window
from provider import (
    BackfillConfig,
    ConfigError,
    DataSourcePriority,
    MemoryStorage,
    NewRecord,
    ProviderMetrics,
    SeamlessSLAExceeded,
    SLAPolicy,
)
from provider.metrics import NODES_MAX
from runtime.testing import ManualClock
from tests.provider_help import (
    DAY,
    END,
    LANE,
    NODE,
    SERIES,
    START,
    Made,
    Upstream,
    clock_at,
    same,
    sessions,
)
from tests.storage_suite import days
from tests.unit.reading_help import Plain

ASK: dict[str, Any] = {"node_id": NODE, "interval": DAY}
RANKS = {LANE: 1, "roll": 0}


class Slow(Plain):
    """A source that takes its time, on the clock."""

    def __init__(self, clock: ManualClock, windows: Sequence[Window], **waits_s: float) -> None:
        super().__init__(sessions(), windows, DataSourcePriority.STORAGE)
        self.clock = clock
        self.waits_s = waits_s
        self.stubborn = False

    async def coverage(self, **about: Any) -> list[tuple[int, int]]:
        await self.clock.sleep(self.waits_s.get("look", 0))
        return await super().coverage(**about)

    async def fetch(self, start: int, end: int, **about: Any) -> pd.DataFrame:
        try:
            await self.clock.sleep(self.waits_s.get("read", 0))
        except asyncio.CancelledError:
            if self.stubborn:
                await self.clock.sleep(1_000)
            raise
        return await super().fetch(start, end, **about)


class SlowUpstream(Upstream):
    """A fetcher that takes its time, on the clock."""

    def __init__(self, truth: BarFrame, clock: ManualClock, wait_s: float) -> None:
        super().__init__(truth)
        self.clock = clock
        self.wait_s = wait_s

    async def fetch(self, start: int, end: int, **about: Any) -> pd.DataFrame:
        await self.clock.sleep(self.wait_s)
        return await super().fetch(start, end, **about)


async def storage_with(clock: ManualClock, *windows: Window) -> MemoryStorage:
    storage = MemoryStorage(RANKS, clock)
    for window in windows:
        await storage.add([NewRecord(SERIES, LANE, window, 1, sessions().inside(window))])
    return storage


async def answer_after(
    clock: ManualClock, work: asyncio.Future[pd.DataFrame], seconds: float
) -> pd.DataFrame:
    """Return the answer, which comes exactly when so much time has passed."""
    await clock.run(seconds - 0.001)
    assert not work.done(), "too early"
    await clock.run(0.001)
    assert work.done(), "too late"
    return work.result()


@pytest.mark.parametrize(("where", "stubborn"), [("look", False), ("read", False), ("read", True)])
async def test_a_source_that_sleeps_holds_nobody_beyond_the_budget(
    where: str, stubborn: bool
) -> None:
    clock = clock_at()
    slow = Slow(clock, [days(0, 60)], **{where: 0.3})
    slow.stubborn = stubborn
    sla = SLAPolicy(max_wait_storage_ms=50)
    provider = Made(slow, None, strategy="fail_fast", sla=sla, clock=clock, cache_source=None)
    asked = asyncio.ensure_future(provider.fetch(START, END, **ASK))
    with pytest.raises(SeamlessSLAExceeded) as late:
        await answer_after(clock, asked, 0.05)
    assert late.value.phase == "storage"
    assert late.value.node_id == NODE
    assert late.value.budget_ms == pytest.approx(50)
    assert late.value.elapsed_ms == pytest.approx(50)


async def test_a_budget_is_spent_over_all_waits_and_what_was_read_is_kept() -> None:
    """Two sources of 30 ms each under 50 ms: the bars of the first are in the answer."""
    clock = clock_at()
    above = Slow(clock, [days(0, 30)], read=0.03)
    above.priority = DataSourcePriority.CACHE
    below = Slow(clock, [days(30, 60)], read=0.03)
    provider = Made(
        below,
        None,
        cache_source=[above],
        strategy="seamless",
        sla=SLAPolicy(max_wait_storage_ms=50),
        clock=clock,
    )
    asked = asyncio.ensure_future(provider.fetch(START, END, **ASK))
    frame = await answer_after(clock, asked, 0.05)
    told = frame.attrs["seamless"]
    assert same(frame, sessions().inside(days(0, 30)))
    assert told["downgraded"]
    assert told["downgrade_mode"] == "partial_fill"
    assert told["sla"][0]["phase"] == "storage"
    assert told["missing_slots"]["unknown"] == len(sessions()) - len(frame)


async def test_what_takes_exactly_its_budget_is_in_time() -> None:
    clock = clock_at()
    slow = Slow(clock, [days(0, 60)], read=0.05)
    provider = Made(slow, None, sla=SLAPolicy(max_wait_storage_ms=51), clock=clock)
    asked = asyncio.ensure_future(provider.fetch(START, END, **ASK))
    await clock.run(0.05)
    assert same(await asked, sessions())


async def test_the_total_bounds_all_phases_together() -> None:
    clock = clock_at()
    upstream = SlowUpstream(sessions(), clock, 0.5)
    sla = SLAPolicy(max_wait_backfill_ms=300, total_deadline_ms=300)
    provider = Made(await storage_with(clock), upstream, sla=sla, clock=clock)
    asked = asyncio.ensure_future(provider.fetch(START, END, **ASK))
    with pytest.raises(SeamlessSLAExceeded) as late:
        await answer_after(clock, asked, 0.3)
    assert late.value.phase in {"backfill", "total"}
    assert late.value.budget_ms == pytest.approx(300)


async def test_seamless_answers_at_the_end_of_the_budget_and_the_fetch_goes_on() -> None:
    clock = clock_at()
    upstream = SlowUpstream(sessions(), clock, 0.5)
    storage = await storage_with(clock, days(13, 27))
    sla = SLAPolicy(max_wait_backfill_ms=200)
    provider = Made(storage, upstream, strategy="seamless", sla=sla, clock=clock)
    asked = asyncio.ensure_future(provider.fetch(START, END, **ASK))
    frame = await answer_after(clock, asked, 0.2)
    assert same(frame, sessions().inside(days(13, 27)))
    (job,) = provider.jobs()
    assert frame.attrs["seamless"]["backfill"]["job"] == job.job_id
    await clock.run(0.4)
    await job.wait()
    assert job.state == "done"
    assert same(await provider.fetch(START, END, **ASK), sessions())
    assert len(set(upstream.asked.tolist())) == upstream.asked.size


async def test_a_deadline_is_never_retried() -> None:
    clock = clock_at()
    upstream = SlowUpstream(sessions(), clock, 9.0)
    config = BackfillConfig(max_attempts=6, retry_backoff_ms=1)
    sla = SLAPolicy(max_wait_backfill_ms=100)
    provider = Made(
        await storage_with(clock), upstream, sla=sla, clock=clock, backfill_config=config
    )
    asked = asyncio.ensure_future(provider.fetch(START, END, **ASK))
    with pytest.raises(SeamlessSLAExceeded):
        await answer_after(clock, asked, 0.1)
    await clock.run(100)
    assert upstream.calls == [], "the fetch was ended with the call, which was the last to wait"


async def test_too_many_missing_bars_are_not_waited_for() -> None:
    clock = clock_at()
    upstream = Upstream(sessions())
    storage = await storage_with(clock, days(5, 60))
    provider = Made(storage, upstream, clock=clock)
    patient, hasty = SLAPolicy(max_sync_gap_bars=2), SLAPolicy(max_sync_gap_bars=1)
    with pytest.raises(SeamlessSLAExceeded, match="2 session bars are missing, at most 1") as late:
        await provider.fetch(START, END, **ASK, sla=hasty)
    assert late.value.phase == "sync_gap"
    (job,) = provider.jobs()
    await job.wait()
    assert same(await provider.fetch(START, END, **ASK, sla=hasty), sessions())
    other = Made(await storage_with(clock, days(5, 60)), upstream, clock=clock, sla=patient)
    assert same(await other.fetch(START, END, **ASK), sessions())
    assert other.jobs() == []


async def test_a_thin_answer_is_a_violation() -> None:
    clock = clock_at()
    storage = await storage_with(clock, days(0, 30))
    thin = SLAPolicy(min_coverage=0.9)
    provider = Made(storage, None, strategy="seamless", clock=clock)
    frame = await provider.fetch(START, END, **ASK, sla=thin)
    told = frame.attrs["seamless"]
    assert told["downgraded"]
    assert told["coverage_ratio"] == pytest.approx(len(frame) / len(sessions()))
    assert "must be 0.9" in told["downgrade_reason"]
    strict = SLAPolicy(min_coverage=0.9, on_violation="fail_fast")
    with pytest.raises(SeamlessSLAExceeded) as refused:
        await provider.fetch(START, END, **ASK, sla=strict)
    assert refused.value.phase == "coverage"
    enough = await provider.fetch(START, START + 30 * DAY, **ASK, sla=strict)
    assert not enough.attrs["seamless"]["downgraded"]


async def test_a_stale_answer_is_a_violation() -> None:
    clock = clock_at(END)
    storage = await storage_with(clock, days(0, 50))
    provider = Made(storage, None, strategy="seamless", clock=clock)
    lagging = SLAPolicy(max_lag_seconds=5 * DAY, on_violation="hold")
    frame = await provider.fetch(START, END, **ASK, sla=lagging)
    told = frame.attrs["seamless"]
    assert told["hold"] is True
    assert told["downgrade_mode"] == "hold"
    assert told["sla"][0]["phase"] == "lag"
    fine = await provider.fetch(START, START + 50 * DAY, **ASK, sla=lagging)
    assert fine.attrs["seamless"]["hold"] is False


async def test_any_strategy_answers_partly_when_the_level_says_so() -> None:
    clock = clock_at()
    storage = await storage_with(clock, days(0, 30))
    upstream = SlowUpstream(sessions(), clock, 9.0)
    sla = SLAPolicy(max_wait_backfill_ms=100, on_violation="partial_fill")
    provider = Made(storage, upstream, sla=sla, clock=clock)
    asked = asyncio.ensure_future(provider.fetch(START, END, **ASK))
    frame = await answer_after(clock, asked, 0.1)
    assert same(frame, sessions().inside(days(0, 30)))
    assert frame.attrs["seamless"]["downgraded"]
    assert provider.jobs(), "what was begun goes on"
    await provider.close()


def test_levels_that_make_no_sense_are_refused_by_name() -> None:
    with pytest.raises(ConfigError) as wrong:
        SLAPolicy(max_wait_storage_ms=0, min_coverage=1.5, on_violation="shrug")  # type: ignore[arg-type]
    assert [p.key for p in wrong.value.problems] == [
        "max_wait_storage_ms",
        "min_coverage",
        "on_violation",
    ]
    with pytest.raises(ConfigError, match="at most total_deadline_ms 100"):
        SLAPolicy(max_wait_live_ms=200, total_deadline_ms=100)


class Recorded:
    """A tracer of the OpenTelemetry API that remembers spans; there is no SDK here."""

    def __init__(self) -> None:
        self.spans: list[tuple[str, dict[str, Any], list[str]]] = []
        self._open: list[str] = []

    @contextmanager
    def start_as_current_span(self, name: str, attributes: Any = None, **_: Any) -> Iterator[Any]:
        self.spans.append((name, dict(attributes), list(self._open)))
        self._open.append(name)
        yield trace.INVALID_SPAN
        self._open.remove(name)


async def test_a_fetch_is_a_span_and_each_wait_a_stage_of_it() -> None:
    clock, tracer = clock_at(), Recorded()
    provider = Made(await storage_with(clock), Upstream(sessions()), clock=clock, tracer=tracer)
    frame = await provider.fetch(START, END, **ASK)
    (fetch, *stages) = tracer.spans
    assert fetch[0] == "seamless.fetch"
    assert fetch[1] == {
        "seamless.node_id": NODE,
        "seamless.interval": DAY,
        "seamless.strategy": "auto_backfill",
        "seamless.request_id": frame.attrs["seamless"]["request_id"],
    }
    assert {(name, tuple(parents)) for name, _, parents in stages} == {
        ("seamless.stage", ("seamless.fetch",))
    }
    assert [about["sla.phase"] for _, about, _ in stages].count("backfill") == 1
    assert {about["sla.phase"] for _, about, _ in stages} == {"storage", "backfill"}


async def test_time_is_told_by_phase_for_the_nodes_that_are_configured() -> None:
    clock = clock_at()
    metrics = ProviderMetrics([SERIES])
    slow = Slow(clock, [days(0, 60)], look=0.02, read=0.03)
    provider = Made(slow, None, clock=clock, metrics=metrics, cache_source=None)
    asked = asyncio.ensure_future(provider.fetch(START, END, **ASK))
    await clock.run(1)
    await asked

    def value(name: str, **labels: str) -> float | None:
        return metrics.registry.get_sample_value(name, labels)

    name = "seamless_sla_deadline_seconds"
    assert value(f"{name}_sum", phase="storage", node_id=NODE) == pytest.approx(0.05)
    assert value(f"{name}_count", phase="total", node_id=NODE) == 1
    assert value(f"{name}_bucket", phase="storage", node_id=NODE, le="0.001") == 0
    assert value(f"{name}_bucket", phase="storage", node_id=NODE, le="300.0") == 1
    assert value("seamless_coverage_ratio", node_id=NODE) == 1
    more = provider.fetch(0, 60, node_id="another", interval=60, strategy="seamless")
    asked = asyncio.ensure_future(more)
    await clock.run(1)
    await asked
    assert value(f"{name}_count", phase="total", node_id="other") == 1


def test_five_thousand_nodes_do_not_make_five_thousand_series() -> None:
    nodes = [Series(f"n{k:05d}", 60) for k in range(5_000)]
    metrics = ProviderMetrics(nodes)
    for series in nodes:
        for phase in ("storage", "backfill", "live", "total"):
            metrics.sla_seconds.observe(0.1, phase=phase, node_id=metrics.node(series.node))
    (family,) = [f for f in metrics.registry.collect() if f.name == "seamless_sla_deadline_seconds"]
    kinds = {(s.labels["phase"], s.labels["node_id"]) for s in family.samples}
    assert len(kinds) == 4 * (NODES_MAX + 1)


def test_the_newest_bar_brought_never_goes_back() -> None:
    metrics = ProviderMetrics([SERIES])
    for ts in (100, 300, 200):
        metrics.brought(SERIES, ts)
    labels = {"node_id": NODE, "interval": str(DAY)}
    assert metrics.registry.get_sample_value("backfill_last_timestamp", labels) == 300
