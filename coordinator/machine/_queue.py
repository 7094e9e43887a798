"""Which window is granted next: priority with ageing, then lanes in turn, then order of submission.

Within a lane the policy of the lane decides. `head` is the definition; the rest keeps an index, so
that a grant looks at one lane, and at that one once.
"""

from bars.window import Window, merge
from coordinator.machine._draft import Draft
from coordinator.machine._ranges import around, first_outside, last_outside
from coordinator.machine._windows import wanted_parts, wants
from coordinator.machine.state import NEVER_MS, Job, Lane, Place, Placed, Waiting
from coordinator.machine.values import Policy


def head(draft: Draft, lane: Lane, jobs: list[Job]) -> tuple[Place, tuple[Window, int]] | None:
    """Return where a lane that is not paused stands, and what it would be granted; None: nothing.

    The first job in order that has something to fetch decides; others that want the same window
    share it, so a window has the highest priority of its jobs.

    Args:
        draft: The state.
        lane: The lane.
        jobs: Those of its jobs that have something to fetch.
    """
    rule = draft.rules.get(lane.target.key)
    policy = Policy.ANY if rule is None else rule.policy
    if len(jobs) > 1:
        jobs = sorted(jobs, key=lambda job: -_aged_priority(draft, job))
    if policy is Policy.STRICT_OLDEST_FIRST:
        found = _oldest(draft, lane, jobs) if jobs and not lane.tokens else None
        return None if found is None else (_place(draft, lane, jobs[0]), found)
    for job in jobs:
        found = _newest(draft, lane, job, jobs) if policy is Policy.NEWEST_FIRST else None
        if policy is Policy.ANY:
            found = _due_again(draft, lane, job) or _cut(draft, lane, job, jobs, newest=False)
        if found is not None:
            return _place(draft, lane, job), found
    return None


def next_lane(draft: Draft, lanes: tuple[str, ...] = ()) -> Lane | None:
    """Return the lane that is granted something next, or None; for a settled draft.

    A source that has asked for a pause, or is asked as often as it may be, is passed over, and so
    is one that is not among `lanes`, if there are any.
    """
    places = [
        first[0]
        for source, queue in draft.queues.between()
        if (not lanes or source in lanes)
        and (draft.asking.get(source) or 0) < draft.config.source_requests_max
        and source not in draft.pauses
        and (first := queue.first()) is not None
    ]
    return draft.lanes[min(places)[-1]] if places else None


def pass_over_time(draft: Draft) -> None:
    """Look again at the lanes and sources whose turn may have come with time."""
    for table in (draft.due, draft.ages):
        first = table.first()
        if first is None or first[0][0] > draft.clock_ms:
            continue
        for (_, lane_key), _ in table.between(None, (draft.clock_ms + 1, "")):
            draft.dirty[lane_key] = None
    for source, until_ms in tuple(draft.pauses.between()) if draft.pauses else ():
        if until_ms <= draft.clock_ms:
            draft.pauses = draft.pauses.drop(source)


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
            draft.due.first(),
            draft.session_ends.first(),
            draft.lease_ends.first(),
        )
        if first is not None
    ]
    firsts += [until_ms for _, until_ms in draft.pauses.between()]
    return max(0, min(firsts) - draft.clock_ms) if firsts else None


def _look(draft: Draft, lane: Lane) -> Placed:
    rule = draft.rules.get(lane.target.key)
    if rule is not None and rule.paused:
        return Placed(place=None)
    jobs = [job for job in draft.jobs_of(lane) if job.todo]
    found = head(draft, lane, jobs)
    later = [e.not_before_ms for e in lane.waiting if e.not_before_ms > draft.clock_ms]
    due_ms = min(later, default=NEVER_MS)
    if found is None:
        return Placed(place=None, due_ms=due_ms)
    ages_ms = min([_ages_ms(draft, job) for job in jobs])
    return Placed(place=found[0], due_ms=due_ms, ages_ms=ages_ms, head=found[1])


def _aged_priority(draft: Draft, job: Job) -> int:
    return job.spec.priority + (draft.clock_ms - job.served_ms) // draft.config.ageing_ms


def _ages_ms(draft: Draft, job: Job) -> int:
    """Return when a job will be one priority older."""
    age_ms = draft.clock_ms - job.served_ms
    return draft.clock_ms + draft.config.ageing_ms - age_ms % draft.config.ageing_ms


def _place(draft: Draft, lane: Lane, job: Job) -> Place:
    return -_aged_priority(draft, job), lane.last_grant, job.index, lane.target.key


def _due(draft: Draft, entry: Waiting) -> bool:
    return entry.not_before_ms <= draft.clock_ms


def _due_again(draft: Draft, lane: Lane, job: Job) -> tuple[Window, int] | None:
    for entry in lane.waiting:
        if _due(draft, entry) and wants(job, entry.window) and not _claimed(draft, lane, entry):
            return entry.window, entry.attempts
    return None


def _newest(draft: Draft, lane: Lane, job: Job, jobs: list[Job]) -> tuple[Window, int] | None:
    """Return the job's newest window: one that is due again, or one that nobody has."""
    due = [e for e in lane.waiting if _due(draft, e) and wants(job, e.window)]
    due = [entry for entry in due if not _claimed(draft, lane, entry)]
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
            free = _due(draft, entry) and not _claimed(draft, lane, entry)
            return (entry.window, entry.attempts) if free else None
    claims = _claims(draft, lane)
    if any(start in claim for claim in claims):
        return None
    return _piece_at(job, jobs, start, merge(_live(draft, lane) + claims)), 0


def _live(draft: Draft, lane: Lane) -> list[Window]:
    live = [entry.window for entry in lane.waiting]
    return live + [draft.leases[token].window for token in lane.tokens]


def _claims(draft: Draft, lane: Lane) -> list[Window]:
    return [claim.window for claim in draft.claims_of(lane.target.series)]


def _claimed(draft: Draft, lane: Lane, entry: Waiting) -> bool:
    return any(claim.intersect(entry.window) for claim in _claims(draft, lane))


def _cut(
    draft: Draft, lane: Lane, job: Job, jobs: list[Job], *, newest: bool
) -> tuple[Window, int] | None:
    """Return the job's first or last window that nobody has, as far as any job wants it."""
    live = _live(draft, lane)
    if len(live) >= draft.config.live_windows_max:
        return None
    taken = merge(live + _claims(draft, lane))
    ts = last_outside(job.todo, taken) if newest else first_outside(job.todo, taken)
    return None if ts is None else (_piece_at(job, jobs, ts, taken), 0)


def _piece_at(job: Job, jobs: list[Job], ts: int, taken: tuple[Window, ...]) -> Window:
    """Return the stretch between two cuts that holds `ts`, less what is taken or not wanted."""
    step = job.spec.grid.interval * job.spec.window_bars
    start = ts - (ts - job.spec.grid.origin) % step
    return around(wanted_parts(jobs, Window(start, start + step)), ts, taken)
