"""What the load takes for a lost lease: a holder's own delay is none."""

from random import Random
from typing import Any, cast

import pytest

from bars.series import Series
from bars.window import Window
from coordinator.client import (
    DistributedBackfillCoordinator,
    HeldLease,
    LeaseEnd,
    LeaseLostError,
)
from coordinator.machine import SeriesLane
from runtime.testing import ManualClock
from tests.faults.coordinator.load import Worker

LEASE = HeldLease(
    token=1,
    session_id="w0",
    target=SeriesLane(Series("node", 1), "bf:s"),
    window=Window(0, 10),
    job_ids=("job",),
    attempts=0,
    ttl_ms=12_000,
    asked_s=0.0,
)


class _Gone:
    """A service whose leases have ended, whoever asks."""

    def __init__(self, now_s: float) -> None:
        self._clock = ManualClock()
        self._clock.advance(now_s)

    def __getattr__(self, _name: str) -> Any:
        async def ask(*_: object) -> None:
            raise LeaseLostError(LEASE.token, LeaseEnd.EXPIRED)

        return ask


@pytest.mark.parametrize(("now_s", "lost"), [(LEASE.stop_s - 0.1, 1), (LEASE.stop_s, 0)])
async def test_a_lease_is_lost_that_ended_before_its_holder_had_to_stop(
    now_s: float, lost: int
) -> None:
    worker = Worker("w0", cast(DistributedBackfillCoordinator, _Gone(now_s)), Random(0))
    worker.holds_s = 0.0
    await worker._hold(LEASE)
    assert len(worker.lost) == lost, worker.lost
