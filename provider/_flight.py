"""Single flight: what is being fetched already is waited for, not fetched again.

A flight brings some windows of one series. Who wants bars boards the flights that have them and
starts one for the rest. A flight ends early when the last who waits for it leaves. Waiters may
live in several event loops; a flight runs in that of whoever started it.
"""

import asyncio
import threading
from collections.abc import Callable, Coroutine, Sequence
from concurrent.futures import Future
from contextlib import suppress
from typing import Any, TypeAlias

from bars.series import Series
from bars.window import Window, intersect, merge, subtract
from provider._filled import Filled, Progress
from runtime import Clock

Bring: TypeAlias = Callable[[tuple[Window, ...], Progress], Coroutine[Any, Any, Filled]]
"""Fetches some windows and tells how far it is."""

WITHDRAWN = "nobody wants it any more"
"""What a flight is cancelled with whose last waiter said that it does not want the bars: what was
asked of others for it is taken back. One that only waits no longer leaves that to go on."""

CLOSE_S = 10.0
"""How long flights that were stopped are waited for at the end."""

_BOARDINGS_MAX = 3
"""Times that a waiter begins anew when a flight ends with the loop that it ran in."""


class _EndedError(Exception):
    """The flight was cancelled, or its loop has ended."""


class Flight:
    """One fetch under way."""

    def __init__(self, windows: tuple[Window, ...], started_s: float) -> None:
        self.windows = windows
        self.started_s = started_s
        self.seconds = sum(w.end - w.start for w in windows)
        self.done: Future[Filled] = Future()
        self.done.set_running_or_notify_cancel()  # a waiter that is cancelled leaves it alone
        self.progress = 0.0
        self.waiters = 0
        self._loop = asyncio.get_running_loop()
        self._task: asyncio.Task[Filled] | None = None

    def start(self, bring: Bring, ended: Callable[["Flight"], None]) -> None:
        """Begin; `ended` is called before whoever waits learns of the end."""
        self._task = self._loop.create_task(bring(self.windows, self.advance))
        self._task.add_done_callback(lambda task: self._end(task, ended))

    @property
    def reachable(self) -> bool:
        """Whether its loop still runs."""
        return self._loop.is_running()

    def stop(self, *, withdrawn: bool = False) -> None:
        """Cancel it, from any thread."""
        if self._task is not None and not self._loop.is_closed():
            why = WITHDRAWN if withdrawn else None
            self._loop.call_soon_threadsafe(self._task.cancel, why)

    def advance(self, share: float) -> None:
        """Take note of how far it is; it never goes back."""
        self.progress = min(1.0, max(self.progress, share))

    def _end(self, task: asyncio.Task[Filled], ended: Callable[["Flight"], None]) -> None:
        ended(self)
        error = _EndedError() if task.cancelled() else task.exception()
        if error is None:
            self.progress = 1.0
            self.done.set_result(task.result())
        else:
            self.done.set_exception(error)


class Boarding:
    """What one caller waits for. `leave` has to be called, once, whatever happens."""

    def __init__(
        self, flights: "Flights", series: Series, wanted: tuple[Window, ...], bring: Bring
    ) -> None:
        self.series = series
        self.wanted = wanted
        self._flights = flights
        self._bring = bring
        self._on: list[Flight] = flights.board(series, wanted, bring)

    @property
    def progress(self) -> float:
        """How far it is, 0 to 1, by the length of what is fetched."""
        whole = sum(flight.seconds for flight in self._on)
        return sum(f.progress * f.seconds for f in self._on) / whole if whole else 1.0

    async def result(self) -> Filled:
        """Return what came of it, as far as this caller wanted it.

        Raises:
            Exception: What a flight ended with.
        """
        for _ in range(_BOARDINGS_MAX):
            lost: list[Flight] = []
            found = []
            for flight in list(self._on):
                try:
                    found.append(await asyncio.wrap_future(flight.done))
                except _EndedError:
                    lost.append(flight)
            if not lost:
                return Filled.of(found).inside(self.wanted)
            self._again(lost)
        raise RuntimeError(f"the fetch of {self.series} was ended {_BOARDINGS_MAX} times")

    def leave(self, *, withdrawn: bool = False) -> None:
        """Wait no more; a flight that nobody waits for is ended.

        Args:
            withdrawn: The bars are not wanted any more, not only not waited for.
        """
        left, self._on = self._on, []
        self._flights.leave(left, withdrawn=withdrawn)

    def _again(self, lost: Sequence[Flight]) -> None:
        self._on = [flight for flight in self._on if flight not in lost]
        rest = intersect(self.wanted, merge(w for flight in lost for w in flight.windows))
        self._on += self._flights.board(self.series, rest, self._bring)


class Flights:
    """The flights of one provider. Thread-safe."""

    def __init__(self, clock: Clock, ttl_s: float) -> None:
        """Make it.

        Args:
            clock: Where time comes from.
            ttl_s: A flight that is older is not boarded any more.
        """
        self._clock = clock
        self._ttl_s = ttl_s
        self._lock = threading.Lock()
        self._by_series: dict[Series, list[Flight]] = {}
        self._stopped: set[Flight] = set()

    async def close(self) -> None:
        """Wait for those that were stopped: they may have something to take back."""
        with self._lock:
            ending = [flight for flight in self._stopped if flight.reachable]
            self._stopped.clear()
        futures = [asyncio.wrap_future(flight.done) for flight in ending]
        for future in futures:
            future.add_done_callback(_looked_at)
        if futures:
            await asyncio.wait(futures, timeout=CLOSE_S)

    def board(self, series: Series, wanted: tuple[Window, ...], bring: Bring) -> list[Flight]:
        """Return the flights that bring what is wanted, the last one begun for what was left."""
        now_s = self._clock.monotonic()
        with self._lock:
            own = self._by_series.setdefault(series, [])
            boarded = [
                flight
                for flight in own
                if now_s - flight.started_s < self._ttl_s and intersect(flight.windows, wanted)
            ]
            rest = subtract(wanted, (w for flight in boarded for w in flight.windows))
            if rest:
                flight = Flight(rest, now_s)
                own.append(flight)
                boarded.append(flight)
                flight.start(bring, lambda ended: self._remove(series, ended))
            for flight in boarded:
                flight.waiters += 1
            return boarded

    def leave(self, flights: Sequence[Flight], *, withdrawn: bool = False) -> None:
        """Take a waiter off each."""
        with self._lock:
            for flight in flights:
                flight.waiters -= 1
                if not flight.waiters and not flight.done.done():
                    for own in self._by_series.values():  # nobody shall board what ends
                        with suppress(ValueError):
                            own.remove(flight)
                    if flight.reachable:
                        self._stopped.add(flight)
                    flight.stop(withdrawn=withdrawn)

    def _remove(self, series: Series, flight: Flight) -> None:
        with self._lock:
            self._stopped.discard(flight)
            own = self._by_series.get(series, [])
            with suppress(ValueError):
                own.remove(flight)
            if not own:
                self._by_series.pop(series, None)


def _looked_at(future: asyncio.Future[Filled]) -> None:
    if not future.cancelled():
        future.exception()  # looked at: nobody here wants to know how it ended
