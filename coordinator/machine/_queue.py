"""Which window is granted next: priority with ageing, then lanes in turn, then order of submission.

Within a job the oldest window comes first, and one that is due again before a new one.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from bars.window import Window, subtract
from coordinator.machine._draft import Draft
from coordinator.machine._windows import overlaps, wanted_parts, wants
from coordinator.machine.state import NEVER_MS, Job, Lane


@dataclass(frozen=True, slots=True, order=True)
class Head:
    """The window that a lane would be granted; the least one is served first."""

    class_down: int
    """Minus the priority, aged."""

    last_grant: int
    index: int
    lane_key: str
    window: Window
    attempts: int


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
            return Head(
                class_down=-_aged_priority(draft, job),
                last_grant=lane.last_grant,
                index=job.index,
                lane_key=lane.target.key,
                window=window,
                attempts=attempts,
            )
    return None


def grants(draft: Draft, limit: int) -> Iterator[Head]:
    """Yield up to `limit` windows in order; the caller grants each before it asks for the next."""
    heads = {key: head(draft, lane) for key, lane in draft.lanes.now.items()}
    for _ in range(limit):
        first = min((h for h in heads.values() if h is not None), default=None)
        if first is None:
            return
        yield first
        heads[first.lane_key] = head(draft, draft.lanes[first.lane_key])


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
