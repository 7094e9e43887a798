"""Workers and older clients on the same bars: whoever has one, nobody else has."""

from collections.abc import Callable
from dataclasses import replace
from itertools import combinations, count
from typing import TypeAlias

from hypothesis import given, settings
from hypothesis import strategies as st

from bars.series import Series
from bars.window import Window
from coordinator.machine import (
    ClaimWindow,
    Code,
    EndClaim,
    MachineConfig,
    Policy,
    Tick,
)
from tests.unit.machine_help import Bench, spec, target

SLOTS = 40
CONFIG = MachineConfig(lease_ttl_ms=2_000, retry_backoff_ms=100, max_attempts=3, jitter_ppm=0)
SERIES = Series("n", 1)


class Both(Bench):
    """Two lanes of one series that jobs want all of, and the windows that are held now."""

    def __init__(self, policy: Policy) -> None:
        super().__init__(CONFIG)
        self.names = count()
        self.submit(spec("job", 0, SLOTS))
        self.submit(replace(spec("other", 0, SLOTS), target=target(lane="bf:other")))
        self.set_policy(policy)

    def claimed(self) -> list[Window]:
        return [s.claim.window for s in self.state.sessions.values() if s.claim]

    def take(self, limit: int) -> None:
        before = self.claimed()
        for lease in self.acquire(limit=limit):
            assert not any(lease.window.intersect(window) for window in before)

    def claim(self, start: int, length: int) -> None:
        window = Window(start, start + length)
        held = self.claimed() + [lease.window for lease in self.state.leases.values()]
        name = f"old-{next(self.names)}"
        command = ClaimWindow(session_id=name, ttl_ms=3_000, series=SERIES, window=window)
        taken = any(window.intersect(other) for other in held)
        assert self.do(command).code is (Code.CONFLICT if taken else Code.OK)

    def end_claim(self, which: int) -> None:
        claims = [(name, s.claim) for name, s in self.state.sessions.items() if s.claim]
        if claims:
            name, claim = claims[which % len(claims)]
            assert self.do(EndClaim(session_id=name, token=claim.token)).code is Code.OK

    def end_lease(self, which: int) -> None:
        leases = list(self.state.leases.values())
        if leases:
            lease = leases[which % len(leases)]
            if which % 3:
                self.complete(lease)
            else:
                self.fail(lease)

    def check(self) -> None:
        by_lane: dict[str, list[Window]] = {}
        for lease in self.state.leases.values():
            by_lane.setdefault(lease.target.key, []).append(lease.window)
        for windows in by_lane.values():
            for one, other in combinations([*windows, *self.claimed()], 2):
                assert one.intersect(other) is None


Step: TypeAlias = Callable[[Both], None]

numbers = st.integers(0, SLOTS - 1)
steps: st.SearchStrategy[Step] = st.one_of(
    st.integers(1, 4).map(lambda limit: lambda both: both.take(limit)),
    st.tuples(numbers, st.integers(1, 15)).map(lambda at: lambda both: both.claim(*at)),
    numbers.map(lambda which: lambda both: both.end_claim(which)),
    numbers.map(lambda which: lambda both: both.end_lease(which)),
    st.sampled_from([50, 100, 2_000]).map(lambda ms: lambda both: both.pass_ms(ms)),
)


@settings(max_examples=200, deadline=None)
@given(st.sampled_from(Policy), st.lists(steps, min_size=10, max_size=60))
def test_a_bar_is_held_once_over_both_protocols(policy: Policy, taken: list[Step]) -> None:
    """In any order of both; and when nobody claims any more, workers end all that is wanted."""
    both = Both(policy)
    for step in taken:
        both.open("w")
        step(both)
        both.check()
    both.pass_ms(4_000)
    both.open("w")
    for _ in range(400):
        reply = both.acquire_reply(limit=9)
        for lease in reply.leases:
            both.complete(lease)
        if not reply.leases:
            both.do(Tick(elapsed_ms=min(reply.wait_ms or 0, 1_000)))
            both.open("w")
    assert both.job("job").todo == ()
    assert both.job("other").todo == ()
