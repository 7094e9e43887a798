"""What happened lately, by its place in the log: a ring of events that readers follow.

The ring is bounded. Who comes for what it no longer holds is told that there is a gap and must
read the state before going on.
"""

import asyncio
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

from coordinator._service.log import ReplicatedLog
from coordinator.machine import Event
from coordinator.waits import until
from runtime.clock import Clock

EVENTS_MAX = 20_000


@dataclass(frozen=True, slots=True)
class Told:
    """One event."""

    index: int
    """Raft index of the entry that made it; several events may share one."""

    event: Event


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """The answer to whoever watches."""

    events: tuple[Told, ...]
    next_index: int
    """Where to go on."""

    gap: bool
    """Whether events are missing between what was asked for and the first of these."""


class Watch:
    """The newest events of one node."""

    def __init__(self, log: ReplicatedLog, clock: Clock, events_max: int = EVENTS_MAX) -> None:
        self._clock = clock
        self._ring: deque[tuple[int, Sequence[Event]]] = deque()
        """By entry: the log is told of many, and few are asked for."""

        self._held = 0
        self._events_max = events_max
        self._applied = log.status().applied_index
        self._whole_from = self._applied + 1
        self._news: asyncio.Event | None = None
        self._closed = False
        self._unsubscribe = log.subscribe(self._on_entry)

    def close(self) -> None:
        """Listen no longer, and let nobody wait any more."""
        self._closed = True
        self._unsubscribe()
        self._tell()

    async def page(self, from_index: int, limit: int, wait_s: float) -> Page:
        """Return events from an index on, waiting up to `wait_s` for the first.

        Args:
            from_index: Index of the first entry that is wanted; 0: whatever there is.
            limit: Events wanted at most; those of one entry are never parted, so there may be more.
            wait_s: How long to wait while there are none.
        """
        until_s = self._clock.monotonic() + wait_s
        while not (page := self._page(from_index, limit)).events and not page.gap:
            left_s = until_s - self._clock.monotonic()
            if left_s <= 0 or self._closed:
                break
            self._news = self._news or asyncio.Event()
            await until(self._news, self._clock, left_s)
        return page

    def _page(self, from_index: int, limit: int) -> Page:
        found: list[Told] = []
        for index, events in self._ring:
            if index < from_index:
                continue
            if len(found) >= limit:
                return Page(events=tuple(found), next_index=index, gap=self._gap(from_index))
            found += [Told(index, event) for event in events]
        next_index = max(self._applied + 1, from_index)
        return Page(events=tuple(found), next_index=next_index, gap=self._gap(from_index))

    def _gap(self, from_index: int) -> bool:
        return 0 < from_index < self._whole_from

    def _on_entry(self, index: int, events: Sequence[Event] | None) -> None:
        self._applied = max(self._applied, index)
        if events is None:
            self._ring.clear()
            self._held = 0
            self._whole_from = index + 1
        elif events:
            self._ring.append((index, events))
            self._held += len(events)
            while self._held > self._events_max:
                oldest, lost = self._ring.popleft()
                self._held -= len(lost)
                self._whole_from = oldest + 1
        else:
            return
        self._tell()

    def _tell(self) -> None:
        news, self._news = self._news, None
        if news is not None:
            news.set()
