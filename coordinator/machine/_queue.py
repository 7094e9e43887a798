"""Which window is granted next: priority with ageing, then lanes in turn, then order of submission.

Within a lane the policy of the lane decides. `head` is the definition; the rest keeps an index, so
that a grant looks at one lane.
"""

from dataclasses import dataclass

from bars.window import Window, merge, subtract
from coordinator.machine._draft import Draft
from coordinator.machine._ranges import first_outside, last_outside
from coordinator.machine._windows import wanted_parts, wants
from coordinator.machine.state import NEVER_MS, Job, Lane, Place, Placed, Waiting
from coordinator.machine.values import Policy


@dataclass(frozen=True, slots=True)
class Head:
    """The window that a lane would be granted."""

    place: Place
    window: Window
    attempts: int


def head(draft: Draft, lane: Lane) -> Head | None:
    """Return what a lane that is not paused would be granted now, or None.

    The first job in order that has something to fetch decides; others that want the same window
    share it, so a window has the highest priority of its jobs.
    """
    rule = draft.rules.get(lane.target.key)
    policy = Policy.ANY if rule is None else rule.policy
    jobs = [job for job in draft.jobs_of(lane) if job.todo]
    jobs.sort(key=lambda job: -_aged_priority(draft, job))
    if policy is Policy.STRICT_OLDEST_FIRST:
        found = _oldest(draft, lane, jobs) if jobs and not lane.tokens else None
        return None if found is None else _placed_head(draft, lane, jobs[0], found)
    for job in jobs:
        found = _newest(draft, lane, job, jobs) if policy is Policy.NEWEST_FIRST else None
        if policy is Policy.ANY:
            found = _due_again(draft, lane, job) or _cut(draft, lane, job, jobs, newest=False)
        if found is not None:
            return _placed_head(draft, lane, job, found)
    return None


def next_lane(draft: Draft, lanes: tuple[str, ...] = ()) -> Lane | None:
    """Return the lane that is granted something next, or None; for a settled draft.

    A source that has asked for a pause, or is asked as often as it may be, is passed over, and so
    is one that is not among `lanes`, if there are any.
    """
    places = [
        first[0]
        for source, queue in draft.queues.now.between()
        if (not lanes or source in lanes)
        and (draft.asking.get(source) or 0) < draft.config.source_requests_max
        and source not in draft.pauses
        and (first := queue.first()) is not None
    ]
    return draft.lanes[min(places)[-1]] if places else None


def pass_over_time(draft: Draft) -> None:
    """Look again at the lanes and sources whose turn may have come with time."""
    for table in (draft.due, draft.ages):
        for (_, lane_key), _ in table.now.between(None, (draft.clock_ms + 1, "")):
            draft.dirty[lane_key] = None
    for source, until_ms in tuple(draft.pauses.now.between()):
        if until_ms <= draft.clock_ms:
            draft.pauses.drop(source)


def settle(draft: Draft) -> None:
    """Work out where the lanes stand in the queue that have changed."""
    for lane_key in draft.dirty:
        lane = draft.lanes.get(lane_key)
        draft.place(lane_key, Placed(place=None) if lane is None else _look(draft, lane))
    draft.dirty.clear()


def wait_ms(draft: Draft) -> int | None:
    """Return how long until something is due by time alone, for a settled draft; None: never."""
    firsts = [
        first[0][0]
        for first in (
            draft.due.now.first(),
            draft.session_ends.now.first(),
            draft.lease_ends.now.first(),
        )
        if first is not None
    ]
    firsts += [until_ms for _, until_ms in draft.pauses.now.between()]
    return max(0, min(firsts) - draft.clock_ms) if firsts else None


def _look(draft: Draft, lane: Lane) -> Placed:
    rule = draft.rules.get(lane.target.key)
    if rule is not None and rule.paused:
        return Placed(place=None)
    found = head(draft, lane)
    later = [e.not_before_ms for e in lane.waiting if e.not_before_ms > draft.clock_ms]
    ages_ms = NEVER_MS
    if found is not None:
        ages_ms = min(_ages_ms(draft, job) for job in draft.jobs_of(lane) if job.todo)
    place = None if found is None else found.place
    return Placed(place=place, due_ms=min(later, default=NEVER_MS), ages_ms=ages_ms)


def _aged_priority(draft: Draft, job: Job) -> int:
    return job.spec.priority + (draft.clock_ms - job.served_ms) // draft.config.ageing_ms


def _ages_ms(draft: Draft, job: Job) -> int:
    """Return when a job will be one priority older."""
    age_ms = draft.clock_ms - job.served_ms
    return draft.clock_ms + draft.config.ageing_ms - age_ms % draft.config.ageing_ms


def _placed_head(draft: Draft, lane: Lane, job: Job, found: tuple[Window, int]) -> Head:
    place = (-_aged_priority(draft, job), lane.last_grant, job.index, lane.target.key)
    return Head(place, *found)


def _due(draft: Draft, entry: Waiting) -> bool:
    return entry.not_before_ms <= draft.clock_ms


def _due_again(draft: Draft, lane: Lane, job: Job) -> tuple[Window, int] | None:
    for entry in lane.waiting:
        if _due(draft, entry) and wants(job, entry.window):
            return entry.window, entry.attempts
    return None


def _newest(draft: Draft, lane: Lane, job: Job, jobs: list[Job]) -> tuple[Window, int] | None:
    """Return the job's newest window: one that is due again, or one that nobody has."""
    due = [e for e in lane.waiting if _due(draft, e) and wants(job, e.window)]
    cut = _cut(draft, lane, job, jobs, newest=True)
    if due and (cut is None or due[-1].window > cut[0]):
        return due[-1].window, due[-1].attempts
    return cut


def _oldest(draft: Draft, lane: Lane, jobs: list[Job]) -> tuple[Window, int] | None:
    """Return the lane's oldest window, unless it waits."""
    job = min(jobs, key=lambda job: (job.todo[0].start, job.index))
    start = job.todo[0].start
    for entry in lane.waiting:
        if start in entry.window:
            return (entry.window, entry.attempts) if _due(draft, entry) else None
    return _piece_at(job, jobs, start, _live(draft, lane)), 0


def _live(draft: Draft, lane: Lane) -> list[Window]:
    live = [entry.window for entry in lane.waiting]
    return live + [draft.leases[token].window for token in lane.tokens]


def _cut(
    draft: Draft, lane: Lane, job: Job, jobs: list[Job], *, newest: bool
) -> tuple[Window, int] | None:
    """Return the job's first or last window that nobody has, as far as any job wants it."""
    live = _live(draft, lane)
    if len(live) >= draft.config.live_windows_max:
        return None
    ts = last_outside(job.todo, merge(live)) if newest else first_outside(job.todo, merge(live))
    return None if ts is None else (_piece_at(job, jobs, ts, live), 0)


def _piece_at(job: Job, jobs: list[Job], ts: int, live: list[Window]) -> Window:
    """Return the stretch between two cuts that holds `ts`, less what is live or not wanted."""
    step = job.spec.grid.interval * job.spec.window_bars
    start = ts - (ts - job.spec.grid.origin) % step
    parts = subtract(wanted_parts(jobs, Window(start, start + step)), live)
    return next(part for part in parts if ts in part)
