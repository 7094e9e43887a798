"""Who waits for the log in vain is told, each after its own time, by one timer."""

import asyncio

from coordinator._service.log import UnknownOutcomeError
from coordinator._service.raft.budgets import LOOK_S, Budgets
from coordinator._service.raft.proposal import Outcome

WAIT_S = 5.0
"""For what comes soon."""


def _asked(budgets: Budgets, name: str, timeout_s: float) -> "asyncio.Future[Outcome]":
    answer: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
    budgets.begin(answer, name, timeout_s)
    return answer


async def test_whoever_waits_in_vain_is_told_that_nobody_knows() -> None:
    loop = asyncio.get_running_loop()
    budgets, began = Budgets(loop), loop.time()
    patient = _asked(budgets, "patient", 60.0)
    hasty = _asked(budgets, "hasty", 2 * LOOK_S)
    outcome = await asyncio.wait_for(hasty, WAIT_S)
    assert isinstance(outcome, UnknownOutcomeError)
    assert outcome.request_id == "hasty"
    assert loop.time() - began >= 2 * LOOK_S
    assert not patient.done(), "its time is not up"


async def test_an_answer_that_has_come_stands() -> None:
    budgets = Budgets(asyncio.get_running_loop())
    came = _asked(budgets, "came", 0.0)
    lost = UnknownOutcomeError("came", "the leader changed")
    came.set_result(lost)
    late = _asked(budgets, "late", 0.0)
    await asyncio.wait_for(late, WAIT_S)
    assert came.result() is lost


async def test_the_timer_rests_while_nobody_waits() -> None:
    budgets = Budgets(asyncio.get_running_loop())
    answer = _asked(budgets, "a", 60.0)
    budgets.end(answer)
    timer = budgets._timer
    assert timer is not None
    timer.cancel()
    budgets._look()  # as the timer would
    assert budgets._timer is None
    await asyncio.wait_for(_asked(budgets, "b", 0.0), WAIT_S)
