"""Whose bars a chunk may be."""

from dataclasses import replace
from typing import Any

import pytest

from avro_schemas import Verdict
from bars.window import Window
from streams.conform import Candidate, Place, Rejection, screen
from streams.conform.decide import reject
from streams.conform.screen import CHUNK_SLOTS_MAX
from tests.unit.judging import HOME, MINUTE, RULES, chunk, slots

WHOLE = slots(0, 4)


def screened(**fields: Any) -> Candidate | Rejection:
    found = chunk(WHOLE, {0: 1.0}, **fields)
    return screen(found, Place(partition=HOME, offset=5), RULES)


@pytest.mark.parametrize(
    ("fields", "error_class"),
    [
        ({"node_id": "ohlcv:test:B"}, "unknown_node"),
        ({"node_id": ""}, "unknown_node"),
        ({"node_id": "a|b"}, "unknown_node"),
        ({"interval": 120}, "unknown_node"),
        ({"interval": 0}, "unknown_node"),
        ({"lane": "roll", "source": ""}, "unknown_source"),
        ({"lane": "bf:nobody", "source": ""}, "unknown_source"),
        ({"lane": "bf:two"}, "unknown_source"),
        ({"is_final": False}, "not_final"),
        ({"end": 0}, "bad_window"),
        ({"start": 1, "end": 2}, "bad_window"),
        ({"end": MINUTE * (CHUNK_SLOTS_MAX + 1)}, "bad_window"),
        ({"start": -(2**62), "end": 2**62}, "bad_window"),
        ({"start": -MINUTE}, "bad_window"),
        ({"start": 2**40 * MINUTE, "end": (2**40 + 1) * MINUTE}, "bad_window"),
        ({"covers": ((0, 10 * MINUTE),)}, "bad_window"),
        ({"covers": ((60, 60),)}, "bad_window"),
    ],
)
def test_a_chunk_of_nobody_is_blocked_and_says_why(
    fields: dict[str, Any], error_class: str
) -> None:
    found = screened(**fields)
    assert isinstance(found, Rejection)
    assert (found.verdict, found.error_class) == (Verdict.BLOCKED, error_class)
    assert found.message


def test_a_chunk_in_a_foreign_partition_is_blocked() -> None:
    """Two processes would give its series versions that have no one order."""
    found = screen(chunk(WHOLE, {0: 1.0}), Place(partition=HOME + 1, offset=5), RULES)
    assert isinstance(found, Rejection)
    assert found.error_class == "wrong_partition"


def test_a_chunk_of_too_many_bars_is_blocked() -> None:
    found = screened(ts=chunk(slots(0, 3_000), dict.fromkeys(range(2_001), 1.0)).ts)
    assert isinstance(found, Rejection)
    assert found.error_class == "too_many_bars"


def test_a_chunk_covers_its_window_unless_it_says_less() -> None:
    found, part = screened(), screened(covers=((0, MINUTE), (MINUTE, 2 * MINUTE)))
    assert isinstance(found, Candidate)
    assert isinstance(part, Candidate)
    assert found.covers == (WHOLE,)
    assert part.covers == (Window(0, 2 * MINUTE),)
    assert found.session_bars == 4


def test_the_listed_period_limits_the_session_bars() -> None:
    node = replace(RULES.nodes[next(iter(RULES.nodes))], listed_start=2 * MINUTE)
    rules = replace(RULES, nodes={node.series: node})
    found = screen(chunk(WHOLE, {3: 1.0}), Place(partition=HOME, offset=0), rules)
    assert isinstance(found, Candidate)
    assert found.session_bars == 2


def test_a_rejected_chunk_is_told_with_its_place_and_request() -> None:
    found = chunk(WHOLE, {0: 1.0}, request_id="r1", lease_token=9)
    made = reject(found, Place(partition=HOME, offset=5), Rejection("unknown_node", "why"))
    report = made.report
    assert (report.verdict, report.error_class, report.message) == (
        Verdict.BLOCKED,
        "unknown_node",
        "why",
    )
    assert (report.chunk_partition, report.chunk_offset, report.chunk_offset_end) == (HOME, 5, 6)
    assert (report.request_id, report.lease_token, report.known) == ("r1", 9, 0)
    assert made.conformed is None
    assert made.rejection is not None
