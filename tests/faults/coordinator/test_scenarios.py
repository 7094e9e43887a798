"""The lease service as three real processes, and everything that may happen to it."""

import secrets
from pathlib import Path

import pytest

from tests.faults.coordinator.scenarios import SCENARIOS, Scenario

pytestmark = pytest.mark.faults


@pytest.mark.timeout(240)
@pytest.mark.parametrize(
    "scenario", [s for s in SCENARIOS if s.quick], ids=lambda scenario: scenario.name
)
async def test_the_lease_service_stands(tmp_path: Path, scenario: Scenario) -> None:
    """Nothing acknowledged is lost, no token comes twice, one live lease a window, all equal."""
    print(await scenario.play(tmp_path, secrets.randbits(32)))
