"""Which window is granted next: priority with ageing, then lanes in turn, then order of submission.

Within a job the oldest window comes first, and one that is due again before a new one.
"""

import heapq
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeAlias

from bars.window import Window, subtract
from coordinator.machine._draft import Draft
from coordinator.machine._windows import overlaps, wanted_parts, wants
from coordinator.machine.state import NEVER_MS, Job, Lane

Place: TypeAlias = tuple[int, int, int, str]
"""Minus the aged priority, last grant and job index of a lane, and its key: the least is next."""


@dataclass(frozen=True, slots=True)
class Head:
    """The window that a lane would be granted."""

    place: Place
    window: Window
    attempts: int

    @property
    def lane_key(self) -> str:
        """The lane."""
        return self.place[-1]


def head(draft: Draft, lane: Lane) -> Head | None:
    """Return what a lane would be granted now, or None.

    The first job in order that has something to fetch decides; others that want the same window
    share it, so a window has the highest priority of its jobs.
    """
    jobs = draft.jobs_of(lane)
    for job in sorted(jobs, key=lambda job: -_aged_priority(draft, job)):
        found = _due_again(draft, lane, job) or _cut(draft, lane, job, jobs)
        if found is not None:
            window, attempts = found
            place = (-_aged_priority(draft, job), lane.last_grant, job.index, lane.target.key)
            return Head(place, window, attempts)
    return None


def grants(draft: Draft, limit: int) -> Iterator[Head]:
    """Yield up to `limit` windows in order; the caller grants each before it asks for the next.

    A lane's head is only looked for when the lane may be next: a cheap bound decides that, so
    a grant does not cost the work of all lanes.
    """
    queue = [_bound(draft, lane) for lane in draft.lanes.values()]
    heapq.heapify(queue)
    granted = 0
    while queue and granted < limit:
        place, found = heapq.heappop(queue)
        lane = draft.lanes[place[-1]]
        if found is None:
            found = head(draft, lane)
            if found is not None:
                heapq.heappush(queue, (found.place, found))
            continue
        yield found
        granted += 1
        heapq.heappush(queue, _bound(draft, draft.lanes[lane.target.key]))


def wait_ms(draft: Draft) -> int | None:
    """Return how long until something may be due by time alone; None: never."""
    due = [
        entry.not_before_ms
        for lane in draft.lanes.values()
        for entry in lane.waiting
        if entry.not_before_ms > draft.clock_ms
    ]
    if draft.next_expiry_ms < NEVER_MS:
        due.append(draft.next_expiry_ms)
    return max(0, min(due) - draft.clock_ms) if due else None


def _bound(draft: Draft, lane: Lane) -> tuple[Place, Head | None]:
    """Return a place in the queue that the lane's head is not before."""
    jobs = draft.jobs_of(lane)
    class_down = -max(_aged_priority(draft, job) for job in jobs)
    return (class_down, lane.last_grant, jobs[0].index, lane.target.key), None


def _aged_priority(draft: Draft, job: Job) -> int:
    return job.spec.priority + (draft.clock_ms - job.served_ms) // draft.config.ageing_ms


def _due_again(draft: Draft, lane: Lane, job: Job) -> tuple[Window, int] | None:
    for entry in lane.waiting:
        if entry.not_before_ms <= draft.clock_ms and wants(job, entry.window):
            return entry.window, entry.attempts
    return None


def _cut(draft: Draft, lane: Lane, job: Job, jobs: tuple[Job, ...]) -> tuple[Window, int] | None:
    """Return the job's first window that nobody has: one grid piece, as far as any job wants it."""
    live = [entry.window for entry in lane.waiting]
    live += [draft.leases[token].window for token in lane.tokens]
    if len(live) >= draft.config.live_windows_max:
        return None
    free = subtract(job.todo, live)
    if not free:
        return None
    start = free[0].start
    piece = _piece(job, start)
    parts = subtract(wanted_parts(jobs, piece), live)
    window = next(part for part in parts if overlaps((part,), Window(start, start + 1)))
    return window, 0


def _piece(job: Job, ts: int) -> Window:
    """Return the stretch between two cuts that holds `ts`."""
    step = job.spec.grid.interval * job.spec.window_bars
    start = ts - (ts - job.spec.grid.origin) % step
    return Window(start, start + step)
