"""Has a fetcher of this process asked by a fetch worker in it: leases, chunks, verdicts, statuses.

What is asked for stays in this process; what comes of it goes the way of all bars over Kafka.
"""

import asyncio
import threading
from collections.abc import AsyncGenerator, Callable
from contextlib import suppress
from functools import partial

import pandas as pd

from avro_schemas import BackfillRequest, BackfillStatus
from bars.series import Series
from bars.window import Window
from provider._ask import Ask
from provider._fill import Fetch
from provider._filled import Filled, Filler, Progress
from runtime import Clock, Settings
from runtime.metrics import Metrics
from sources import Source
from worker import OwnWorker


class AskedFetcher:
    """What a provider was given to fetch with, as a `DataFetcher`."""

    def __init__(self, fetch: Fetch) -> None:
        self._fetch = fetch

    async def fetch(self, start: int, end: int, *, node_id: str, interval: int) -> pd.DataFrame:
        """Return the bars of `[start, end)`."""
        return await self._fetch(Series(node_id, interval), Window(start, end))


class OwnRequests:
    """Requests that a worker of this process serves. May be used from several event loops.

    The worker runs in the loop that asks first, as the fetcher does then.
    """

    go_on = False

    def __init__(self, settings: Settings, source: Source, clock: Clock, metrics: Metrics) -> None:
        # Whoever is hired after a loop has ended counts on.
        self._hire: Callable[[], OwnWorker] = partial(OwnWorker, settings, source, clock, metrics)
        self._lock = threading.Lock()
        self._worker: OwnWorker | None = None

    async def submit(
        self, request: BackfillRequest, on_sent: Callable[[], None]
    ) -> AsyncGenerator[BackfillStatus]:
        """Yield each status of a request, the last one being final.

        Who listens no longer takes the request back.

        Args:
            request: What is wanted.
            on_sent: Called when the worker has it.

        Raises:
            SecondWorkerError: Without a lease service there may be one fetch worker, and another
                one runs.
            SeamlessError: The worker cannot work.
        """
        loop, statuses = asyncio.get_running_loop(), asyncio.Queue[BackfillStatus | None]()

        def told(status: BackfillStatus) -> None:
            with suppress(RuntimeError):  # a loop that is closed listens no more
                loop.call_soon_threadsafe(statuses.put_nowait, status)

        worker = self._working()
        serving = asyncio.wrap_future(
            asyncio.run_coroutine_threadsafe(worker.serve(request, told), worker.loop)
        )
        on_sent()
        serving.add_done_callback(lambda _: statuses.put_nowait(None))
        try:
            while (status := await statuses.get()) is not None:
                yield status
                if status.state.final:
                    return
            serving.result()
        finally:
            serving.cancel()

    async def take_back(self, request_id: str) -> None:
        """Nothing: who stops listening has done it."""

    async def close(self) -> None:
        """End the worker; harmless when repeated."""
        with self._lock:
            worker, self._worker = self._worker, None
        if worker is not None and worker.alive:
            ending = asyncio.run_coroutine_threadsafe(worker.close(), worker.loop)
            await asyncio.wrap_future(ending)

    def _working(self) -> OwnWorker:
        with self._lock:
            if self._worker is None or not self._worker.alive:
                self._worker = self._hire()
            return self._worker


class SplitFiller:
    """Series that list a source of this process are brought by it, the others over Kafka."""

    def __init__(self, own: Filler, others: Filler, is_own: Callable[[Series], bool]) -> None:
        self._own = own
        self._others = others
        self._is_own = is_own

    def goes_on(self, ask: Ask) -> bool:
        """Return whether what nobody waits for is brought all the same."""
        return self._of(ask).goes_on(ask)

    def pieces(self, ask: Ask, gaps: tuple[Window, ...]) -> tuple[Window, ...]:
        """Return what is asked for at a time."""
        return self._of(ask).pieces(ask, gaps)

    async def fill(self, ask: Ask, gaps: tuple[Window, ...], progress: Progress) -> Filled:
        """Return once every gap is in the ledger or has finally failed."""
        return await self._of(ask).fill(ask, gaps, progress)

    async def close(self) -> None:
        """Close both."""
        await self._own.close()
        await self._others.close()

    def _of(self, ask: Ask) -> Filler:
        return self._own if self._is_own(ask.series) else self._others
