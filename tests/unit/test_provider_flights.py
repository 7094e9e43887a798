"""Single flight: over ranges, loops, calls and processes; who leaves last ends it."""

import asyncio
import threading
from pathlib import Path
from random import Random
from typing import Any

import pytest

from bars.series import Series
from bars.window import Window, subtract
from coordinator.client import (
    Budget,
    CoordinatorUnavailableError,
    LeaseClient,
    LocalCoordinator,
    MachineConfig,
)
from provider import ConfigError, MemoryStorage, SQLiteStorage
from provider._filled import Filled, Progress
from provider._flight import Boarding, Flights
from runtime import BackfillConfig, SystemClock
from runtime.testing import ManualClock
from sources import SourceError
from tests.provider_behaviour import boarded
from tests.provider_help import (
    DAY,
    END,
    LANE,
    NODE,
    START,
    Made,
    Upstream,
    clock_at,
    same,
    sessions,
)
from tests.unit.api_help import serving
from tests.unit.reading_help import Plain
from tests.unit.test_distributed_coordinator import client_of

ASK: dict[str, Any] = {"node_id": NODE, "interval": DAY}
ONE = Series("one", 1)


class Counted:
    """Brings anything when it is let to, and remembers what it was asked for."""

    def __init__(self) -> None:
        self.asked: list[tuple[Window, ...]] = []
        self.cancelled = 0
        self.gate = asyncio.Event()
        self.error: Exception | None = None

    async def __call__(self, windows: tuple[Window, ...], progress: Progress) -> Filled:
        self.asked.append(windows)
        try:
            progress(0.25)
            await self.gate.wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        if self.error is not None:
            raise self.error
        return Filled(reason="fine")


async def settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_overlapping_wants_share_flights_and_only_the_rest_is_begun() -> None:
    flights, bring = Flights(ManualClock(), 60), Counted()
    boardings = [
        Boarding(flights, ONE, (Window(a, b),), bring)
        for a, b in [(0, 10), (5, 20), (2, 8), (0, 30)]
    ]
    tasks = [asyncio.ensure_future(b.result()) for b in boardings]
    await settle()
    assert bring.asked == [(Window(0, 10),), (Window(10, 20),), (Window(20, 30),)]
    assert boardings[0].progress == 0.25
    bring.gate.set()
    assert [filled.reason for filled in await asyncio.gather(*tasks)] == ["fine"] * 4
    assert boardings[3].progress == 1.0
    for boarding in boardings:
        boarding.leave()
    bring.gate.clear()
    Boarding(flights, ONE, (Window(0, 5),), bring).leave()
    await settle()
    assert bring.cancelled == 1, "nobody waits for a fourth"


async def test_the_last_who_leaves_ends_the_flight() -> None:
    flights, bring = Flights(ManualClock(), 60), Counted()
    one, other = (Boarding(flights, ONE, (Window(0, 9),), bring) for _ in range(2))
    waiting = asyncio.ensure_future(other.result())
    await settle()
    one.leave()
    await settle()
    assert bring.cancelled == 0
    waiting.cancel()
    other.leave()
    await settle()
    assert bring.cancelled == 1
    third = Boarding(flights, ONE, (Window(0, 9),), bring)
    bring.gate.set()
    assert (await third.result()).reason == "fine"
    third.leave()
    assert len(bring.asked) == 2


async def test_an_error_is_everybodys() -> None:
    flights, bring = Flights(ManualClock(), 60), Counted()
    bring.error = SourceError("x", "broken")
    tasks = [
        asyncio.ensure_future(Boarding(flights, ONE, (Window(0, 9),), bring).result())
        for _ in range(3)
    ]
    bring.gate.set()
    found = await asyncio.gather(*tasks, return_exceptions=True)
    assert [str(e) for e in found] == ["source x: broken"] * 3


async def test_a_flight_that_takes_too_long_is_not_boarded_any_more() -> None:
    clock = ManualClock()
    flights, bring = Flights(clock, 60), Counted()
    old = Boarding(flights, ONE, (Window(0, 9),), bring)
    await settle()
    clock.advance(61)
    young = Boarding(flights, ONE, (Window(0, 9),), bring)
    await settle()
    assert len(bring.asked) == 2
    bring.gate.set()
    await asyncio.gather(old.result(), young.result())
    old.leave()
    young.leave()


async def test_loops_share_flights() -> None:
    """The owner's loop and that of the sync twin: the same bars are fetched once."""
    upstream = Upstream(sessions())
    upstream.gate.clear()
    clock = SystemClock()
    provider = Made(MemoryStorage({LANE: 1}), upstream, clock=clock)
    first = asyncio.ensure_future(provider.fetch(START, END, **ASK))
    await upstream.until_asked()
    frames: list[Any] = []
    thread = threading.Thread(target=lambda: frames.append(provider.fetch_sync(START, END, **ASK)))
    thread.start()
    await boarded(provider, 2)
    upstream.gate.set()
    assert same(await first, sessions())
    await asyncio.to_thread(thread.join)
    assert same(frames[0], sessions())
    assert len(upstream.calls) == 1
    await provider.close()


async def test_a_flight_that_ends_with_its_loop_is_begun_anew_by_who_waits() -> None:
    flights, bring = Flights(ManualClock(), 60), Counted()
    boarding = Boarding(flights, ONE, (Window(0, 9),), bring)
    waiting = asyncio.ensure_future(boarding.result())
    await settle()
    (flight,) = flights._by_series[ONE]
    flight.stop()  # as the end of its loop does
    bring.gate.set()
    assert (await waiting).reason == "fine"
    assert len(bring.asked) == 2
    boarding.leave()


def leased(path: Path, upstream: Upstream, leases: LeaseClient, **options: Any) -> Made:
    clock = SystemClock()
    storage = SQLiteStorage(path, {LANE: 1, "roll": 0}, clock)
    config = BackfillConfig(window_bars=7, max_attempts=1, retry_backoff_ms=0)
    made = {"coordinator": leases, "clock": clock, "backfill_config": config} | options
    return Made(storage, upstream, **made)


@pytest.fixture
def leases() -> LocalCoordinator:
    return LocalCoordinator(SystemClock(), 1, Random(1), MachineConfig())


async def test_processes_that_share_a_coordinator_fetch_each_bar_once(
    tmp_path: Path, leases: LocalCoordinator
) -> None:
    """Four providers stand for four processes: they share the file and the lease service."""
    upstream = Upstream(sessions())
    providers = [leased(tmp_path / "bars.db", upstream, leases) for _ in range(4)]
    frames = await asyncio.gather(
        *(p.fetch(START + k * DAY, END, **ASK) for k in range(6) for p in providers)
    )
    for k in range(6):
        for frame in frames[4 * k : 4 * k + 4]:
            assert same(frame, sessions().inside(Window(START + k * DAY, END)))
    assert upstream.asked.tolist() == sessions().ts.tolist()
    for provider in providers:
        await provider.close()
    assert not leases.state.jobs, "who submits a job takes it back"


class Slow(Upstream):
    """Takes its time, so that whoever may ask for the same bars meanwhile does."""

    async def fetch(self, start: int, end: int, **about: Any) -> Any:
        await SystemClock().sleep(0.3)
        return await super().fetch(start, end, **about)


async def test_fifty_fetches_in_two_processes_ask_for_each_bar_once_over_http(
    tmp_path: Path,
) -> None:
    """Two providers with clients of their own, one service, windows that overlap by chance."""
    seed = Random().getrandbits(32)
    print(f"seed {seed}")
    rng, upstream = Random(seed), Slow(sessions())
    spans = [sorted(rng.sample(range(61), 2)) for _ in range(48)]
    wanted = [Window(START, END)] * 2 + [Window(START + a * DAY, START + b * DAY) for a, b in spans]
    async with (
        serving() as service,
        service.on_real_time(),
        client_of(service, patience=Budget()) as mine,
        client_of(service, patience=Budget(), seed=3) as yours,
    ):
        path = tmp_path / "bars.db"
        providers = [leased(path, upstream, mine), leased(path, upstream, yours)]
        frames = await asyncio.gather(
            *(providers[i % 2].fetch(w.start, w.end, **ASK) for i, w in enumerate(wanted))
        )
        for provider in providers:
            await provider.close()
        state = service.cluster.first.state()
    for frame, window in zip(frames, wanted, strict=True):
        assert same(frame, sessions().inside(window))
    assert upstream.asked.tolist() == sessions().ts.tolist()
    assert not state.jobs, "who submits a job takes it back"


async def test_what_failed_under_a_lease_is_told_to_all_who_wait(
    tmp_path: Path, leases: LocalCoordinator
) -> None:
    upstream = Upstream(sessions(), failing=[SourceError("daily", "no such day")] * 99)
    providers = [
        leased(tmp_path / "bars.db", upstream, leases, strategy="seamless") for _ in range(2)
    ]
    frames = await asyncio.gather(*(p.fetch(START, END, **ASK) for p in providers))
    for frame in frames:
        assert frame.attrs["seamless"]["missing_slots"]["failed"] == len(sessions())
        assert "no such day" in frame.attrs["seamless"]["failed"][0]["message"]
    for provider in providers:
        await provider.close()


async def test_a_window_whose_holder_died_is_fetched_by_the_next(tmp_path: Path) -> None:
    clock = SystemClock()
    leases = LocalCoordinator(clock, 1, Random(1), MachineConfig(lease_ttl_ms=5_500))
    stuck, upstream = Upstream(sessions()), Upstream(sessions())
    stuck.gate.clear()
    dying = leased(tmp_path / "bars.db", stuck, leases)
    lost = asyncio.ensure_future(dying.fetch(START, END, **ASK))
    await stuck.until_asked()
    alive = leased(tmp_path / "bars.db", upstream, leases)
    waiting = asyncio.ensure_future(alive.fetch(START, END, **ASK))
    lost.cancel()
    await asyncio.wait((lost,))
    await dying.close()
    assert same(await waiting, sessions())
    await alive.close()


async def test_a_call_that_fills_again_is_not_in_its_own_way(tmp_path: Path) -> None:
    """Its first job could not be taken back, and asked for another window."""

    class Unheard(LocalCoordinator):
        async def cancel_job(self, job_id: str) -> None:
            raise CoordinatorUnavailableError(f"nobody heard of the end of {job_id}")

    upstream = Upstream(sessions())
    leases = Unheard(SystemClock(), 1, Random(1), MachineConfig())
    provider = leased(tmp_path / "bars.db", upstream, leases)
    engine, call = provider._engine, provider._call(Window(START, END), Series(NODE, DAY), {})
    middle = START + 28 * DAY
    for window in (Window(START, middle), Window(middle, END)):
        boarding = engine._board(call, call.sight(subtract((call.ask.window,), (window,))))
        assert not (await boarding.result()).failures
        boarding.leave()
    assert upstream.asked.tolist() == sessions().ts.tolist()
    names = [call.ask.request_id, f"{call.ask.request_id}/2"]
    assert list(leases.state.jobs) == names
    await provider.close()


async def test_a_job_tells_how_far_it_is_and_never_goes_back() -> None:
    class Halting(Upstream):
        async def fetch(self, *args: int, **more: Any) -> Any:
            if len(self.calls) >= 4:
                self.gate.clear()
            return await super().fetch(*args, **more)

    upstream = Halting(sessions())
    config = BackfillConfig(window_bars=7, max_concurrent_requests=1)
    provider = Made(
        MemoryStorage({LANE: 1}), upstream, strategy="partial_fill", backfill_config=config
    )
    await provider.fetch(START, END, **ASK)
    (job,) = provider.jobs()
    told = []
    for _ in range(50):
        told.append(job.progress)
        await asyncio.sleep(0)
    windows = len((await provider.explain(START, END, **ASK))["windows"])
    assert told == sorted(told)
    assert told[-1] == pytest.approx(4 / windows)
    assert (job.node_id, job.interval) == (NODE, DAY)
    for _ in range(windows):
        upstream.gate.set()
        await asyncio.sleep(0)
        await asyncio.sleep(0)
    upstream.calls.clear()
    upstream.gate.set()
    await job.wait()
    assert job.progress == 1.0


async def test_leases_need_a_ledger(leases: LocalCoordinator) -> None:
    from provider import SeamlessDataProvider  # noqa: PLC0415

    with pytest.raises(ConfigError, match="the storage has no ledger"):
        SeamlessDataProvider(
            storage_source=Plain(sessions(), []),
            backfiller=Upstream(sessions()),
            coordinator=leases,
            clock=clock_at(),
        )
