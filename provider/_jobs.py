"""What is being filled behind calls: registry, progress, cancelling."""

import asyncio
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

from avro_schemas import WindowFailure
from bars.series import Series
from bars.window import Window, subtract
from provider._filled import Filled
from provider._flight import Boarding
from provider.metrics import ProviderMetrics
from runtime.log import logger, request

State = Literal["running", "done", "failed", "cancelled"]

log = logger(__name__)


@dataclass(slots=True, eq=False)
class BackfillJob:
    """A fill that runs behind calls. What it says stays true after it has ended."""

    job_id: str
    """The request that it was begun for."""

    series: Series
    windows: tuple[Window, ...]
    """What it brings."""

    state: State = "running"
    failures: tuple[WindowFailure, ...] = ()
    """Windows that finally failed; none is left out."""

    error: str = ""
    """Why it failed as a whole, for people."""

    _progress: Callable[[], float] = field(default=lambda: 0.0, repr=False)
    _told: float = 0.0
    _withdrawn: bool = False
    _ended: asyncio.Event = field(default_factory=asyncio.Event, repr=False)

    @property
    def node_id(self) -> str:
        """Whose bars."""
        return self.series.node

    @property
    def interval(self) -> int:
        """Bar length in seconds."""
        return self.series.interval

    @property
    def progress(self) -> float:
        """How far it is; never falls, and is 1.0 once it has ended by itself."""
        if self.state == "running":
            self._told = max(self._told, min(self._progress(), 0.999))
        return self._told

    async def wait(self) -> None:
        """Return when it has ended, however; to be called in the loop that it runs in."""
        await self._ended.wait()

    def end(self, state: State, filled: Filled | None = None, error: str = "") -> None:
        """Say how it ended."""
        self._told = 1.0 if state in {"done", "failed"} else self.progress
        self.state = state
        self.error = error
        if filled is not None:
            self.failures = filled.failures

    def withdraw(self) -> None:
        """Say that nobody wants what it brings."""
        self._withdrawn = True

    @property
    def withdrawn(self) -> bool:
        """Whether that was said."""
        return self._withdrawn

    def over(self) -> None:
        """Let go of who waits for its end."""
        self._ended.set()


class Jobs:
    """The jobs of one provider that run now."""

    JOBS_MAX = 1_000
    """Jobs at a time; beyond that nothing more is begun behind calls."""

    def __init__(self, metrics: ProviderMetrics) -> None:
        self._metrics = metrics
        self._lock = threading.Lock()
        self._running: dict[str, tuple[BackfillJob, asyncio.Task[None]]] = {}

    def running(self) -> list[BackfillJob]:
        """Return those that run, the oldest first."""
        with self._lock:
            return [job for job, _ in self._running.values()]

    def of(self, series: Series, windows: tuple[Window, ...]) -> BackfillJob | None:
        """Return a job that brings all of some windows already."""
        return next(
            (
                job
                for job in self.running()
                if job.series == series and not subtract(windows, job.windows)
            ),
            None,
        )

    def start(
        self, job_id: str, boarding: Boarding, ended: Callable[[Filled], None]
    ) -> BackfillJob | None:
        """Wait behind the call for what it boarded; None when there is no room for it."""
        job = BackfillJob(
            job_id, boarding.series, boarding.wanted, _progress=lambda: boarding.progress
        )
        with self._lock:
            if len(self._running) >= self.JOBS_MAX:
                boarding.leave()
                log.warning("too_many_jobs", node_id=boarding.series.node, running=self.JOBS_MAX)
                return None
            task = asyncio.get_running_loop().create_task(self._watch(job, boarding, ended))
            self._running[job_id] = (job, task)
        task.add_done_callback(lambda _: self._end(job, boarding))
        self._tell()
        return job

    def cancel(self, job: BackfillJob | str) -> bool:
        """End a job; return whether it was running. Who else waits for the same goes on."""
        job_id = job if isinstance(job, str) else job.job_id
        with self._lock:
            found = self._running.get(job_id)
        if found is None:
            return False
        found[0].withdraw()
        task = found[1]
        task.get_loop().call_soon_threadsafe(task.cancel)
        return True

    async def close(self) -> None:
        """End all of them, and wait for those of this loop."""
        with self._lock:
            tasks = [task for _, task in self._running.values()]
        loop = asyncio.get_running_loop()
        own = [task for task in tasks if task.get_loop() is loop]
        for task in tasks:
            if task in own:
                task.cancel()
            elif not task.get_loop().is_closed():
                task.get_loop().call_soon_threadsafe(task.cancel)
        if own:
            await asyncio.wait(own)

    def _end(self, job: BackfillJob, boarding: Boarding) -> None:
        if job.state == "running":
            job.end("cancelled")
            log.info("backfill_job_cancelled", node_id=job.node_id)
        boarding.leave(withdrawn=job.withdrawn)
        with self._lock:
            self._running.pop(job.job_id, None)
        self._tell()
        job.over()

    async def _watch(
        self, job: BackfillJob, boarding: Boarding, ended: Callable[[Filled], None]
    ) -> None:
        try:
            with request(job.job_id):
                filled = await boarding.result()
        except Exception as e:  # noqa: BLE001  nobody waits here: it is told, not raised
            job.end("failed", error=f"{type(e).__name__}: {e}")
            log.warning("backfill_job_failed", node_id=job.node_id, error=job.error)
            return
        ended(filled)
        job.end("failed" if filled.failures or filled.reason else "done", filled, filled.reason)
        if job.state == "failed":
            windows = [[f.start, f.end, f.error_class] for f in filled.failures]
            log.warning(
                "backfill_job_failed", node_id=job.node_id, error=filled.reason, windows=windows
            )
        else:
            log.info("backfill_job_done", node_id=job.node_id)

    def _tell(self) -> None:
        running = self.running()
        self._metrics.jobs_in_progress.set(len(running))
        self._metrics.queue_depth.set(sum(len(job.windows) for job in running))
