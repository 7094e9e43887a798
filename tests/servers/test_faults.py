"""Faults in mid-work on real servers; the store equals the source bar by bar afterwards."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from ops.stack import LocalStack
from tests.faults.road import Road
from tests.faults.scenarios import SCENARIOS, Scenario, run

pytestmark = [pytest.mark.servers, pytest.mark.faults, pytest.mark.asyncio(loop_scope="module")]

OUTAGE_S = 5.0


@pytest.fixture(scope="module")
async def road(
    local_stack: LocalStack, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Road]:
    """One road for all of them: each asks for a series of its own."""
    made = Road(local_stack, Path(tmp_path_factory.mktemp("road")))
    await made.open()
    yield made
    await made.close()


@pytest.mark.timeout(180)
@pytest.mark.parametrize("scenario", [s for s in SCENARIOS if s.quick], ids=lambda s: s.name)
async def test_the_store_equals_the_source_after(road: Road, scenario: Scenario) -> None:
    """A fault loses no bar, doubles none and changes none."""
    await run(road, scenario, OUTAGE_S)
