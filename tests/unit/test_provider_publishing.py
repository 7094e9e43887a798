"""One publisher of a live series at a time: a real lease service, time in the test's hand."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from avro_schemas import BarChunk
from bars.series import Series
from coordinator.client import CoordinatorUnavailableError, DistributedBackfillCoordinator
from provider import PollingFeed
from provider._publishing import Claims, Press, Publisher
from tests.lease_help import eventually
from tests.provider_help import Market
from tests.unit.api_help import Service, serving
from tests.unit.test_distributed_coordinator import client_of
from topics import DeliveryError

SERIES = Series("live:test:1s", 1)
TTL_MS = 120_000


@dataclass(eq=False)
class Shelf:
    """What is published, in order."""

    chunks: list[BarChunk] = field(default_factory=list)
    refusing: int = 0
    """Records that are not taken."""

    async def last_end(self, series: Series) -> int | None:
        assert series == SERIES
        return self.chunks[-1].end if self.chunks else None

    async def publish(self, chunk: BarChunk) -> None:
        if self.refusing:
            self.refusing -= 1
            raise DeliveryError("bars.live", "no broker")
        self.chunks.append(chunk)

    @property
    def tokens(self) -> list[int]:
        return list(dict.fromkeys(chunk.lease_token for chunk in self.chunks))

    def check(self) -> None:
        """Check that every second is there once, and tokens only grow."""
        starts = [chunk.start for chunk in self.chunks]
        assert starts == list(range(starts[0], starts[0] + len(starts)))
        tokens = [chunk.lease_token for chunk in self.chunks]
        assert tokens == sorted(tokens)


class Line:
    """The way to the lease service, which may be cut."""

    def __init__(self, inner: DistributedBackfillCoordinator) -> None:
        self.cut = False
        self._inner = inner

    def __getattr__(self, name: str) -> Any:
        if self.cut:
            raise CoordinatorUnavailableError("the line is cut")
        return getattr(self._inner, name)


@asynccontextmanager
async def publishing(
    service: Service, claims: Claims, shelf: Shelf
) -> AsyncIterator["asyncio.Task[None]"]:
    """Run a publisher."""
    feed = PollingFeed(Market(), clock=service.clock)
    press = Press(claims=claims, topic=shelf, clock=service.clock, ttl_ms=TTL_MS)
    task = asyncio.create_task(Publisher(SERIES, feed, press).run())
    try:
        yield task
    finally:
        task.cancel()
        await asyncio.wait((task,))


async def pass_until(service: Service, shelf: Shelf, bars: int) -> None:
    """Let time pass until so many bars are published."""
    for _ in range(400):
        if len(shelf.chunks) >= bars:
            return
        await service.pass_s(1)
        await asyncio.sleep(0.005)  # what happens at the far end of a socket tells nobody
    raise AssertionError(f"{len(shelf.chunks)} bars, not {bars}")


async def test_one_of_two_publishes_and_the_other_goes_on_when_it_is_closed() -> None:
    shelf = Shelf()
    async with serving() as service, client_of(service) as one, client_of(service, seed=3) as two:
        async with publishing(service, one, shelf):
            await eventually(lambda: len(shelf.chunks) == 1)
            async with publishing(service, two, shelf):
                await pass_until(service, shelf, 12)
                assert len(shelf.tokens) == 1
        async with publishing(service, two, shelf):
            await pass_until(service, shelf, 30)
    assert len(shelf.tokens) == 2
    shelf.check()


async def test_who_cannot_renew_its_lease_stops_before_somebody_else_can_have_it() -> None:
    """It lives, and its fetcher does: only the lease service hears nothing of it."""
    shelf = Shelf()
    async with serving() as service, client_of(service) as one, client_of(service, seed=3) as two:
        line: Any = Line(one)
        async with publishing(service, line, shelf):
            await eventually(lambda: len(shelf.chunks) == 1)
            began_s = service.clock.monotonic()
            line.cut = True
            async with publishing(service, two, shelf):
                own_last_s = began_s
                while len(shelf.tokens) == 1:
                    own_last_s = service.clock.monotonic()
                    await pass_until(service, shelf, len(shelf.chunks) + 1)
                assert own_last_s - began_s <= TTL_MS / 1_000 * 0.9
                await pass_until(service, shelf, len(shelf.chunks) + 5)
    assert len(shelf.tokens) == 2
    shelf.check()


async def test_a_bar_that_the_topic_does_not_take_is_published_again() -> None:
    shelf = Shelf(refusing=3)
    async with serving() as service, client_of(service) as one, publishing(service, one, shelf):
        await pass_until(service, shelf, 8)
    shelf.check()
