"""Windows that were given up, remembered so that a person can find them."""

from collections.abc import Iterator
from dataclasses import replace

from bars.window import Window, subtract
from coordinator.machine._draft import Draft
from coordinator.machine._sorted import SortedMap
from coordinator.machine.state import Poisoned, PoisonKey
from coordinator.machine.values import Failure, SeriesLane


def poison(draft: Draft, target: SeriesLane, failure: Failure, token: int) -> None:
    """Remember a window that was given up, in the place of what was known of it."""
    cut_poisoned(draft, target, failure.window)
    draft.put_poisoned(
        Poisoned(
            target=target,
            failure=failure,
            token=token,
            given_up_ms=draft.clock_ms,
            index=draft.next_index(),
        )
    )


def cut_poisoned(draft: Draft, target: SeriesLane, window: Window) -> None:
    """Forget that anything inside a window was given up; what sticks out stays."""
    for known in tuple(poisoned_in(draft.poisoned, target, window)):
        draft.drop_poisoned(known)
        for part in subtract((known.failure.window,), (window,)):
            draft.put_poisoned(replace(known, failure=replace(known.failure, window=part)))


def poisoned_in(
    poisoned: SortedMap[PoisonKey, Poisoned], target: SeriesLane, window: Window
) -> Iterator[Poisoned]:
    """Yield what was given up of a lane and overlaps a window, ascending."""
    before = poisoned.before((target.key, window.start))
    if before is not None and before[1].target == target and _reaches(before[1], window):
        yield before[1]
    for _, known in poisoned.between((target.key, window.start), (target.key, window.end)):
        yield known


def _reaches(known: Poisoned, window: Window) -> bool:
    return known.failure.window.end > window.start
