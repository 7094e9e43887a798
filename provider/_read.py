"""Reads a window from several sources: each is asked only for what the ones above lack."""

from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, TypeVar

from bars.errors import SeamlessError
from bars.frame import inside_any
from bars.window import Window, intersect, merge, subtract
from provider._ask import Ask
from provider._budget import STORAGE, Budget
from provider._call import Call
from provider._join import Piece
from provider._levels import Held, Level, groups
from provider.cache import BarCache, CacheEntry
from provider.metrics import ProviderMetrics
from runtime import Backoff, Clock, DeadlineExceededError
from runtime.log import logger

T = TypeVar("T")

APART_BARS = 2_000
"""Gaps up to this length are read over: one question costs more than the bars in between."""

_RETRY = Backoff(0.1, 2.0)

log = logger(__name__)


@dataclass(frozen=True, slots=True, eq=False)
class Failure:
    """A source that was passed over."""

    source: str
    error: Exception


@dataclass(slots=True, eq=False)
class Look:
    """What the sources say that they have."""

    held: list[Held] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)
    late: DeadlineExceededError | None = None
    asked: int = 0
    """How many sources have been asked, from the first."""

    @property
    def covered(self) -> tuple[Window, ...]:
        """What any of them has of the asked window."""
        return merge(window for held in self.held for window in held.windows)


@dataclass(slots=True, eq=False)
class Reading:
    """What was read, and what could not be."""

    pieces: list[Piece] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)
    late: DeadlineExceededError | None = None
    unverified: bool = False
    """Whether bars of a cache were taken though the ledger could not be asked."""

    @property
    def covered(self) -> tuple[Window, ...]:
        """What the pieces cover."""
        return merge(piece.window for piece in self.pieces)


class SourceReader:
    """The sources of one provider, in the order in which they are asked."""

    def __init__(
        self, levels: Sequence[Level], clock: Clock, cache_ttl_s: float, metrics: ProviderMetrics
    ) -> None:
        self.levels = tuple(sorted(levels, key=lambda each: (each.priority, not each.versioned)))
        self._clock = clock
        self._ttl_us = int(cache_ttl_s * 1_000_000)
        self._metrics = metrics

    async def look(self, call: Call, look: Look | None = None, *, patient: bool = False) -> Look:
        """Ask the sources one after another what they have, until that is enough.

        A source that fails is passed over; with a storage its caches stay, as long as they are
        fresh by the clock. A look that is given is gone on with.
        """
        look = look or Look()
        while look.asked < len(self.levels) and not call.enough(look.covered):
            level = self.levels[look.asked]
            try:
                work = partial(level.look, call.ask)
                held = await self._asked(work, call.budget, patient=patient and level.versioned)
                if not level.versioned:  # nothing proves that a bar that is not over is final
                    over = intersect(held.windows, (Window(0, max(1, call.closed)),))
                    held = replace(held, windows=over)
                look.held.append(held)
            except DeadlineExceededError as e:
                if call.budget.over(e):
                    look.late = e
                    break
                look.failures.append(self._passed_over(level, e))  # the source's own deadline
            except Exception as e:  # noqa: BLE001  a source is anybody's code
                look.failures.append(self._passed_over(level, e))
                windows = await self._fresh(call.ask, level)
                if windows:
                    look.held.append(Held(level, windows, down=True))
            look.asked += 1
        return look

    async def read(self, call: Call, look: Look) -> Reading:
        """Return the bars of everything that the sources have, as far as time lasts.

        Where one fails that said it had them, those below are asked after all. What was read
        when the budget ends is kept.
        """
        reading = Reading()
        pending = list(look.held)
        while pending and reading.late is None:
            lost = [held for held in pending if not await self._read(call, held, reading)]
            look.held = [held for held in look.held if held not in lost]
            if not lost:
                break
            known = len(look.held)
            await self.look(call, look)
            pending = look.held[known:]
        return reading

    async def _read(self, call: Call, held: Held, reading: Reading) -> bool:
        """Read what one level has and those above lack; return whether it gave it."""
        wanted = subtract(held.windows, reading.covered)
        if not wanted or reading.late is not None:
            return True
        try:
            wanted = await self._from_caches(call, held, wanted, reading)
            if wanted and not held.down:
                await self._from_level(call, held, wanted, reading)
        except DeadlineExceededError as e:
            if call.budget.over(e):
                reading.late = e
                return True
            reading.failures.append(self._passed_over(held.level, e))  # the source's own deadline
            return False
        except Exception as e:  # noqa: BLE001  a source is anybody's code
            reading.failures.append(self._passed_over(held.level, e))
            return False
        return True

    async def _from_caches(
        self, call: Call, held: Held, wanted: tuple[Window, ...], reading: Reading
    ) -> tuple[Window, ...]:
        """Take what the caches before a level have and the ledger bears out; return the rest."""
        ask, budget = call.ask, call.budget
        level, asked = held.level, wanted
        for depth, cache in enumerate(level.caches):
            if not wanted:
                break
            hull = Window(wanted[0].start, wanted[-1].end)
            try:
                entries = await budget.run(STORAGE, _find(cache, ask, hull, level.tag))
            except DeadlineExceededError:
                raise
            except Exception as e:  # noqa: BLE001  a cache that fails is no cache
                reading.failures.append(self._passed_over(level, e, cache=_name_of(cache)))
                continue
            taken: list[Window] = []
            for entry in entries:
                for window in subtract(intersect((entry.window,), wanted), taken):
                    if not entry.current(held.view, window, self._clock.wall_us()):
                        await self._dropped(cache, entry)
                        break
                    part = entry.cut(window)
                    name = _name_of(cache)
                    reading.pieces.append(Piece(window, part.bars, name, level.versioned))
                    taken.append(window)
                    await self._kept(level.caches[:depth], part)
            reading.unverified |= bool(taken) and held.down
            wanted = subtract(wanted, taken)
        if level.caches:
            left = _slots(wanted, ask)
            self._metrics.cached(_slots(asked, ask) - left, left)
        return wanted

    async def _from_level(
        self, call: Call, held: Held, wanted: tuple[Window, ...], reading: Reading
    ) -> None:
        ask, budget = call.ask, call.budget
        patient = held.level.versioned and not call.answers_partly
        level = held.level
        began_s = self._clock.monotonic()
        for group in groups(wanted, APART_BARS * ask.series.interval):
            read = partial(level.read, ask, group)
            bars = await self._asked(read, budget, patient=patient)
            own = intersect((group,), wanted)
            for window in own:
                part = (
                    bars
                    if len(own) == 1 and window == group
                    else bars.take(inside_any(bars.ts, (window,)))
                )
                reading.pieces.append(Piece(window, part, level.name, level.versioned))
                until_us = self._clock.wall_us() + self._ttl_us
                rows = None if held.view is None else held.view.inside(window)
                entry = CacheEntry(ask.series, window, part, level.tag, rows, until_us)
                await self._kept(level.caches, entry)
        took_s = self._clock.monotonic() - began_s
        self._metrics.fetch_seconds.observe(took_s, source=level.name)

    async def _asked(
        self, work: Callable[[], Coroutine[Any, Any, T]], budget: Budget, *, patient: bool
    ) -> T:
        for pause_s in _RETRY:
            try:
                return await budget.run(STORAGE, work())
            except SeamlessError as e:
                if not (patient and e.retriable) or budget.left_s(STORAGE) <= pause_s:
                    raise
            await budget.run(STORAGE, self._clock.sleep(pause_s))
        raise AssertionError  # the pauses never end

    async def _fresh(self, ask: Ask, level: Level) -> tuple[Window, ...]:
        """Return what the caches before a level that failed hold and the clock bears out."""
        found: list[Window] = []
        now_us = self._clock.wall_us()
        for cache in level.caches:
            try:
                entries = await cache.find(ask.series, ask.window, level.tag)
            except Exception as e:  # noqa: BLE001  a cache that fails is no cache
                self._passed_over(level, e, cache=_name_of(cache))
                continue
            found += [e.window for e in entries if e.current(None, e.window, now_us)]
        return intersect(merge(found), (ask.window,))

    async def _kept(self, caches: Sequence[BarCache], entry: CacheEntry) -> None:
        for cache in caches:
            try:
                await cache.keep(entry)
            except Exception as e:  # noqa: BLE001  a cache that fails is no cache
                log.warning("cache_failed", cache=_name_of(cache), error=str(e))

    async def _dropped(self, cache: BarCache, entry: CacheEntry) -> None:
        try:
            await cache.drop(entry)
        except Exception as e:  # noqa: BLE001  as above
            log.warning("cache_failed", cache=_name_of(cache), error=str(e))

    def _passed_over(self, level: Level, error: Exception, cache: str = "") -> Failure:
        name = cache or level.name
        self._metrics.source_failures.add(source=name)
        log.warning("source_passed_over", source=name, error=f"{type(error).__name__}: {error}")
        return Failure(name, error)


async def _find(cache: BarCache, ask: Ask, hull: Window, tag: str) -> Sequence[CacheEntry]:
    return await cache.find(ask.series, hull, tag)  # begun only when it is waited for


def _name_of(cache: BarCache) -> str:
    return type(cache).__name__


def _slots(windows: Sequence[Window], ask: Ask) -> int:
    return sum(ask.grid.slots(window) for window in windows)
