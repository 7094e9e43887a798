"""A call that never comes back must not hold a partition for ever."""

import threading

import pytest

from streams.errors import HangingCallError
from streams.patience import in_thread, transaction_max_s


async def test_a_call_that_hangs_is_told_when_its_time_is_up() -> None:
    """Its process then ends and another takes over; waiting would hold the partition."""
    release = threading.Event()
    with pytest.raises(HangingCallError, match="transaction did not come back") as caught:
        await in_thread("transaction", 0.05, release.wait)
    release.set()
    assert not caught.value.retriable


async def test_a_call_in_a_thread_gives_what_it_returns() -> None:
    assert await in_thread("sum", 5, lambda: 2 + 2) == 4


def test_the_limit_is_beyond_what_the_broker_allows() -> None:
    assert transaction_max_s(10_000) == 30
