"""The order of the queue as it is defined, slot by slot and lane by lane: slow and plain."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from bars.series import Series
from bars.window import Window
from coordinator.machine import Policy, SeriesLane, State
from coordinator.machine.state import Job, Lane, Waiting


def slots_of(*windows: Window) -> set[int]:
    """Return the open times inside windows of a series with bars of one second."""
    return {ts for window in windows for ts in range(window.start, window.end)}


def claims_of(state: State, series: Series) -> list[Window]:
    """Return what is claimed of a series."""
    claims = [session.claim for session in state.sessions.values() if session.claim]
    return [claim.window for claim in claims if claim.series == series]


def run_around(ts: int, slots: set[int]) -> Window:
    """Return the longest stretch of slots that holds `ts`."""
    start = end = ts
    while start - 1 in slots:
        start -= 1
    while end in slots:
        end += 1
    return Window(start, end)


@dataclass
class Wanted:
    """What the model knows of a job: the slots it still wants, and which fetches count."""

    target: SeriesLane
    slots: set[int]
    since: int = 0
    failed: set[int] = field(default_factory=set)


@dataclass
class LaneModel:
    """What the model knows of a lane: what is done, and where the chunks stand."""

    offsets: dict[int, int] = field(default_factory=dict)
    """Chunk offset of each slot that is done, by its newest fetch."""

    forced: set[int] = field(default_factory=set)


class PlainLane:
    """One lane of a state, all of it looked at."""

    def __init__(self, state: State, lane: Lane) -> None:
        self.state, self.lane = state, lane
        rule = state.rules.get(lane.target.key)
        self.paused = rule is not None and rule.paused
        self.policy = Policy.ANY if rule is None else rule.policy
        jobs = [job for job in state.jobs.values() if job.spec.target == lane.target and job.todo]
        self.jobs = sorted(jobs, key=lambda job: (-self.priority(job), job.index))
        self.leases = [e for e in state.leases.values() if e.target == lane.target]
        self.claimed = slots_of(*claims_of(state, lane.target.series))
        self.live = self.claimed | slots_of(
            *(entry.window for entry in lane.waiting), *(lease.window for lease in self.leases)
        )

    def priority(self, job: Job) -> int:
        age_ms = self.state.clock_ms - job.served_ms
        return job.spec.priority + age_ms // self.state.config.ageing_ms

    def free(self, entry: Waiting) -> bool:
        due = entry.not_before_ms <= self.state.clock_ms
        return due and not self.claimed & slots_of(entry.window)

    def due(self, job: Job) -> list[Waiting]:
        wanted = slots_of(*job.todo)
        return [
            entry
            for entry in self.lane.waiting
            if self.free(entry) and wanted & slots_of(entry.window)
        ]

    def cut(self, job: Job, ts: int) -> Window:
        """Return the piece of the grid around `ts`, as far as any job wants it and nobody has."""
        first = ts - ts % job.spec.window_bars
        piece = set(range(first, first + job.spec.window_bars))
        wanted: set[int] = set().union(*(slots_of(*each.todo) for each in self.jobs))
        return run_around(ts, (wanted & piece) - self.live)

    def choices(self, job: Job) -> Iterable[tuple[Window, int]]:
        """Yield what the job may be granted: retries that are due, and its first or last cut."""
        yield from ((entry.window, entry.attempts) for entry in self.due(job))
        free = slots_of(*job.todo) - self.live
        if free and len(self.lane.waiting) + len(self.leases) < self.state.config.live_windows_max:
            newest = self.policy is Policy.NEWEST_FIRST
            yield self.cut(job, max(free) if newest else min(free)), 0

    def strict(self) -> tuple[Job, Window, int] | None:
        if not self.jobs or self.leases:
            return None
        start = min(job.todo[0].start for job in self.jobs)
        for entry in self.lane.waiting:
            if start in slots_of(entry.window):
                free = self.free(entry)
                return (self.jobs[0], entry.window, entry.attempts) if free else None
        if start in self.claimed:
            return None
        owner = min(self.jobs, key=lambda job: (job.todo[0].start, job.index))
        return self.jobs[0], self.cut(owner, start), 0

    def head(self) -> tuple[Job, Window, int] | None:
        """Return what the lane would be granted, and the job that decides its place."""
        if self.paused:
            return None
        if self.policy is Policy.STRICT_OLDEST_FIRST:
            return self.strict()
        for job in self.jobs:
            choices = list(self.choices(job))
            if choices and self.policy is Policy.NEWEST_FIRST:
                return (job, *max(choices))
            if choices:
                return (job, *choices[0])
        return None


def plain_next(state: State, lanes: tuple[str, ...] = ()) -> tuple[SeriesLane, Window, int] | None:
    """Return the lane, window and attempts of the next grant by the definition of the order."""
    best = None
    for lane in state.lanes.values():
        source = lane.target.lane
        asking = [e for e in state.leases.values() if e.asking and e.target.lane == source]
        plain = PlainLane(state, lane)
        found = plain.head()
        paused = state.pauses.get(source, 0) > state.clock_ms
        if lanes and source not in lanes:
            continue
        if found is None or paused or len(asking) >= state.config.source_requests_max:
            continue
        job, window, attempts = found
        place = (-plain.priority(job), lane.last_grant, job.index, lane.target.key)
        if best is None or place < best[0]:
            best = (place, lane.target, window, attempts)
    return None if best is None else best[1:]
