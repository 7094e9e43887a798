"""Jobs: taken in, taken back, asked after."""

from dataclasses import replace

from bars.window import Window, merge, subtract
from coordinator.machine import commands as c
from coordinator.machine._draft import Draft
from coordinator.machine._refuse import invalid
from coordinator.machine._windows import advance, drop_unwanted
from coordinator.machine.replies import Code, JobCancelled, JobFinished, JobSubmitted, Reply
from coordinator.machine.state import Job, Lane
from coordinator.machine.values import (
    NAME_CHARS_MAX,
    PRIORITY_MAX,
    JobSpec,
    JobState,
    MachineConfig,
)

WINDOW_BARS_MAX = 2_000


def submit_job(draft: Draft, command: c.SubmitJob) -> Reply:
    """Take a job in; the same one again changes nothing, whatever it lacks by now."""
    spec = command.spec
    known = draft.jobs.get(spec.job_id)
    if known is not None:
        asked = replace(spec, missing=(), session_bars=known.spec.session_bars)
        same = asked == known.spec
        return Reply(code=Code.OK if same else Code.JOB_CONFLICT, job=job_state(known))
    refusal = _refusal(spec, draft.config)
    if refusal is not None:
        return refusal
    if len(draft.jobs) >= draft.config.jobs_max:
        return Reply(code=Code.TOO_MANY, message=f"{draft.config.jobs_max} jobs are held already")
    lane = draft.lanes.get(spec.target.key) or Lane(target=spec.target)
    job = _job_of(draft, spec, lane)
    draft.put_job(job)
    draft.put_lane(replace(lane, job_ids=(*lane.job_ids, spec.job_id)))
    advance(draft, spec.target)
    draft.events.append(JobSubmitted(job_id=spec.job_id, target=spec.target))
    if not job.todo:
        draft.events.append(JobFinished(job_id=spec.job_id))
    return Reply(code=Code.OK, job=job_state(job))


def cancel_job(draft: Draft, command: c.CancelJob) -> Reply:
    """Forget a job, and what nobody else wants."""
    job = draft.jobs.get(command.job_id)
    if job is None:
        return Reply(code=Code.UNKNOWN_JOB)
    draft.jobs = draft.jobs.drop(command.job_id)
    target = job.spec.target
    lane = draft.lanes[target.key]
    job_ids = tuple(job_id for job_id in lane.job_ids if job_id != command.job_id)
    draft.put_lane(replace(lane, job_ids=job_ids))
    drop_unwanted(draft, target)
    draft.events.append(JobCancelled(job_id=command.job_id))
    return Reply(code=Code.OK, job=job_state(job))


def query_job(draft: Draft, command: c.QueryJob) -> Reply:
    """Tell how far a job is."""
    job = draft.jobs.get(command.job_id)
    if job is None:
        return Reply(code=Code.UNKNOWN_JOB)
    return Reply(code=Code.OK, job=job_state(job))


def job_state(job: Job) -> JobState:
    """Return what is told of a job."""
    return JobState(
        job_id=job.spec.job_id,
        target=job.spec.target,
        todo=job.todo,
        failed=job.failed,
        failures=job.failures,
        since=job.since,
        bars=job.bars,
        bars_done=job.bars_done,
    )


def _job_of(draft: Draft, spec: JobSpec, lane: Lane) -> Job:
    missing = merge(spec.missing)
    todo = missing if spec.refetch else subtract(missing, lane.done)
    slots = sum(spec.grid.slots(window) for window in missing)
    left = sum(spec.grid.slots(window) for window in todo)
    bars = slots if spec.session_bars is None else spec.session_bars
    return Job(
        spec=replace(spec, missing=()),
        todo=todo,
        index=draft.next_index(),
        served_ms=draft.clock_ms,
        slots=slots,
        bars=bars,
        bars_done=bars * (slots - left) // slots if todo else bars,
        since=draft.last_token if spec.refetch else 0,
    )


def _refusal(spec: JobSpec, config: MachineConfig) -> Reply | None:
    if not 0 < len(spec.job_id) <= NAME_CHARS_MAX:
        return invalid("job_id", spec.job_id, f"1 to {NAME_CHARS_MAX} characters")
    if abs(spec.priority) > PRIORITY_MAX:
        return invalid("priority", spec.priority, f"-{PRIORITY_MAX} to {PRIORITY_MAX}")
    if not 0 < spec.window_bars <= WINDOW_BARS_MAX:
        return invalid("window_bars", spec.window_bars, f"1 to {WINDOW_BARS_MAX}")
    if spec.grid.interval != spec.target.series.interval:
        return invalid("grid", spec.grid.interval, f"{spec.target.series.interval} seconds wide")
    return _extent_refusal(spec, config)


def _extent_refusal(spec: JobSpec, config: MachineConfig) -> Reply | None:
    if len(spec.missing) > config.ranges_max:
        return invalid("missing", len(spec.missing), f"at most {config.ranges_max} ranges")
    if subtract(spec.missing, (spec.window,)):
        return invalid("missing", str(spec.window), "inside the job's window")
    pieces = sum(_pieces(spec, window) for window in spec.missing)
    if pieces > config.windows_max:
        return invalid("missing", pieces, f"at most {config.windows_max} windows of window_bars")
    slots = sum(spec.grid.slots(window) for window in merge(spec.missing))
    if spec.session_bars is not None and not 0 <= spec.session_bars <= slots:
        return invalid("session_bars", spec.session_bars, f"0 to {slots}, the slots of missing")
    return None


def _pieces(spec: JobSpec, window: Window) -> int:
    step = spec.grid.interval * spec.window_bars
    origin = spec.grid.origin
    return (window.end - 1 - origin) // step - (window.start - origin) // step + 1
