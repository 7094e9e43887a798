"""Faults in mid-work on real servers; the store equals the source bar by bar afterwards."""

import asyncio

import pytest

from tests.faults.road import WINDOWS, Road
from tests.faults.scenarios import SCENARIOS, Scenario, run

pytestmark = [pytest.mark.servers, pytest.mark.faults, pytest.mark.asyncio(loop_scope="module")]

OUTAGE_S = 5.0


@pytest.mark.timeout(180)
@pytest.mark.parametrize("scenario", [s for s in SCENARIOS if s.quick], ids=lambda s: s.name)
async def test_the_store_equals_the_source_after(road: Road, scenario: Scenario) -> None:
    """A fault loses no bar, doubles none and changes none."""
    await run(road, scenario, OUTAGE_S)


@pytest.mark.timeout(180)
async def test_a_window_that_another_request_brings_is_fetched_once_while_the_store_is_away(
    road: Road,
) -> None:
    """The second finds the first one's windows on their way, though the ledger cannot say so."""
    series = road.series()
    first = road.ask(series)
    await road.until_calls(series, 2)
    road.stack.kill("questdb")
    second = road.ask(series)
    await asyncio.sleep(OUTAGE_S)
    await asyncio.to_thread(road.stack.start, "questdb")
    await road.done(first)
    await road.done(second)
    await asyncio.to_thread(road.compare, series)
    assert road.calls(series) == WINDOWS
