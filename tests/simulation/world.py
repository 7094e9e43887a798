"""Virtual time and chance, and PySyncObj made to use both."""

import heapq
import itertools
import logging
import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pysyncobj.syncobj


class World:
    """A scheduler: one thing after another, each at its time."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.now = 0.0
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._numbers = itertools.count()
        self._local = self._true

    def _true(self) -> float:
        return self.now

    def _read(self) -> float:
        return self._local()

    def chance(self, what: str) -> random.Random:
        """Return a source of chance of its own: one more draw elsewhere changes nothing here."""
        return random.Random(f"{self.seed}/{what}")

    def at(self, when: float, do: Callable[[], None]) -> None:
        """Have something done at a time; in the order of asking where times are equal."""
        heapq.heappush(self._events, (max(when, self.now), next(self._numbers), do))

    def after(self, seconds: float, do: Callable[[], None]) -> None:
        """Have something done so much later."""
        self.at(self.now + seconds, do)

    def run_until(self, end: float) -> None:
        """Let time pass."""
        while self._events and self._events[0][0] <= end:
            self.now, _, do = heapq.heappop(self._events)
            do()
        self.now = end

    @contextmanager
    def seen_by(self, clock: Callable[[], float]) -> Iterator[None]:
        """Have PySyncObj read a node's own clock while that node is at work."""
        before, self._local = self._local, clock
        try:
            yield
        finally:
            self._local = before

    @contextmanager
    def installed(self) -> Iterator[None]:
        """Give PySyncObj this world's time and chance, and keep it from logging."""
        library = pysyncobj.syncobj
        clock, chance = library.monotonicTime, library.random
        library.monotonicTime = self._read
        library.random = self.chance("elections")
        log = logging.getLogger("pysyncobj")
        level = log.level
        log.setLevel(logging.CRITICAL + 1)
        try:
            yield
        finally:
            library.monotonicTime, library.random = clock, chance
            log.setLevel(level)
