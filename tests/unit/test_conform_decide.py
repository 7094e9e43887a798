"""What becomes of a chunk, given what is known."""

import numpy as np
import pytest

from avro_schemas import RevisionKind, Verdict
from bars.fingerprint import content_hash
from bars.frame import BarFrame
from bars.versions import Versions, merge
from streams.conform import Judgement, Knowledge, Place, judge
from streams.conform.decide import expired, lost, next_known, unreadable
from tests.unit.judging import (
    HOME,
    MINUTE,
    RANKS,
    RULES,
    bars_at,
    candidate,
    chunk,
    prices_of,
    slots,
)

WHOLE = slots(0, 4)
FULL = {0: 1.0, 1: 2.0, 2: 3.0, 3: 4.0}
KNOWN = 1_700_000_000_000_000


def held(prices: dict[int, float], lane: str = "bf:one", known: int = KNOWN - 10) -> Versions:
    return Versions.of_lane(bars_at(prices), lane, known)


def judged(prices: dict[int, float], knowledge: Knowledge, source: str = "one") -> Judgement:
    return judge(candidate(chunk(WHOLE, prices, source)), knowledge, KNOWN, RULES)


SETTLED = Knowledge(versions=held(FULL), ledger=(WHOLE,), settled=True)


def test_records_of_one_batch_get_distinct_versions() -> None:
    """They share an append time."""
    first = next_known(1_000, 0)
    assert (first, next_known(1_000, first)) == (1_000, 1_001)


def test_versions_grow_while_the_brokers_clock_steps_back() -> None:
    last, given = 0, []
    for append_us in (5_000, 3_000, 3_000, 1_000, 5_001, 5_004, 9_000):
        last = next_known(append_us, last)
        given.append(last)
    assert given == [5_000, 5_001, 5_002, 5_003, 5_004, 5_005, 9_000]


def test_a_chunk_of_unknown_bars_passes_into_history() -> None:
    made = judge(candidate(chunk(WHOLE, FULL, lease_token=3), 17), Knowledge(), KNOWN, RULES)
    report, record = made.report, made.conformed
    assert (report.verdict, report.known, report.bars) == (Verdict.PASSED, KNOWN, 4)
    assert report.revisions == ()
    assert made.rejection is None
    assert record is not None
    assert (record.chunk_partition, record.chunk_offset, record.known) == (HOME, 17, KNOWN)
    assert (record.covers, record.lease_token, record.lane) == ((), 3, "bf:one")


def test_the_record_says_what_the_chunk_covers_when_that_is_less_than_its_window() -> None:
    found = chunk(WHOLE, {0: 1.0}, covers=((0, 2 * MINUTE),))
    made = judge(candidate(found), Knowledge(), KNOWN, RULES)
    assert made.conformed is not None
    assert made.conformed.covers == ((0, 2 * MINUTE),)


def test_what_the_store_says_already_is_no_news() -> None:
    made = judged(FULL, SETTLED)
    assert (made.report.verdict, made.report.known) == (Verdict.NO_NEWS, 0)
    assert made.conformed is None
    assert made.rejection is None


@pytest.mark.parametrize(
    "knowledge",
    [
        Knowledge(versions=held(FULL), ledger=(WHOLE,), settled=False),
        Knowledge(versions=held(FULL), ledger=(slots(0, 3),), settled=True),
        Knowledge(versions=held(FULL), settled=True),
        Knowledge(versions=held({0: 1.0}), ledger=(WHOLE,), settled=True),
        Knowledge(versions=held(FULL, "bf:two"), ledger=(WHOLE,), settled=True),
        Knowledge(
            versions=merge([held(FULL), held({2: 9.0}, known=KNOWN - 5)]),
            ledger=(WHOLE,),
            settled=True,
        ),
    ],
    ids=["on its way", "not all covered", "not covered", "bars missing", "other lane", "changed"],
)
def test_the_same_bars_pass_where_anything_is_in_doubt(knowledge: Knowledge) -> None:
    assert judged(FULL, knowledge).report.verdict is Verdict.PASSED


def test_a_bar_that_the_source_lacks_now_is_withdrawn() -> None:
    made = judged({0: 1.0, 1: 2.0, 3: 4.0}, SETTLED)
    record = made.conformed
    assert record is not None
    assert record.ts.tolist() == [0, MINUTE, 2 * MINUTE, 3 * MINUTE]
    assert np.isnan(record.close[2])
    assert np.isnan(record.volume[2])
    kinds = [(r.ts, r.kind) for r in made.report.revisions]
    assert kinds == [(2 * MINUTE, RevisionKind.WITHDRAWN)]
    assert record.content_hash == content_hash(
        BarFrame(record.ts, record.open, record.high, record.low, record.close, record.volume)
    )


def test_a_withdrawn_bar_is_not_withdrawn_again() -> None:
    gone = held({0: 1.0, 1: 2.0, 2: np.nan, 3: 4.0})
    knowledge = Knowledge(versions=gone, ledger=(WHOLE,), settled=True)
    assert judged({0: 1.0, 1: 2.0, 3: 4.0}, knowledge).report.verdict is Verdict.NO_NEWS


def test_a_lane_withdraws_only_its_own_bars() -> None:
    knowledge = Knowledge(versions=held({2: 3.0}, "bf:two"), settled=True)
    made = judged({0: 1.0}, knowledge)
    assert made.conformed is not None
    assert made.conformed.ts.tolist() == [0]


def test_bars_outside_what_the_chunk_covers_are_not_withdrawn() -> None:
    found = chunk(WHOLE, {0: 1.0}, covers=((0, 2 * MINUTE),))
    made = judge(candidate(found), SETTLED, KNOWN, RULES)
    assert made.conformed is not None
    assert made.conformed.ts.tolist() == [0, MINUTE]


def test_a_changed_bar_is_told_with_both_values() -> None:
    made = judged(FULL | {1: 2.5}, SETTLED)
    (revision,) = made.report.revisions
    assert (revision.ts, revision.kind) == (MINUTE, RevisionKind.CHANGED)
    assert revision.before is not None
    assert revision.after is not None
    assert (revision.before.close, revision.after.close) == (2.0, 2.5)


def test_a_newer_version_of_a_lower_lane_passes_and_is_told_as_outranked() -> None:
    made = judged(FULL | {1: 2.5}, SETTLED, "two")
    assert made.report.verdict is Verdict.PASSED
    assert [r.kind for r in made.report.revisions] == [RevisionKind.OUTRANKED]


def test_a_higher_lane_takes_over() -> None:
    knowledge = Knowledge(versions=held(FULL, "bf:two"), ledger=(), settled=True)
    made = judged(FULL | {0: 9.0}, knowledge)
    assert [(r.ts, r.kind) for r in made.report.revisions] == [(0, RevisionKind.CHANGED)]
    assert RANKS["bf:one"] > RANKS["bf:two"]


def test_a_token_below_a_committed_one_is_stale() -> None:
    found = candidate(chunk(WHOLE, FULL, lease_token=4))
    made = judge(found, Knowledge(token=5), KNOWN, RULES)
    assert (made.report.verdict, made.report.error_class) == (Verdict.STALE, "stale_token")
    assert made.rejection is not None
    assert made.conformed is None


@pytest.mark.parametrize("token", [4, 5])
def test_the_committed_token_itself_and_a_higher_one_pass(token: int) -> None:
    found = candidate(chunk(WHOLE, FULL, lease_token=token))
    assert judge(found, Knowledge(token=4), KNOWN, RULES).report.verdict is Verdict.PASSED


def test_nothing_unproved_is_blocked_and_nothing_proved_passes() -> None:
    unproved = judge(candidate(chunk(WHOLE, {})), Knowledge(), KNOWN, RULES)
    proved = judge(candidate(chunk(WHOLE, {}, empty_confirmed=True)), Knowledge(), KNOWN, RULES)
    assert (unproved.report.verdict, unproved.report.error_class) == (
        Verdict.BLOCKED,
        "empty_unconfirmed",
    )
    assert proved.report.verdict is Verdict.PASSED
    assert proved.conformed is not None
    assert proved.conformed.empty_confirmed


def test_proved_emptiness_withdraws_everything() -> None:
    found = candidate(chunk(WHOLE, {}, empty_confirmed=True))
    made = judge(found, SETTLED, KNOWN, RULES)
    assert made.conformed is not None
    assert made.conformed.ts.size == 4
    assert np.isnan(made.conformed.open).all()


def test_what_the_checks_block_is_told_with_their_flags() -> None:
    made = judged({0: 1.0, 1: np.inf}, Knowledge())
    assert (made.report.verdict, made.report.error_class) == (Verdict.BLOCKED, "conformance")
    assert any(flag.severity == "BLOCK" for flag in made.report.flags)
    assert made.rejection is not None


def test_columns_of_different_lengths_are_blocked() -> None:
    found = chunk(WHOLE, FULL, close=np.array([1.0]))
    made = judge(candidate(found), Knowledge(), KNOWN, RULES)
    assert made.report.verdict is Verdict.BLOCKED


def test_a_hash_that_is_not_the_bars_is_blocked() -> None:
    made = judge(candidate(chunk(WHOLE, FULL, content_hash="0" * 32)), Knowledge(), KNOWN, RULES)
    assert made.report.verdict is Verdict.BLOCKED
    unhashed = judge(candidate(chunk(WHOLE, FULL, content_hash="")), Knowledge(), KNOWN, RULES)
    assert unhashed.report.verdict is Verdict.PASSED


def test_slots_without_trades_are_told_and_pass() -> None:
    made = judged({0: 1.0, 3: 4.0}, Knowledge())
    assert made.report.verdict is Verdict.PASSED
    assert [flag.severity for flag in made.report.flags] == ["INFO"]


def test_withdrawals_that_do_not_fit_into_a_record_are_blocked() -> None:
    wide = slots(0, 3_000)
    known = Versions.of_lane(bars_at(dict.fromkeys(range(1_500, 3_000), 1.0)), "bf:one", 5)
    found = candidate(chunk(wide, dict.fromkeys(range(1_000), 1.0)))
    made = judge(found, Knowledge(versions=known), KNOWN, RULES)
    assert (made.report.verdict, made.report.error_class) == (Verdict.BLOCKED, "too_many_bars")


def test_unreadable_bytes_are_blocked_by_their_place() -> None:
    made = unreadable(Place(partition=2, offset=7), "not_avro", "begins with b'xx'")
    assert (made.report.verdict, made.report.error_class) == (Verdict.BLOCKED, "not_avro")
    assert "2/7" in made.report.message
    assert made.rejection is not None


def test_expired_chunks_are_told_as_one_range() -> None:
    report = expired(1, 10, 25)
    assert (report.verdict, report.chunk_offset, report.chunk_offset_end) == (
        Verdict.EXPIRED,
        10,
        25,
    )


@pytest.mark.parametrize(
    ("next_offset", "offsets", "low", "gone"),
    [
        (5, [5, 6], 5, ()),
        (5, [8], 5, ()),
        (5, [8], 8, ((5, 8),)),
        (5, [8], 7, ((5, 7),)),
        (5, [5, 20, 22], 20, ((6, 20),)),
        (0, [100], 90, ((0, 90),)),
    ],
)
def test_only_gaps_that_retention_made_are_lost_chunks(
    next_offset: int, offsets: list[int], low: int, gone: tuple[tuple[int, int], ...]
) -> None:
    """Others are the markers and aborted records of whoever published in transactions."""
    assert lost(next_offset, offsets, low) == gone


def test_prices_survive_bit_for_bit() -> None:
    made = judged(FULL | {2: 0.1 + 0.2}, Knowledge())
    assert made.conformed is not None
    record = made.conformed
    bars = BarFrame(record.ts, record.open, record.high, record.low, record.close, record.volume)
    assert prices_of(Versions.of_lane(bars, "bf:one", 1)) == FULL | {2: 0.1 + 0.2}
