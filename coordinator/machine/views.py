"""What is read out of a state: how complete lanes are, what stands in a lane. Pure."""

from collections.abc import Iterable
from dataclasses import dataclass

from bars.window import Window
from coordinator.machine._admin import window_token as _window_token
from coordinator.machine._configure import differences
from coordinator.machine._draft import Draft
from coordinator.machine._jobs import job_state as _job_state
from coordinator.machine._poison import poisoned_in as _poisoned_in
from coordinator.machine.state import Poisoned, State
from coordinator.machine.values import JobState, SeriesLane

__all__ = [
    "Completion",
    "completion",
    "differences",
    "job_state",
    "jobs_in_progress",
    "poisoned_in",
    "total",
    "window_token",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Completion:
    """How much of what is wanted is done, in bars that there should be."""

    bars: int = 0
    """Session bars that jobs want; where jobs overlap each counts its own."""

    bars_done: int = 0
    """Of them done; what was given up is not."""

    @property
    def ratio(self) -> float:
        """In [0, 1]; 1 where nothing is wanted."""
        return self.bars_done / self.bars if self.bars else 1.0


def completion(state: State) -> dict[str, Completion]:
    """Return the completion of each lane that jobs want, by its key, ascending."""
    totals: dict[str, Completion] = {key: Completion() for key in state.lanes}
    for job in state.jobs.values():
        key = job.spec.target.key
        totals[key] = Completion(
            bars=totals[key].bars + job.bars, bars_done=totals[key].bars_done + job.bars_done
        )
    return totals


def total(parts: Iterable[Completion]) -> Completion:
    """Return the completion of several lanes together."""
    bars = bars_done = 0
    for part in parts:
        bars, bars_done = bars + part.bars, bars_done + part.bars_done
    return Completion(bars=bars, bars_done=bars_done)


def jobs_in_progress(state: State) -> int:
    """Return how many jobs still lack something that may come."""
    return sum(1 for job in state.jobs.values() if job.todo)


def job_state(state: State, job_id: str) -> JobState | None:
    """Return what is told of a job; None when it is not known."""
    job = state.jobs.get(job_id)
    return None if job is None else _job_state(job)


def window_token(state: State, target: SeriesLane, window: Window) -> int:
    """Return the version of a window, which commands of people have to name.

    The highest token of what overlaps it, leased, waiting for a retry or given up; 0 if nothing
    does.
    """
    return _window_token(Draft(state), target, window)


def poisoned_in(state: State, target: SeriesLane, window: Window) -> tuple[Poisoned, ...]:
    """Return what was given up of a lane and overlaps a window, ascending."""
    return tuple(_poisoned_in(state.poisoned, target, window))
