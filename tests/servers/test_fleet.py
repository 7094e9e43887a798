"""Four workers, three coordinators, a source with bad days, on the real servers."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from random import Random
from typing import Any

import pytest
import pytest_asyncio

from avro_schemas import Verdict
from bars.series import Series
from ops.stack import LocalStack
from tests.faults.fleet import TTL_MS, FleetRoad, kill
from tests.faults.road import WINDOWS

pytestmark = [pytest.mark.servers, pytest.mark.faults, pytest.mark.asyncio(loop_scope="module")]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def fleet(
    local_stack: LocalStack, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[FleetRoad]:
    """Every test asks for series of its own."""
    seed = int(os.environ.get("SEAMLESS_TEST_SEED", "0")) or Random().getrandbits(32)
    print(f"SEAMLESS_TEST_SEED={seed}")
    made = FleetRoad(local_stack, Path(tmp_path_factory.mktemp("fleet")), seed=seed)
    await made.open()
    yield made
    await made.close()


@pytest.mark.timeout(900)
@pytest.mark.parametrize(("kills", "count"), [(4, 3), pytest.param(40, 20, marks=pytest.mark.soak)])
async def test_every_bar_comes_once_whoever_dies(fleet: FleetRoad, kills: int, count: int) -> None:
    """Workers are killed at random while a source fails, stalls and asks for pauses."""
    rng = Random(fleet.seed)
    series = [fleet.series() for _ in range(count)]
    requests = [fleet.ask(each, source="flaky") for each in series]
    await fleet.until_calls(series[0])
    seen = []
    for _ in range(kills):
        worker = rng.choice(fleet.workers)
        pid = kill(worker)
        print(f"killed {worker.log.stem}")
        seen.append(await fleet.ratio())
        await asyncio.to_thread(worker.until_restarted, pid)
        await asyncio.sleep(rng.uniform(0, 2))
    for request in requests:
        await fleet.done(request)
    assert min(seen) < 1.0
    assert await fleet.ratio() == 1.0
    events = await fleet.events(await fleet.leader())
    for each in series:
        await asyncio.to_thread(fleet.compare, each)
        assert fleet.check_leases(events, each.node) >= WINDOWS


@pytest.mark.timeout(400)
async def test_what_a_sleeper_publishes_late_is_refused(fleet: FleetRoad) -> None:
    """It sleeps for two lives of its leases, and does not know that they are over."""
    series = fleet.series()
    fleet.places.hold.touch()
    sleeper = fleet.sleeper()
    await asyncio.to_thread(sleeper.start, "tests.faults.late")
    try:
        request = fleet.ask(series)
        mine = await fleet.until_held(series.node, sleeper.pid)
        sleeper.signal(signal.SIGSTOP)
        fleet.places.hold.unlink()
        await asyncio.sleep(2 * TTL_MS / 1_000)
        await fleet.done(request)
        await asyncio.to_thread(fleet.compare, series)
        rows = await asyncio.to_thread(fleet.rows)
        sleeper.signal(signal.SIGCONT)
        letters = await fleet.letters("stale_token", len(mine))
        assert {token for token, _ in letters} == set(mine)
        late = await fleet.verdicts(set(mine))
        assert set(late) == {Verdict.STALE}
        assert await asyncio.to_thread(fleet.rows) == rows
    finally:
        fleet.places.hold.unlink(missing_ok=True)
        await asyncio.to_thread(sleeper.stop)
    await asyncio.to_thread(fleet.compare, series)


@pytest.mark.timeout(400)
async def test_leases_are_complete_before_the_store_shows_anything(fleet: FleetRoad) -> None:
    """With the verdict on their chunk; the request waits for the store, the leases do not."""
    series = fleet.series()
    materialize = fleet.agents["materialize"]
    materialize.signal(signal.SIGSTOP)
    try:
        request = fleet.ask(series)
        await fleet.until_all_done(series.node)
        assert not request.done()
    finally:
        materialize.signal(signal.SIGCONT)
    await fleet.done(request)
    await asyncio.to_thread(fleet.compare, series)
    await fleet.until_judged(series)
    events = await fleet.events(await fleet.leader())
    assert fleet.check_leases(events, series.node) == WINDOWS


@pytest.mark.timeout(400)
@pytest.mark.parametrize("lives", [1.2, pytest.param(3.5, marks=pytest.mark.soak)])
async def test_no_lease_looks_stalled_while_the_store_is_away(
    fleet: FleetRoad, lives: float
) -> None:
    """Conform judges nothing without it: holders say that they have published, and live on."""
    series = fleet.series()
    request = fleet.ask(series)
    await fleet.until_calls(series)
    fleet.stack.kill("questdb")
    await asyncio.sleep(lives * TTL_MS / 1_000)
    await asyncio.to_thread(fleet.stack.start, "questdb")
    await fleet.done(request)
    await asyncio.to_thread(fleet.compare, series)
    events = await fleet.events(await fleet.leader())
    assert fleet.check_leases(events, series.node) == WINDOWS
    stale = [each for each in events if each["event"] == "stale_claim" and about(each, series)]
    assert not stale


@pytest.mark.timeout(400)
async def test_a_backfill_goes_on_when_the_leading_coordinator_dies(fleet: FleetRoad) -> None:
    series = fleet.series()
    request = fleet.ask(series)
    await fleet.until_calls(series)
    leader = await fleet.leader()
    agent = fleet.agents[f"coordinator-{leader}"]
    pid = kill(agent)
    await fleet.done(request)
    assert await fleet.leader() != leader or agent.pid != pid
    await asyncio.to_thread(fleet.compare, series)
    assert fleet.calls(series) == WINDOWS
    await asyncio.to_thread(agent.until_restarted, pid)


def about(event: Mapping[str, Any], series: Series) -> bool:
    """Return whether an event is about a series."""
    target = event.get("target")
    return target is not None and target["series"]["node"] == series.node
