"""The checks of a fleet's histories find what they are there for."""

from collections.abc import Mapping
from typing import Any

import pytest

from tests.faults.fleet import Grant, live_of, no_two_at_once
from tests.faults.processes import RoadError


def granted(token: int, start: int, end: int, event: str = "lease_granted") -> Mapping[str, Any]:
    target = {"series": {"node": "n", "interval": 60}, "lane": "bf:s"}
    lease = {"token": token, "session_id": "w", "target": target, "window": [start, end]}
    return {"event": event, "lease": lease}


def ended(token: int, start: int, end: int) -> Mapping[str, Any]:
    return granted(token, start, end, "lease_ended")


def test_leases_that_follow_each_other_are_right() -> None:
    every: list[Grant] = []
    events = [granted(1, 0, 10), granted(2, 10, 20), ended(1, 0, 10), granted(3, 5, 10)]
    assert set(live_of(events, "n", every)) == {2, 3}
    assert [grant.token for grant in every] == [1, 2, 3]
    assert live_of(events, "other") == {}


@pytest.mark.parametrize(
    ("events", "said"),
    [
        ([granted(1, 0, 10), granted(2, 9, 20)], "while 1 was in force"),
        ([granted(2, 0, 10), ended(2, 0, 10), granted(1, 0, 10)], "granted after 2"),
    ],
)
def test_two_at_a_time_and_tokens_that_go_back_are_found(
    events: list[Mapping[str, Any]], said: str
) -> None:
    with pytest.raises(RoadError, match=said):
        live_of(events, "n")


def call(start: int, end: int, began_s: float, ended_s: float) -> dict[str, Any]:
    return {"start": start, "end": end, "began_s": began_s, "ended_s": ended_s}


def test_a_window_that_is_asked_for_twice_at_once_is_found() -> None:
    no_two_at_once([call(0, 10, 0, 5), call(10, 20, 1, 2), call(0, 10, 5, 6)])
    with pytest.raises(RoadError, match="at the same time"):
        no_two_at_once([call(0, 10, 0, 5), call(10, 20, 1, 2), call(5, 15, 3, 6)])
