"""Whatever chunks come, in whatever order the store follows: history says what the last one said.

A small world: one series, two lanes, history as a list, a store that shows what lies below a mark
which moves at any time, an owner that forgets everything at any time. The model is a dictionary.
"""

from dataclasses import dataclass, field

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from avro_schemas import BarChunk, Verdict
from bars.versions import Versions, merge, newest_of_lane, winners
from bars.window import Window
from bars.window import merge as merge_windows
from streams.conform import Knowledge, judge
from streams.conform.decide import next_known
from streams.conform.overlay import Overlay, entry_of
from tests.unit.judging import RANKS, RULES, SERIES, candidate, chunk, prices_of, slots

SLOTS = 8
LANES = ("one", "two")

windows = st.tuples(st.integers(0, SLOTS - 1), st.integers(1, SLOTS)).map(
    lambda pair: slots(pair[0], min(SLOTS, pair[0] + pair[1]))
)


@dataclass
class Fetched:
    """A chunk to come: each slot of the window with a price or without a bar."""

    window: Window
    prices: dict[int, float]
    source: str
    token: int
    append_us: int


@st.composite
def fetched(draw: st.DrawFn) -> Fetched:
    window = draw(windows)
    inside = range(window.start // 60, window.end // 60)
    found = draw(st.lists(st.sampled_from([None, 1.0, 2.0]), min_size=len(inside)))
    prices = {s: p for s, p in zip(inside, found, strict=False) if p is not None}
    token, append_us = draw(st.integers(0, 3)), draw(st.integers(1, 50))
    return Fetched(window, prices, draw(st.sampled_from(LANES)), token, append_us)


steps = st.lists(
    st.one_of(fetched(), st.just("visible"), st.just("one more visible"), st.just("restart")),
    max_size=25,
)


@dataclass
class World:
    """History, what of it the store shows, and the owner's memory."""

    history: list[BarChunk] = field(default_factory=list)
    mark: int = 0
    overlay: Overlay = field(default_factory=lambda: Overlay(0))
    last_known: int = 0
    model: dict[str, dict[int, float | None]] = field(
        default_factory=lambda: {f"bf:{name}": {} for name in LANES}
    )
    tokens: dict[tuple[str, int], int] = field(default_factory=dict)

    def store(self) -> tuple[Versions, list[BarChunk]]:
        """What lies below the mark, and the ledger's records."""
        shown = self.history[: self.mark]
        return merge(entry_of(each).versions for each in shown), shown

    def knowledge(self, found: BarChunk, window: Window) -> Knowledge:
        self.overlay.advance(self.mark)
        below, ledger = self.store()
        inside = (below.bars.ts >= window.start) & (below.bars.ts < window.end)
        own = [r for r in ledger if r.lane == found.lane]
        near = [r.lease_token for r in own if Window(r.start, r.end).intersect(window)]
        return Knowledge(
            versions=self.overlay.versions(SERIES, window, below.take(inside)),
            ledger=merge_windows(Window(r.start, r.end) for r in own),
            token=max([0, *near, self.overlay.token(SERIES, found.lane, window)]),
            settled=self.overlay.settled(SERIES, window),
        )

    def restart(self) -> None:
        self.overlay = Overlay(0)
        self.overlay.advance(self.mark)
        for offset in range(self.mark, len(self.history)):
            self.overlay.add(entry_of(self.history[offset], offset))

    def take(self, step: Fetched) -> Verdict:
        found = chunk(
            step.window,
            step.prices,
            step.source,
            lease_token=step.token,
            empty_confirmed=True,
        )
        proposed = next_known(step.append_us, self.last_known)
        made = judge(candidate(found), self.knowledge(found, step.window), proposed, RULES)
        if made.conformed is not None:
            assert proposed > self.last_known
            self.last_known = proposed
            self.overlay.add(entry_of(made.conformed))
            self.overlay.commit([len(self.history)])
            self.history.append(made.conformed)
        return made.report.verdict

    def expect(self, step: Fetched, verdict: Verdict) -> None:
        lane = f"bf:{step.source}"
        inside = range(step.window.start // 60, step.window.end // 60)
        highest = max(self.tokens.get((lane, s), 0) for s in inside)
        assert (verdict is Verdict.STALE) == (highest > step.token)
        if verdict is Verdict.NO_NEWS:
            said = {s: self.model[lane].get(s) for s in inside}
            assert said == {s: step.prices.get(s) for s in inside}
        if verdict is Verdict.PASSED:
            for slot in inside:
                self.model[lane][slot] = step.prices.get(slot)
            self.tokens |= {
                (lane, s): max(step.token, self.tokens.get((lane, s), 0)) for s in inside
            }


@settings(max_examples=120, deadline=None)
@given(steps)
def test_history_says_what_the_last_chunk_said(script: list[Fetched | str]) -> None:
    """With the store lagging, and with an owner that restarts, at any moment."""
    world = World()
    for step in script:
        if isinstance(step, Fetched):
            verdict = world.take(step)
            assert verdict in (Verdict.PASSED, Verdict.NO_NEWS, Verdict.STALE)
            world.expect(step, verdict)
        elif step == "visible":
            world.mark = len(world.history)
        elif step == "one more visible":
            world.mark = min(len(world.history), world.mark + 1)
        else:
            world.restart()
    every = merge(entry_of(each).versions for each in world.history)
    for lane, slots_of in world.model.items():
        told = prices_of(newest_of_lane(every, lane))
        said = {s: None if np.isnan(p) else p for s, p in told.items()}
        assert {s: p for s, p in said.items() if p is not None} == {
            s: p for s, p in slots_of.items() if p is not None
        }
    best: dict[int, float] = {}
    for lane in sorted(world.model, key=lambda name: RANKS[name]):
        best |= {s: p for s, p in world.model[lane].items() if p is not None}
    assert prices_of(winners(every, RANKS)) == best


@settings(max_examples=60, deadline=None)
@given(st.lists(fetched(), max_size=12))
def test_a_refetch_of_the_same_is_no_news_once_everything_is_visible(
    script: list[Fetched],
) -> None:
    world = World()
    for step in script:
        step.token = 0
        world.take(step)
    world.mark = len(world.history)
    before = len(world.history)
    if script:
        assert world.take(script[-1]) is Verdict.NO_NEWS
    assert len(world.history) == before


@settings(max_examples=100, deadline=None)
@given(st.lists(st.integers(0, 2**50), max_size=50), st.integers(0, 2**50))
def test_versions_only_grow_and_never_lie_before_the_append_time(
    append_times: list[int], last: int
) -> None:
    for append_us in append_times:
        given_ = next_known(append_us, last)
        assert given_ > last
        assert given_ >= append_us
        last = given_
