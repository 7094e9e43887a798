"""What a chunk is told to change is what a reader sees change."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from avro_schemas import RevisionKind
from bars import BarFrame, Grid, Versions, Window, newest_of_lane, winners
from bars.conformance import revisions, same_as_newest, withdraw, withdrawals
from bars.versions import merge
from tests.unit.bars_help import priced

LANES = ["bf:a", "bf:b", "roll"]
RANKS = {"bf:a": 2, "bf:b": 1, "roll": 0}
GONE = float("nan")
PRICES = st.sampled_from([1.0, 2.0, GONE])
SLOTS = range(0, 240, 60)
KNOWN = 100

STORED = st.dictionaries(
    st.tuples(st.sampled_from(SLOTS), st.sampled_from(LANES), st.integers(1, 3)), PRICES
)
CHUNKS = st.dictionaries(st.sampled_from(SLOTS), st.sampled_from([1.0, 2.0]))


def versions_of(stored: dict[tuple[int, str, int], float]) -> Versions:
    return Versions(
        BarFrame.concat(priced([name[0]], price) for name, price in stored.items()),
        np.array([name[1] for name in stored], object),
        np.array([name[2] for name in stored], np.int64),
    )


def bars_of(chunk: dict[int, float]) -> BarFrame:
    return BarFrame.concat(priced([ts], chunk[ts]) for ts in sorted(chunk))


def read(versions: Versions) -> dict[int, float]:
    """Return what a reader gets, ts to open."""
    found = winners(versions, RANKS).bars
    return dict(zip(found.ts.tolist(), found.open.tolist(), strict=True))


def same(a: float | None, b: float | None) -> bool:
    return a == b or (a is not None and b is not None and np.isnan(a) and np.isnan(b))


@given(STORED, CHUNKS, st.sampled_from(LANES))
def test_revisions_are_the_differences_between_two_reads(
    stored: dict[tuple[int, str, int], float], chunk: dict[int, float], lane: str
) -> None:
    before = versions_of(stored)
    newest = newest_of_lane(before, lane)
    bars = bars_of(chunk)
    bars = withdraw(bars, withdrawals(newest, [Window(0, 240)], Grid(60), bars))
    told = {r.ts: r for r in revisions(before, bars, lane, RANKS, known=KNOWN)}
    after = merge([before, Versions.of_lane(bars, lane, KNOWN)])
    old, new = read(before), read(after)
    had = set(before.bars.ts.tolist())
    for ts in SLOTS:
        revision = told.get(ts)
        kind = revision.kind if revision else None
        if revision is not None:
            assert same(revision.before.open if revision.before else None, old.get(ts))
            assert same(revision.after.open if revision.after else None, chunk.get(ts))
        if ts not in old and ts in new:
            assert kind is (RevisionKind.RESTORED if ts in had else None)
        elif ts in old and ts not in new:
            assert kind is RevisionKind.WITHDRAWN
        elif old.get(ts) != new.get(ts):
            assert kind in (RevisionKind.CHANGED, RevisionKind.WITHDRAWN)
        else:
            assert kind in (None, RevisionKind.OUTRANKED, RevisionKind.WITHDRAWN)


@given(STORED, CHUNKS, st.sampled_from(LANES))
def test_a_chunk_said_twice_is_no_news_and_no_revision(
    stored: dict[tuple[int, str, int], float], chunk: dict[int, float], lane: str
) -> None:
    before, bars = versions_of(stored), bars_of(chunk)
    covered = [Window(0, 240)]
    gone = withdrawals(newest_of_lane(before, lane), covered, Grid(60), bars)
    after = merge([before, Versions.of_lane(withdraw(bars, gone), lane, KNOWN)])
    newest = newest_of_lane(after, lane)
    assert withdrawals(newest, covered, Grid(60), bars).size == 0
    assert same_as_newest(newest, bars)
    assert revisions(after, bars, lane, RANKS) == ()


@given(STORED, CHUNKS, st.sampled_from(LANES))
def test_after_a_chunk_its_lane_holds_exactly_its_bars(
    stored: dict[tuple[int, str, int], float], chunk: dict[int, float], lane: str
) -> None:
    """A bar that the source no longer has must not stay."""
    before, bars = versions_of(stored), bars_of(chunk)
    gone = withdrawals(newest_of_lane(before, lane), [Window(0, 240)], Grid(60), bars)
    after = merge([before, Versions.of_lane(withdraw(bars, gone), lane, KNOWN)])
    held = newest_of_lane(after, lane)
    assert held.take(held.bars.has_prices).bars.equals(bars)


@given(STORED, CHUNKS, st.sampled_from(LANES))
def test_revisions_do_not_depend_on_the_order_of_what_is_stored(
    stored: dict[tuple[int, str, int], float], chunk: dict[int, float], lane: str
) -> None:
    bars = bars_of(chunk)
    backwards = dict(reversed(stored.items()))
    assert revisions(versions_of(stored), bars, lane, RANKS) == revisions(
        versions_of(backwards), bars, lane, RANKS
    )
