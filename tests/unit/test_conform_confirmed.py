"""Tokens of leases that have found nothing new."""

from dataclasses import replace

from avro_schemas import ConformanceReport, Verdict
from streams.conform.confirmed import Confirmed
from tests.unit.judging import HOME, SERIES, slots


def report(first: int, end: int, token: int, lane: str = "bf:one") -> ConformanceReport:
    window = slots(first, end)
    return ConformanceReport(
        verdict=Verdict.NO_NEWS,
        chunk_partition=HOME,
        chunk_offset=0,
        chunk_offset_end=1,
        node_id=SERIES.node,
        interval=SERIES.interval,
        lane=lane,
        start=window.start,
        end=window.end,
        lease_token=token,
    )


def test_the_highest_token_of_what_overlaps_in_the_lane_counts() -> None:
    found = Confirmed()
    found.add(report(0, 4, 7))
    found.add(report(0, 4, 5))
    found.add(report(4, 8, 9))
    assert found.token(SERIES, "bf:one", slots(3, 4)) == 7
    assert found.token(SERIES, "bf:one", slots(3, 5)) == 9
    assert found.token(SERIES, "bf:one", slots(8, 9)) == 0
    assert found.token(SERIES, "bf:two", slots(0, 8)) == 0


def test_other_verdicts_and_what_is_no_window_say_nothing() -> None:
    found = Confirmed()
    for verdict in set(Verdict) - {Verdict.NO_NEWS}:
        found.add(replace(report(0, 4, 7), verdict=verdict))
    found.add(replace(report(0, 4, 7), end=0, start=0, node_id=""))
    assert len(found) == 0


def test_the_oldest_are_forgotten() -> None:
    found = Confirmed(most=2)
    for first in range(3):
        found.add(report(first, first + 1, 7))
    found.add(report(1, 2, 8))
    found.add(report(3, 4, 7))
    tokens = [found.token(SERIES, "bf:one", slots(n, n + 1)) for n in range(4)]
    assert tokens == [0, 8, 0, 7]
    assert len(found) == 2
